"""The applications that are compared. Every one answers the same small JSON document at `/`.

Not a module with postponed annotations: FastAPI could not find the local names in them.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException, status
from fastapi.security import OAuth2PasswordBearer

from admit import Admit, Principal

ANSWER = {"id": 1, "title": "Hello", "body": "A post"}
#: 256 bits, for the tutorial's tokens
SECRET = "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"  # FastAPI's docs print it


class _Constant:
    subject = "ann"


_CONSTANT = _Constant()


def bare() -> FastAPI:
    """A route and nothing else."""
    app = FastAPI()

    @app.get("/")
    async def read() -> dict[str, object]:
        return dict(ANSWER)

    return app


def constant() -> FastAPI:
    """A route with the cheapest dependency there is: async, no parameters, always the same object."""
    app = FastAPI()

    async def caller() -> _Constant:
        return _CONSTANT

    @app.get("/")
    async def read(caller: Annotated[_Constant, Depends(caller)]) -> dict[str, object]:
        return dict(ANSWER)

    return app


def protected(auth: Admit) -> FastAPI:
    """A route that requires a scope, as Admit's users write it."""
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    @app.get("/")
    async def read(caller: Annotated[Principal, Depends(auth.require("read:posts"))]) -> dict[str, object]:
        return dict(ANSWER)

    return app


def tutorial() -> FastAPI:
    """FastAPI's own tutorial, "OAuth2 with Password (and hashing), Bearer with JWT tokens": PyJWT, HS256, a dict of
    users, and no way to revoke anything.
    """
    app = FastAPI()
    scheme = OAuth2PasswordBearer(tokenUrl="token")
    users = {"ann": {"username": "ann", "full_name": "Ann", "disabled": False}}

    async def current_user(token: Annotated[str, Depends(scheme)]) -> dict[str, object]:
        failed = HTTPException(status.HTTP_401_UNAUTHORIZED, "Could not validate credentials")
        try:
            name = jwt.decode(token, SECRET, algorithms=["HS256"]).get("sub")
        except jwt.InvalidTokenError:
            raise failed from None
        user = users.get(name or "")
        if user is None:
            raise failed
        return user

    async def active_user(user: Annotated[dict[str, object], Depends(current_user)]) -> dict[str, object]:
        if user["disabled"]:
            raise HTTPException(400, "Inactive user")
        return user

    @app.get("/")
    async def read(caller: Annotated[dict[str, object], Depends(active_user)]) -> dict[str, object]:
        return dict(ANSWER)

    return app


def tutorial_tokens(count: int) -> list[str]:
    """Tokens for `tutorial`."""
    until = datetime.now(UTC) + timedelta(hours=6)
    return [jwt.encode({"sub": "ann", "exp": until, "jti": str(number)}, SECRET, "HS256") for number in range(count)]
