"""Ten kills with -9 on each engine, at random moments under load; after each, every acknowledged answer is checked."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest

from tests.parts.looking import eventually
from tests.parts.ports import free_port, is_open
from tests.parts.servers import Server, Servers
from tests.parts.stores import migrate
from tests.processes.callers import Person, caller, settings

KILLS = 10
ACTORS = 4
SEED = int(os.environ.get("ADMIT_TEST_SEED", "20270115"))


@dataclass
class Actor:
    """One caller; every list holds only what was acknowledged."""

    client: httpx2.AsyncClient
    random: random.Random
    name: str
    number: int = 0
    registered: list[str] = field(default_factory=list)
    living: list[Person] = field(default_factory=list)
    ended: list[Person] = field(default_factory=list)
    dead_sessions: list[dict[str, str]] = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    owners: dict[str, Person] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    acknowledged: int = 0

    async def run(self) -> None:
        """Does one thing after another until the server is gone."""
        steps = (self.begin, self.refresh, self.refresh, self.log_out, self.session, self.make_key, self.revoke_key)
        try:
            while True:
                await self.random.choice(steps)()
        except httpx2.TransportError:
            return

    async def begin(self) -> None:
        self.number += 1
        person = Person(self.client, f"{self.name}-{self.number}")
        self._seen(await person.register(), 202)
        self.registered.append(person.name)
        self._seen(await person.login(), 200)
        self.living.append(person)

    async def refresh(self) -> None:
        if self.living:
            self._seen(await self.random.choice(self.living).refreshed(), 200)

    async def log_out(self) -> None:
        if len(self.living) > 1:
            person = self.living.pop(self.random.randrange(len(self.living)))
            # from here on nothing is known of it until the answer comes
            body = {"refresh_token": person.refresh}
            self._seen(await self.client.post("/auth/logout", json=body), 204)
            self.ended.append(person)

    async def session(self) -> None:
        if not self.registered:
            return
        person = Person(self.client, self.random.choice(self.registered))
        begun = await person.login("session")
        self._seen(begun, 200)
        headers = {"x-csrf-token": begun.json()["csrf_token"], "cookie": _cookie(person.cookies)}
        self._seen(await self.client.post("/auth/logout", headers=headers), 204)
        self.dead_sessions.append(person.cookies)

    async def make_key(self) -> None:
        if self.living:
            person = self.random.choice(self.living)
            headers = {"authorization": f"Bearer {person.access}"}
            made = await self.client.post("/auth/api-keys", json={"name": "CI", "scopes": []}, headers=headers)
            self._seen(made, 201)
            self.keys[made.json()["id"]] = made.json()["key"]
            self.owners[made.json()["id"]] = person

    async def revoke_key(self) -> None:
        mine = [key for key in self.keys if self.owners[key] in self.living]
        if mine:
            identifier = self.random.choice(mine)
            text = self.keys.pop(identifier)
            headers = {"authorization": f"Bearer {self.owners[identifier].access}"}
            gone = await self.client.delete(f"/auth/api-keys/{identifier}", headers=headers)
            assert gone.status_code in (200, 204), gone.text
            self.acknowledged += 1
            self.revoked.append(text)

    def _seen(self, answer: httpx2.Response, status: int) -> None:
        assert answer.status_code == status, answer.text
        self.acknowledged += 1

    async def check(self) -> None:
        """Everything that was acknowledged since the beginning."""
        for name in self.registered[-2:]:
            assert (await Person(self.client, name).login()).status_code == 200, f"{name} is lost"
        for person in self.living:
            # the last one that was acknowledged; a later one may have been made, and nobody was told
            assert (await person.refreshed()).status_code == 200, f"{person.name} is logged out"
            assert (await person.visit()).status_code == 200
        for person in self.ended[-3:]:
            assert (await person.visit()).status_code == 401, f"{person.name} came back"
            assert (await person.refreshed()).status_code == 401
        for cookies in self.dead_sessions[-3:]:
            answer = await self.client.get("/protected", headers={"cookie": _cookie(cookies)})
            assert answer.status_code == 401, "a session came back"
        for text in list(self.keys.values())[-3:]:
            assert (await self.client.get("/protected", headers={"x-api-key": text})).status_code == 200
        for text in self.revoked[-3:]:
            answer = await self.client.get("/protected", headers={"x-api-key": text})
            assert answer.status_code == 401, "a revoked key came back"
        self.living = self.living[-2:]


def _cookie(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


async def _kill(server: Server) -> None:
    (child,) = server.workers()
    handle = os.pidfd_open(child)
    os.kill(child, signal.SIGKILL)

    async def another() -> bool:
        return server.workers() not in ([], [child]) and is_open(server.port)

    await eventually(another, 2000)
    os.close(handle)


async def _ten_kills(servers: Servers, url: str, host: Path) -> None:
    print(f"ADMIT_TEST_SEED={SEED}")  # noqa: T201
    chance = random.Random(SEED)
    port = free_port()
    environment = settings(url, host)
    server = servers.run([sys.executable, "-m", "tests.processes.respawning", str(port)], port, env=environment)
    async with caller(server) as client:
        actors = [Actor(client, random.Random(SEED + number), f"actor{number}") for number in range(ACTORS)]
        for _ in range(KILLS):
            load = [asyncio.create_task(actor.run()) for actor in actors]
            done = sum(actor.acknowledged for actor in actors) + chance.randrange(10, 40)

            async def enough(done: int = done, load: list[asyncio.Task[None]] = load) -> bool:
                for task in load:
                    if task.done():
                        task.result()
                return sum(actor.acknowledged for actor in actors) >= done

            await eventually(enough, 3000)
            await _kill(server)
            await asyncio.gather(*load)
            await asyncio.gather(*(actor.check() for actor in actors))
        totals = {
            name: sum(len(getattr(actor, name)) for actor in actors)
            for name in ("registered", "ended", "dead_sessions", "revoked")
        }
        assert min(totals.values()) > 0, totals


@pytest.mark.proof("ASVS-2.3.3", "ASVS-16.5.3")
async def test_on_sqlite(servers: Servers, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'admit.sqlite3'}"
    await asyncio.to_thread(migrate, url)
    await _ten_kills(servers, url, tmp_path / "host")


@pytest.mark.proof("ASVS-2.3.3", "ASVS-16.5.3")
async def test_on_postgresql(servers: Servers, pg_empty: str, tmp_path: Path) -> None:
    await _ten_kills(servers, pg_empty, tmp_path / "host")
