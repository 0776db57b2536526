# mypy: disable-error-code="misc, import-not-found"
"""FastAPI-Users as its documentation sets it up: SQLAlchemy on SQLite, bearer transport, JWT strategy.

Runs in an environment of its own: its SQLAlchemy is older than ours.
"""

import asyncio
import os
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.db import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

SECRET = "a secret of the benchmark with more than 32 bytes"  # signs nothing but the benchmark's tokens
ANSWER = {"id": 1, "title": "Hello", "body": "A post"}


class Base(DeclarativeBase):
    """Tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):
    """An account."""


engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['BENCH_DATABASE']}")
sessions = async_sessionmaker(engine, expire_on_commit=False)


async def session() -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with sessions() as opened:
        yield opened


async def user_db(opened: Annotated[AsyncSession, Depends(session)]) -> AsyncIterator[Any]:
    """The accounts."""
    yield SQLAlchemyUserDatabase(opened, User)


class Users(UUIDIDMixin, BaseUserManager[User, uuid.UUID]):
    """Its manager of accounts."""

    reset_password_token_secret = SECRET
    verification_token_secret = SECRET


async def manager(database: Annotated[Any, Depends(user_db)]) -> AsyncIterator[Users]:
    """The manager for one request."""
    yield Users(database)


def strategy() -> JWTStrategy[User, uuid.UUID]:
    """JWT, HS256."""
    return JWTStrategy(secret=SECRET, lifetime_seconds=6 * 3600)


backend = AuthenticationBackend(name="jwt", transport=BearerTransport(tokenUrl="login"), get_strategy=strategy)
active_user = FastAPIUsers[User, uuid.UUID](manager, [backend]).current_user(active=True)


app = FastAPI()


@app.get("/")
async def read(user: Annotated[User, Depends(active_user)]) -> dict[str, object]:
    """The protected route."""
    return dict(ANSWER)


async def tokens(count: int) -> list[str]:
    """Makes the table and `count` people; their tokens."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    people = [User(email=f"{number}@example.com", hashed_password="x") for number in range(count)]
    async with sessions() as opened:
        opened.add_all(people)
        await opened.commit()
    return [await strategy().write_token(person) for person in people]


if __name__ == "__main__":
    print("\n".join(asyncio.run(tokens(int(sys.argv[1])))))
