"""API keys: made for a program, shown once, ended by their owner.

POST /api-keys  DELETE /api-keys/{key_id}  GET /api/data
"""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

from admit import Admit, Principal


class NewKey(BaseModel):
    """The name tells its owner later what the key is for: "Production Server", "CI/CD"."""

    name: str
    scopes: list[str] = []


def application(**options: Any) -> FastAPI:
    """The application; `options` are those of `Admit(...)`."""
    auth = Admit(
        scopes={"read:data": "Read data"}, roles={"member": ("read:data",)}, default_roles=("member",), **options
    )
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    verify_api_key = auth.require("read:data", by=("api_key",))

    @app.post("/api-keys", status_code=201)
    async def create_api_key(new: NewKey, request: Request) -> Response:
        return await auth.routes.create_api_key(request, new.name, new.scopes)

    @app.delete("/api-keys/{key_id}", status_code=204)
    async def revoke_api_key(key_id: str, request: Request) -> Response:
        return await auth.routes.revoke_api_key(request, key_id)

    @app.get("/api/data")
    async def data(caller: Annotated[Principal, Depends(verify_api_key)]) -> dict[str, Any]:
        return {"owner": caller.subject.id, "key": caller.credential.name}

    return app
