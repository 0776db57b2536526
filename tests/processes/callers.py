"""Callers of a server under test, and what stands beside it: another program on the same database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from admit import Admit
from admit.build import open_rooms
from admit.crypto.sealing import generate
from admit.rooms import Rooms
from tests.parts.servers import Server, Servers

PASSWORD = "Correct Horse 1 Battery!"
APP = "tests.processes.app:app"
SECRET = generate()  # one for all processes of a test run


def settings(database: str, run_directory: Path, **more: str) -> dict[str, str]:
    """The environment of one "host": the database and a run directory of its own."""
    return {"ADMIT_DATABASE": database, "ADMIT_RUN_DIRECTORY": str(run_directory), "ADMIT_SECRET": SECRET, **more}


def serve(servers: Servers, database: str, host: Path, *, workers: int = 1, **more: str) -> Server:
    """The application of this folder on a port of its own."""
    return servers.asgi(APP, workers=workers, env=settings(database, host, **more))


@asynccontextmanager
async def beside(database: str, host: Path, **options: Any) -> AsyncIterator[Rooms]:
    """What the command line is: another process's rooms on the same host and database, without background work."""
    roles = {"member": ("read:posts",), "editor": ("read:posts", "write:posts")}
    auth = Admit(
        database=database, run_directory=host, secret=SECRET, roles=roles, passwords={"hash": "cheap"},
        scopes={"read:posts": "Read posts", "write:posts": "Create and edit posts"}, **options,
    )  # fmt: skip
    rooms = auth.rooms
    await open_rooms(rooms, background=False)
    try:
        yield rooms
    finally:
        await auth.close()


@dataclass
class Person:
    """Somebody with a browser or a program, and what they hold. Nothing is kept that was not acknowledged."""

    client: httpx2.AsyncClient
    name: str
    access: str = ""
    refresh: str = ""
    cookies: dict[str, str] = field(default_factory=dict)

    async def register(self) -> httpx2.Response:
        """An account."""
        return await self.client.post("/auth/register", json={"username": self.name, "password": PASSWORD})

    async def login(self, deliver: str = "tokens") -> httpx2.Response:
        """Signs in and keeps what comes back."""
        body = {"identifier": self.name, "password": PASSWORD, "deliver": deliver}
        answer = await self.client.post("/auth/login", json=body)
        if answer.status_code == 200:
            if deliver == "session":
                self.cookies = dict(answer.cookies)
            else:
                self._keep(answer)
        self.client.cookies.clear()
        return answer

    async def refreshed(self) -> httpx2.Response:
        """Exchanges the refresh token and keeps what comes back."""
        answer = await self.client.post("/auth/refresh", json={"refresh_token": self.refresh})
        if answer.status_code == 200:
            self._keep(answer)
        return answer

    def _keep(self, answer: httpx2.Response) -> None:
        body = answer.json()
        self.access, self.refresh = body["access_token"], body["refresh_token"]

    async def visit(self, path: str = "/protected") -> httpx2.Response:
        """Calls a route with the access token."""
        return await self.client.get(path, headers={"authorization": f"Bearer {self.access}"})


@asynccontextmanager
async def caller(server: Server, **more: Any) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of one server, without cookies of its own."""
    limits = httpx2.Limits(max_connections=50, max_keepalive_connections=50)
    url = f"http://127.0.0.1:{server.port}"
    async with httpx2.AsyncClient(base_url=url, limits=limits, timeout=30, **more) as client:
        yield client


async def signed_in(client: httpx2.AsyncClient, name: str = "ann") -> Person:
    """A person with an account and a pair of tokens."""
    person = Person(client, name)
    assert (await person.register()).status_code == 202
    assert (await person.login()).status_code == 200
    return person
