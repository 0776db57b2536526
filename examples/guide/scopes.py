"""Scopes: declared once, carried in the token, asked for by the route.

GET /posts  POST /posts  DELETE /posts/{post_id}
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI

from admit import Admit, Principal

SCOPES = {
    "read:posts": "Read posts",
    "write:posts": "Create and edit posts",
    "delete:posts": "Delete posts",
    "read:profile": "Read your profile",
    "write:profile": "Edit your profile",
}
ROLES = {
    "member": ("read:posts", "read:profile", "write:profile"),
    "editor": ("read:posts", "write:posts", "delete:posts"),
}


def application(**options: Any) -> FastAPI:
    """The application; `options` are those of `Admit(...)`."""
    auth = Admit(scopes=SCOPES, roles=ROLES, default_roles=("member",), **options)
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    def require_scopes(scopes: list[str]) -> Callable[..., Awaitable[Principal]]:
        return auth.require(*scopes)

    @app.get("/posts")
    async def posts(caller: Annotated[Principal, Depends(require_scopes(["read:posts"]))]) -> dict[str, Any]:
        return {"posts": [], "reader": caller.subject.id}

    @app.post("/posts", status_code=201)
    async def create(caller: Annotated[Principal, Depends(require_scopes(["write:posts"]))]) -> dict[str, Any]:
        return {"author": caller.subject.id}

    @app.delete("/posts/{post_id}")
    async def delete(
        post_id: int, caller: Annotated[Principal, Depends(require_scopes(["delete:posts"]))]
    ) -> dict[str, Any]:
        return {"deleted": post_id, "by": caller.subject.id}

    return app
