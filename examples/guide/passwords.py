"""Passwords: hashed with bcrypt at 12 rounds (by name; argon2id is the default), refused with every reason at once.

POST /register  POST /login
"""

from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

from admit import Admit


class Credentials(BaseModel):
    """What a person types."""

    username: str
    password: str


def application(*, hash: str = "bcrypt", **options: Any) -> FastAPI:  # noqa: A002
    """The application; `options` are those of `Admit(...)`, `hash` names how dear a hash is."""
    auth = Admit(passwords={"hash": hash, "policy": "classic"}, **options)
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    @app.post("/register", status_code=202)
    async def register(new: Credentials, request: Request) -> Response:
        return await auth.routes.register(request, username=new.username, password=new.password)

    @app.post("/login")
    async def login(sent: Credentials, request: Request) -> Response:
        return await auth.routes.login(request, sent.username, sent.password)

    return app
