"""Sessions: an opaque id in an httpOnly cookie, 24 hours, ended at logout.

POST /login  GET /protected  POST /logout
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

    verify_session = auth.require(by=("session",))

    @app.post("/login")
    async def login(sent: Credentials, request: Request) -> Response:
        return await auth.routes.login(request, sent.username, sent.password, "session")

    @app.get("/protected")
    async def protected(caller: Annotated[Principal, Depends(verify_session)]) -> dict[str, Any]:
        return {"user_id": caller.subject.id, "session": caller.credential.id}

    @app.post("/logout", status_code=204)
    async def logout(request: Request) -> Response:
        return await auth.routes.logout(request)

    return app
