"""Sessions in both stores: the same to whoever calls; and what Valkey may lose, and cannot bring back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import sqlalchemy as sa

from admit.credentials.live.cache import LONGEST
from admit.credentials.session_store import CLEARING
from admit.crypto.opaque import SessionParts, session_format
from admit.ground.ids import read, show
from admit.stores.sql import schema
from admit.stores.valkey import Valkey
from tests.flows.conftest import Open
from tests.flows.stand import PASSWORD, WIDE, Stand, code, login
from tests.parts.valkey import TempValkey

#: without the cache every request asks the stores
UNCACHED: dict[str, Any] = {"tokens": {"cache": False}}
FIVE_MINUTES = timedelta(microseconds=LONGEST)


def in_valkey(url: str) -> dict[str, Any]:
    """Sessions in that Valkey, and nothing else there."""
    return {"valkey": url, "sessions": {"store": "valkey"}, "limits": {**WIDE, "store": "sql"}}


@pytest.fixture(params=["sql", pytest.param("valkey", marks=pytest.mark.valkey)])
async def stand(request: pytest.FixtureRequest, opened: Open) -> AsyncIterator[Stand]:
    """The application with sessions in either store."""
    options = {"limits": WIDE} if request.param == "sql" else in_valkey(request.getfixturevalue("valkey_url"))
    async with opened("fastapi", **options) as running:
        await running.person()
        yield running


@pytest.fixture
async def uncached(opened: Open, valkey_url: str) -> AsyncIterator[Stand]:
    """Sessions in Valkey, asked at each request."""
    async with opened("fastapi", **in_valkey(valkey_url), **UNCACHED) as running:
        await running.person()
        yield running


@pytest.fixture
async def server(valkey_url: str) -> AsyncIterator[Valkey]:
    """What an operator, or whoever got hold of Valkey, sees and does there."""
    client = Valkey(valkey_url)
    yield client
    await client.close()


@pytest.fixture
def own_valkey() -> Iterator[TempValkey]:
    """A Valkey that this test may take down."""
    server = TempValkey().start()
    try:
        yield server
    finally:
        server.stop()


async def with_cookie(stand: Stand, cookie: str) -> httpx2.Response:
    """A request with that session cookie and nothing else."""
    return await stand.caller().get("/protected", headers={"Cookie": f"admit-session={cookie}"})


async def only_id(caller: httpx2.AsyncClient) -> bytes:
    """The id of the only session of a caller."""
    (row,) = (await caller.get("/auth/sessions")).json()["sessions"]
    identifier = read("ses", row["id"])
    assert identifier is not None
    return identifier


async def keys(server: Valkey) -> list[str]:
    """The keys of sessions."""
    return sorted([key.decode() async for key in server.redis.scan_iter("*session:*")])


async def settled() -> None:
    """What the commits so far have set going is done."""
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() == CLEARING))


# -- either store ------------------------------------------------------------------------------------------------------


async def test_from_the_sign_in_to_the_logout(stand: Stand) -> None:
    assert code(await stand.caller().get("/protected")) == (401, "not_authenticated")
    mine = await stand.signed_in(deliver="session")
    cookie = mine.cookies["admit-session"]
    assert (await mine.get("/protected")).json()["by"] == "session"
    assert (await mine.post("/protected")).status_code == 200
    assert (await mine.post("/auth/logout")).status_code == 204
    assert "admit-session" not in mine.cookies
    assert code(await with_cookie(stand, cookie)) == (401, "session_expired")
    # the id of a session that lives, with a secret of one's own, is nobody
    other = await stand.signed_in(deliver="session")
    forged = session_format("admit").issue(SessionParts(1, await only_id(other), bytes(32)).pack())
    assert code(await with_cookie(stand, forged)) == (401, "not_authenticated")
    assert (await other.get("/protected")).status_code == 200


async def test_sessions_are_listed_with_their_last_use_and_ended(stand: Stand) -> None:
    mine, one, other = [await stand.signed_in(deliver="session") for _ in range(3)]
    stand.clock.advance(timedelta(hours=1))
    assert (await one.get("/protected")).status_code == 200
    await stand.auth.rooms.seen.flush()
    listed = (await mine.get("/auth/sessions")).json()["sessions"]
    assert len(listed) == 3
    (used,) = (row for row in listed if row["seen_at"] != row["created_at"])
    assert (await mine.delete(f"/auth/sessions/{used['id']}")).status_code == 204
    assert code(await one.get("/protected")) == (401, "session_expired")
    assert (await other.get("/protected")).status_code == 200
    assert (await mine.delete("/auth/sessions")).status_code == 204
    assert code(await other.get("/protected")) == (401, "session_expired")
    (left,) = (await mine.get("/auth/sessions")).json()["sessions"]
    assert left["current"]


@pytest.mark.proof("ASVS-7.2.4")
async def test_a_new_secret_at_reauthentication(stand: Stand) -> None:
    mine = await stand.signed_in(deliver="session")
    first = mine.cookies["admit-session"]
    assert (await with_cookie(stand, first)).status_code == 200
    assert (await mine.post("/auth/reauthenticate", json={"password": PASSWORD})).status_code == 204
    assert mine.cookies["admit-session"] != first
    assert (await mine.get("/protected")).status_code == 200
    assert code(await with_cookie(stand, first)) == (401, "not_authenticated")


@pytest.mark.proof("ASVS-7.3.1", "ASVS-7.3.2", "NIST-5.2")
async def test_idle_and_absolute_limits(stand: Stand) -> None:
    idle, busy = await stand.signed_in(deliver="session"), await stand.signed_in(deliver="session")
    for _ in range(3):
        stand.clock.advance(timedelta(hours=7))
        assert (await busy.get("/protected")).status_code == 200
        await stand.auth.rooms.seen.flush()
    assert code(await idle.get("/protected")) == (401, "session_expired")
    assert len((await busy.get("/auth/sessions")).json()["sessions"]) == 1
    stand.clock.advance(timedelta(hours=3, seconds=1))
    assert code(await busy.get("/protected")) == (401, "session_expired")


async def test_a_late_note_of_a_use_does_not_revive(stand: Stand) -> None:
    mine = await stand.signed_in(deliver="session")
    session = await only_id(mine)
    stand.clock.advance(timedelta(hours=8, seconds=1))
    stand.auth.rooms.seen.note(session, stand.clock.now())
    await stand.auth.rooms.seen.flush()
    assert code(await mine.get("/protected")) == (401, "session_expired")


async def test_a_disabled_person_is_out(stand: Stand) -> None:
    mine = await stand.signed_in(deliver="session")
    assert (await mine.get("/protected")).status_code == 200
    await stand.disable((await stand.account("alice")).shown)
    assert code(await mine.get("/protected")) == (401, "not_authenticated")


# -- Valkey ------------------------------------------------------------------------------------------------------------


async def test_one_key_a_session_for_24_hours_and_none_after_the_logout(uncached: Stand, server: Valkey) -> None:
    mine = await uncached.signed_in(deliver="session")
    (key,) = await keys(server)
    assert key == f"admit:session:{show('ses', await only_id(mine))}"
    assert 86_390 < await server.redis.ttl(key) <= 86_400
    # nothing that would help a thief, nothing about the person
    assert set(await server.redis.hkeys(key)) == {b"version", b"seen_at", b"idle"}
    uncached.clock.advance(timedelta(hours=1))
    assert (await mine.post("/auth/reauthenticate", json={"password": PASSWORD})).status_code == 204
    assert await keys(server) == [key]
    assert (await mine.post("/auth/logout")).status_code == 204
    await settled()
    assert await keys(server) == []


async def test_ending_all_clears_every_key_but_one(uncached: Stand, server: Valkey) -> None:
    mine, *_ = [await uncached.signed_in(deliver="session") for _ in range(3)]
    assert len(await keys(server)) == 3
    assert (await mine.delete("/auth/sessions")).status_code == 204
    await settled()
    assert await keys(server) == [f"admit:session:{show('ses', await only_id(mine))}"]


async def test_a_use_writes_to_valkey_alone(uncached: Stand, server: Valkey) -> None:
    mine = await uncached.signed_in(deliver="session")
    (key,) = await keys(server)
    row = sa.select(schema.sessions)
    before = await uncached.write(lambda tx: tx.connection.execute(row).all())
    uncached.clock.advance(timedelta(hours=1))
    assert (await mine.get("/protected")).status_code == 200
    await uncached.auth.rooms.seen.flush()
    assert await server.redis.hget(key, "seen_at") == str(uncached.clock.now()).encode()
    assert await uncached.write(lambda tx: tx.connection.execute(row).all()) == before


async def test_an_emptied_valkey_signs_everybody_out(uncached: Stand, server: Valkey) -> None:
    mine, also = await uncached.signed_in(deliver="session"), await uncached.signed_in(deliver="session")
    tokens = await uncached.signed_in()
    await server.redis.flushall()
    await uncached.auth.rooms.seen.flush()
    for lost in (mine, also):
        assert code(await lost.get("/protected")) == (401, "session_expired")
    # what is lost is not listed; what is no session goes on, and a new sign-in takes effect
    assert [row["kind"] for row in (await tokens.get("/auth/sessions")).json()["sessions"]] == ["tokens"]
    again = await login(mine, deliver="session")
    assert again.status_code == 200
    assert (await mine.get("/protected")).status_code == 200
    assert await keys(server) != []


async def test_what_a_process_has_read_holds_five_minutes_at_most(
    opened: Open, valkey_url: str, server: Valkey
) -> None:
    async with opened("fastapi", **in_valkey(valkey_url)) as stand:
        await stand.person()
        mine = await stand.signed_in(deliver="session")
        assert (await mine.get("/protected")).status_code == 200
        await server.redis.flushall()
        stand.clock.advance(FIVE_MINUTES)
        assert code(await mine.get("/protected")) == (401, "session_expired")


async def _snapshot(server: Valkey) -> dict[str, Any]:
    return {key: await server.redis.dump(key) for key in await keys(server)}


async def _restore(server: Valkey, snapshot: dict[str, Any]) -> None:
    await server.redis.flushall()
    for key, value in snapshot.items():
        await server.redis.restore(key, 86_400_000, value)


@pytest.mark.proof("ASVS-7.4.1", "ASVS-7.2.4")
async def test_a_restored_snapshot_brings_nothing_back(uncached: Stand, server: Valkey) -> None:
    left, renewed, unhurt, watcher = [await uncached.signed_in(deliver="session") for _ in range(4)]
    first, second = left.cookies["admit-session"], renewed.cookies["admit-session"]
    snapshot = await _snapshot(server)
    assert len(snapshot) == 4
    assert (await left.post("/auth/logout")).status_code == 204
    assert (await renewed.post("/auth/reauthenticate", json={"password": PASSWORD})).status_code == 204
    await settled()
    await _restore(server, snapshot)
    assert len(await keys(server)) == 4
    assert code(await with_cookie(uncached, first)) == (401, "session_expired")
    # the old secret stays dead; the new one is as good as lost, never the other way round
    assert code(await with_cookie(uncached, second)) == (401, "not_authenticated")
    assert code(await renewed.get("/protected")) == (401, "session_expired")
    assert (await unhurt.get("/protected")).status_code == 200
    assert len((await unhurt.get("/auth/sessions")).json()["sessions"]) == 2
    await uncached.disable((await uncached.account("alice")).shown)
    await _restore(server, snapshot)
    assert code(await watcher.get("/protected")) == (401, "not_authenticated")


async def test_who_writes_in_valkey_makes_no_session(uncached: Stand, server: Valkey) -> None:
    mine = await uncached.signed_in(deliver="session")
    cookie, session = mine.cookies["admit-session"], await only_id(mine)
    assert (await mine.post("/auth/logout")).status_code == 204
    fresh: dict[Any, Any] = {"version": "1", "seen_at": str(uncached.clock.now()), "idle": "28800000000"}
    invented = bytes(16)
    for identifier in (session, invented):
        for version in ("1", "2"):
            name = f"admit:session:{show('ses', identifier)}"
            await server.redis.hset(name, mapping={**fresh, "version": version})
            forged = session_format("admit").issue(SessionParts(1, identifier, bytes(32)).pack())
            for text in (cookie, forged):
                assert (await with_cookie(uncached, text)).status_code == 401


@pytest.mark.valkey
@pytest.mark.proof("ASVS-16.5.2", "ASVS-16.5.3")
async def test_a_valkey_that_is_down_refuses_and_one_that_is_back_serves(
    opened: Open, own_valkey: TempValkey
) -> None:  # fmt: skip
    async with opened("fastapi", **in_valkey(own_valkey.url), **UNCACHED) as stand:
        await stand.person()
        mine, gone = await stand.signed_in(deliver="session"), await stand.signed_in(deliver="session")
        cookie, tokens = gone.cookies["admit-session"], await stand.signed_in()
        assert (await gone.post("/auth/logout")).status_code == 204
        own_valkey.halt()
        answer = await mine.get("/protected")
        assert code(answer) == (503, "unavailable")
        assert (await mine.get("/maybe")).status_code == 503  # not taken for nobody either
        assert (await login(stand.caller(), deliver="session")).status_code == 503
        # what the database alone can tell is told
        assert code(await with_cookie(stand, cookie)) == (401, "session_expired")
        assert (await tokens.get("/protected")).status_code == 200
        own_valkey.resume()
        assert code(await mine.get("/protected")) == (401, "session_expired")
        assert (await login(mine, deliver="session")).status_code == 200
        assert (await mine.get("/protected")).status_code == 200


@pytest.mark.valkey
async def test_ending_a_session_needs_no_valkey(opened: Open, own_valkey: TempValkey) -> None:
    async with opened("fastapi", **in_valkey(own_valkey.url)) as stand:
        await stand.person()
        mine = await stand.signed_in(deliver="session")
        cookie = mine.cookies["admit-session"]
        assert (await mine.get("/protected")).status_code == 200  # now it is known here
        own_valkey.halt()
        assert (await mine.post("/auth/logout")).status_code == 204
        await settled()
        assert code(await with_cookie(stand, cookie)) == (401, "session_expired")


async def test_a_session_that_another_process_ended_is_dead_here(
    opened: Open, valkey_url: str, tmp_path: Path
) -> None:  # fmt: skip
    options = {**in_valkey(valkey_url), "database": f"sqlite:///{tmp_path / 'both.sqlite3'}"}
    async with opened("fastapi", **options) as one, opened("starlette", **options) as other:
        await one.person()
        mine = await one.signed_in(deliver="session")
        cookie = mine.cookies["admit-session"]
        assert (await with_cookie(other, cookie)).status_code == 200
        assert (await mine.post("/auth/logout")).status_code == 204
        assert code(await with_cookie(other, cookie)) == (401, "session_expired")


async def test_the_store_changes_hands_without_anybody_coming_in(
    opened: Open, valkey_url: str, tmp_path: Path
) -> None:  # fmt: skip
    database = f"sqlite:///{tmp_path / 'moved.sqlite3'}"
    async with opened("fastapi", database=database, limits=WIDE) as stand:
        await stand.person()
        mine, gone = await stand.signed_in(deliver="session"), await stand.signed_in(deliver="session")
        cookie, ended = mine.cookies["admit-session"], gone.cookies["admit-session"]
        assert (await gone.post("/auth/logout")).status_code == 204
    async with opened("fastapi", database=database, **in_valkey(valkey_url)) as stand:
        for text in (cookie, ended):
            assert code(await with_cookie(stand, text)) == (401, "session_expired")


async def test_beside_postgresql(opened: Open, pg_empty: str, valkey_url: str, server: Valkey) -> None:
    async with opened("fastapi", database=pg_empty, **in_valkey(valkey_url), **UNCACHED) as stand:
        await stand.person()
        mine = await stand.signed_in(deliver="session")
        first = mine.cookies["admit-session"]
        assert (await mine.post("/auth/reauthenticate", json={"password": PASSWORD})).status_code == 204
        await settled()
        second = mine.cookies["admit-session"]
        assert len(await keys(server)) == 1
        assert code(await with_cookie(stand, first)) == (401, "not_authenticated")
        assert (await with_cookie(stand, second)).status_code == 200
        assert (await mine.post("/auth/logout")).status_code == 204
        await settled()
        assert await keys(server) == []
        assert code(await with_cookie(stand, second)) == (401, "session_expired")
