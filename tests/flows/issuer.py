"""An issuer in a process of its own (`uvicorn tests.flows.issuer:app`), and the desk beside it on the same database."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
from fastapi import FastAPI

from admit import Admit
from admit.build import open_rooms
from admit.credentials.api_key_terms import By, Terms
from admit.credentials.api_keys import Created
from admit.crypto.sealing import generate
from admit.ground.events import Via
from admit.ground.ids import read
from admit.rooms import Rooms
from tests.flows.stand import PASSWORD, RIGHTS, WIDE
from tests.parts.ports import free_port
from tests.parts.servers import Server, Servers

AUDIENCE = "https://posts.example.test"
OPTIONS: dict[str, Any] = {**RIGHTS, "passwords": {"hash": "cheap"}, "limits": WIDE}
SECRET = generate()


def application() -> FastAPI:
    """The issuer alone; what is not the same everywhere comes from the environment."""
    auth = Admit(**OPTIONS)
    found = FastAPI(lifespan=auth.lifespan)
    auth.mount(found)
    return found


class House:
    """The issuer's server, an operator beside it, and people who sign in there."""

    def __init__(self, server: Server, rooms: Rooms, client: httpx2.AsyncClient) -> None:
        self.server = server
        self.url = server.url
        self.rooms = rooms
        self.client = client

    async def person(self, name: str, *roles: str) -> str:
        """A registered account with further roles."""
        answer = await self.client.post("/auth/register", json={"username": name, "password": PASSWORD})
        assert answer.status_code == 202, answer.text
        account = await self.rooms.kit.work.read(lambda tx: self.rooms.accounts.named(tx, "username", name))
        assert account is not None
        if roles:
            await self.write("grant", account.shown, roles)
        return account.shown

    async def signed_in(self, name: str) -> str:
        """An access token."""
        answer = await self.client.post("/auth/login", json={"identifier": name, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    async def write(self, verb: str, person: str, *more: Any) -> None:
        """A verb of the accounts, by the operator: in another process than the server."""
        done = getattr(self.rooms.accounts, verb)
        await self.rooms.kit.work.write(lambda tx: done(tx, _id(person), *more, Via()))

    async def key(self, person: str, *scopes: str, **terms: Any) -> tuple[str, bytes]:
        """A new API key: its text and id."""
        by = By(frozenset(self.rooms.settings.scopes))
        made = await self.rooms.kit.work.write(
            lambda tx: self.rooms.api_keys.create(tx, _id(person), Terms("service", frozenset(scopes), **terms), by)
        )
        assert isinstance(made, Created), made
        return made.key, made.row.id

    async def revoke_key(self, person: str, identifier: bytes) -> None:
        """Ends a key for good."""
        by = By(frozenset(self.rooms.settings.scopes))
        await self.rooms.kit.work.write(lambda tx: self.rooms.api_keys.revoke(tx, _id(person), identifier, by))


def _id(person: str) -> bytes:
    identifier = read("usr", person)
    assert identifier is not None
    return identifier


@contextlib.asynccontextmanager
async def house(servers: Servers, folder: Path) -> AsyncIterator[House]:
    """The issuer, running."""
    port = free_port()
    same = {"database": f"sqlite:///{folder / 'admit.sqlite3'}", "run_directory": str(folder / "run"), "secret": SECRET}
    issuer = {"issuer": f"http://localhost:{port}"}
    named = {f"ADMIT_{name.upper()}": value for name, value in (same | issuer).items()}
    server = servers.asgi(
        "tests.flows.issuer:application", port=port, arguments=("--factory",),
        env={**named, "ADMIT_TOKENS__AUDIENCE": f'["{AUDIENCE}"]'},
    )  # fmt: skip
    desk = Admit(**OPTIONS, **same, **issuer, tokens={"audience": (AUDIENCE,)})  # type: ignore[arg-type]
    rooms = desk.rooms
    await open_rooms(rooms, background=False)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        try:
            yield House(server, rooms, client)
        finally:
            await desk.close()
