"""A hundred refreshes of one token over HTTP, against several worker processes of one server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.parts.looking import eventually
from tests.parts.servers import Servers
from tests.parts.stores import migrate
from tests.processes.callers import Person, caller, serve, signed_in

RACE = pytest.mark.proof("ASVS-15.4.2", "ASVS-2.3.4")


async def _race(servers: Servers, url: str, host: Path, workers: int) -> None:
    server = serve(servers, url, host, workers=workers)
    pids: set[int] = set()

    async def all_work() -> bool:
        # a connection stays with the worker that accepted it
        async with caller(server) as fresh:
            answers = await asyncio.gather(*(fresh.get("/open") for _ in range(40)))
        pids.update(answer.json()["pid"] for answer in answers)
        return len(pids) == workers

    await eventually(all_work, 100)
    async with caller(server) as client:
        ann = await signed_in(client)
        body = {"refresh_token": ann.refresh}
        answers = await asyncio.gather(*(client.post("/auth/refresh", json=body) for _ in range(100)))
        assert [answer.status_code for answer in answers] == [200] * 100
        pairs = [answer.json() for answer in answers]
        assert len({pair["refresh_token"] for pair in pairs}) == 1
        # the signatures of ES256 differ, the tokens say the same
        assert len({pair["access_token"].split(".")[1] for pair in pairs}) == 1
        visitors = [Person(client, "ann", access=pair["access_token"]) for pair in pairs[:5]]
        assert {(await visitor.visit()).status_code for visitor in visitors} == {200}
        # one living token: it goes on, and then the first one is a theft that ends the family and its access tokens
        last = Person(client, "ann", refresh=pairs[0]["refresh_token"])
        assert (await last.refreshed()).status_code == 200
        again = await client.post("/auth/refresh", json=body)
        assert (again.status_code, again.json()["code"]) == (401, "refresh_token_reused")
        assert (await last.refreshed()).json()["code"] == "refresh_token_invalid"
        # in whichever worker, at the very next request: they stand on one host
        dead = await asyncio.gather(*(last.visit() for _ in range(20)), *(visitor.visit() for visitor in visitors))
        assert {answer.status_code for answer in dead} == {401}


@RACE
async def test_four_workers_on_postgresql(servers: Servers, pg_empty: str, tmp_path: Path) -> None:
    await _race(servers, pg_empty, tmp_path / "host", 4)


@RACE
async def test_two_workers_on_sqlite(servers: Servers, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'admit.sqlite3'}"
    await asyncio.to_thread(migrate, url)
    await _race(servers, url, tmp_path / "host", 2)
