"""CSRF: a token bound to the session, asked of whatever a cookie authenticates.

POST /login  GET /csrf-token  POST /sensitive-action
"""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

from admit import Admit, Principal


class Credentials(BaseModel):
    """What a person types."""

    username: str
    password: str


def application(**options: Any) -> FastAPI:
    """The application; `options` are those of `Admit(...)`."""
    auth = Admit(**options)
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    # the guide's word, but nothing of its own to do: a caller known by a cookie is only known with the token, on every
    # route that asks for a caller, so that none can forget it
    verify_csrf = auth.require()

    @app.post("/login")
    async def login(sent: Credentials, request: Request) -> Response:
        return await auth.routes.login(request, sent.username, sent.password, "session")

    @app.get("/csrf-token")
    async def csrf_token(request: Request) -> Response:
        return await auth.routes.csrf(request)

    @app.post("/sensitive-action")
    async def sensitive_action(caller: Annotated[Principal, Depends(verify_csrf)]) -> dict[str, Any]:
        return {"done_by": caller.subject.id}

    return app
