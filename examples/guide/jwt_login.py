"""JWT: an access token for 15 minutes, a refresh token that works once.

POST /register  POST /login  POST /refresh  POST /logout  GET /protected
"""

from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

from admit import Account, Admit, Principal


class Credentials(BaseModel):
    """What a person types."""

    username: str
    password: str


class RefreshToken(BaseModel):
    """What the client kept."""

    refresh_token: str


def application(**options: Any) -> FastAPI:
    """The application; `options` are those of `Admit(...)`."""
    auth = Admit(claims=lambda asked: {"plan": "free"}, **options)
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    verify_token = auth.require(by=("access_token",))
    get_current_user = auth.account

    @app.post("/register", status_code=202)
    async def register(new: Credentials, request: Request) -> Response:
        return await auth.routes.register(request, username=new.username, password=new.password)

    @app.post("/login")
    async def login(sent: Credentials, request: Request) -> Response:
        return await auth.routes.login(request, sent.username, sent.password)

    @app.post("/refresh")
    async def refresh(sent: RefreshToken, request: Request) -> Response:
        return await auth.routes.refresh(request, sent.refresh_token)

    @app.post("/logout", status_code=204)
    async def logout(sent: RefreshToken, request: Request) -> Response:
        return await auth.routes.logout(request, sent.refresh_token)

    @app.get("/protected")
    async def protected(
        token: Annotated[Principal, Depends(verify_token)], user: Annotated[Account, Depends(get_current_user)]
    ) -> dict[str, Any]:
        return {"message": f"Hello {user.username}", "user_id": token.subject.id, "plan": token.claims["plan"]}

    return app
