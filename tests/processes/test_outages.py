"""PostgreSQL and Valkey stopped and started under the running server: refused, recovered by itself, nobody let in."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx2
import pytest

from tests.parts.looking import eventually
from tests.parts.postgres import TempPostgres
from tests.parts.servers import Servers
from tests.parts.valkey import TempValkey
from tests.processes.callers import Person, caller, serve, signed_in

CLOSED = pytest.mark.proof("ASVS-16.5.2", "ASVS-16.5.3")


def refused(answer: httpx2.Response) -> bool:
    """Whether it is a 503 as it should be."""
    if answer.status_code != 503:
        return False
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"] == "application/problem+json"
    return True


@CLOSED
@pytest.mark.postgres
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGQUIT], ids=["stopped", "crashed"])
async def test_postgresql_goes_and_comes_back(servers: Servers, tmp_path: Path, by: signal.Signals) -> None:
    database = TempPostgres().start()
    try:
        server = serve(servers, database.url(), tmp_path / "host")
        async with caller(server) as client:
            ann, ben = await signed_in(client, "ann"), await signed_in(client, "ben")
            ben_left = await client.post("/auth/logout", json={"refresh_token": ben.refresh})
            assert ben_left.status_code == 204
            assert (await ann.visit()).status_code == 200
            for _ in range(2):
                database.halt(by)

                async def shut() -> bool:
                    answers = [await ann.visit(), await ben.visit()]
                    assert answers[0].status_code in (200, 503)
                    assert answers[1].status_code in (401, 503), "somebody who had left was let in"
                    return refused(answers[0])

                await eventually(shut)
                for answer in (await Person(client, "ann").login(), await ann.refreshed(), await ann.visit()):
                    assert refused(answer)
                assert (await ben.visit()).status_code == 503
                assert (await client.get("/open")).status_code == 200
                database.resume()

                async def back() -> bool:
                    assert (await ben.visit()).status_code in (401, 503)
                    return (await ann.visit()).status_code == 200

                await eventually(back)
                assert (await ben.visit()).status_code == 401
                assert (await ben.refreshed()).status_code == 401
                assert (await ann.refreshed()).status_code == 200
    finally:
        database.stop()


@CLOSED
@pytest.mark.valkey
async def test_valkey_goes_and_comes_back(servers: Servers, pg_empty: str, tmp_path: Path) -> None:
    valkey = TempValkey().start()
    try:
        limits = {"ADMIT_VALKEY": valkey.url, "ADMIT_LIMITS__STORE": "valkey"}
        server = serve(servers, pg_empty, tmp_path / "host", **limits)
        async with caller(server) as client:
            ann = await signed_in(client)
            bearer = {"authorization": f"Bearer {ann.access}"}
            made = await client.post("/auth/api-keys", json={"name": "CI", "scopes": []}, headers=bearer)
            key = {"x-api-key": made.json()["key"]}
            assert (await client.get("/protected", headers=key)).status_code == 200
            for _ in range(2):
                valkey.halt()

                async def shut() -> bool:
                    # a key may still spend the block of hits that it has reserved, and not one more
                    return refused(await Person(client, "ann").login())

                await eventually(shut)
                # what needs no limit goes on
                assert (await ann.visit()).status_code == 200
                assert (await client.get("/open")).status_code == 200
                assert (await ann.refreshed()).status_code == 200
                valkey.resume()

                async def back() -> bool:
                    return (await Person(client, "ann").login()).status_code == 200

                await eventually(back)
                assert (await client.get("/protected", headers=key)).status_code == 200
    finally:
        valkey.stop()
