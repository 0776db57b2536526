"""What differs between the engines: their failures, their clean-up, what they keep."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from admit.ground.errors import Unavailable
from admit.limits import Limit, SqlLimits, ValkeyLimits, Waits
from admit.stores.sql import limits as rows
from admit.stores.sql.database import Database, open_database
from admit.stores.valkey import Valkey
from admit.testing.clock import ManualClock
from tests.parts.postgres import TempPostgres
from tests.parts.valkey import TempValkey

FIVE = Limit.parse("5/minute")
CLOSED = pytest.mark.proof("ASVS-16.5.2", "ASVS-16.5.3")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@asynccontextmanager
async def _opened(url: str, clock: ManualClock) -> AsyncIterator[Database]:
    database = open_database(url, clock, secrets.token_bytes)
    await database.migrate()
    yield database
    await database.close()


async def _fails_closed(limits: SqlLimits | ValkeyLimits) -> None:
    for verb in (limits.hit("a", FIVE), limits.refund("a", FIVE), limits.fail("a", Waits()), limits.waiting("a"),
                 limits.clear("a")):  # fmt: skip
        with pytest.raises(Unavailable):
            await verb


@CLOSED
@pytest.mark.valkey
async def test_a_valkey_that_is_down_refuses_and_one_that_is_back_counts(clock: ManualClock) -> None:
    server = TempValkey()
    client = Valkey(server.url)
    limits = ValkeyLimits(client, clock)
    try:
        with pytest.raises(Unavailable) as caught:
            await limits.hit("a", FIVE)
        assert caught.value.part == "limits"
        server.start()
        await client.ping()
        assert (await limits.hit("a", FIVE)).remaining == 4
        server.halt()
        await _fails_closed(limits)
        with pytest.raises(Unavailable):
            await client.ping()
        server.resume()
        # at the first try: the connection that the old server closed is not handed out, the script is loaded again
        assert (await limits.hit("a", FIVE)).remaining == 4
    finally:
        await client.close()
        server.stop()


@CLOSED
@pytest.mark.valkey
async def test_a_valkey_that_hangs_refuses_in_time(clock: ManualClock) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = Valkey(f"redis://127.0.0.1:{port}", timeout=timedelta(milliseconds=20))
        await _fails_closed(ValkeyLimits(client, clock))
        await client.close()


@CLOSED
async def test_a_valkey_that_refuses_the_command_refuses_the_hit(valkey_url: str, clock: ManualClock) -> None:
    client = Valkey(valkey_url)
    await client.redis.set("admit:wait:a", "not a hash")
    limits = ValkeyLimits(client, clock)
    for verb in (limits.fail("a", Waits()), limits.waiting("a")):
        with pytest.raises(Unavailable):
            await verb
    await client.close()


async def test_a_hit_whose_answer_is_lost_is_not_sent_again(valkey_url: str, clock: ManualClock) -> None:
    port = int(valkey_url.rpartition(":")[2].partition("/")[0])
    sent = []

    async def lossy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes everything on, and hangs up when the answer to a script has come."""
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", port)
        while command := await reader.read(65536):
            up_writer.write(command)
            answer = await up_reader.read(65536)
            if b"EVALSHA" in command and b"NOSCRIPT" not in answer:
                sent.append(command)
                break
            writer.write(answer)
        up_writer.close()
        writer.close()

    async with await asyncio.start_server(lossy, "127.0.0.1", 0) as server:
        client = Valkey(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        with pytest.raises(Unavailable):
            await ValkeyLimits(client, clock).hit("a", FIVE)
        await client.close()
    assert len(sent) == 1
    direct = ValkeyLimits(Valkey(valkey_url), clock, owned=True)
    assert (await direct.hit("a", FIVE)).remaining == 3
    await direct.close()


async def test_valkey_more_callers_than_connections_wait_their_turn(valkey_url: str, clock: ManualClock) -> None:
    limits = ValkeyLimits(Valkey(valkey_url), clock, owned=True)
    hits = await asyncio.gather(*(limits.hit("a", Limit.parse("300/minute")) for _ in range(400)))
    assert sum(hit.allowed for hit in hits) == 300
    await limits.close()


async def test_valkey_forgets_by_itself_and_under_our_prefix_only(valkey_url: str, clock: ManualClock) -> None:
    client = Valkey(valkey_url)
    limits = ValkeyLimits(client, clock)
    await limits.hit("a", FIVE)
    await limits.fail("a", Waits(forget=timedelta(hours=2)))
    life = {key: await client.redis.pttl(key) for key in await client.redis.keys("*")}
    assert set(life) == {b"admit:limit:a|5/60000000", b"admit:wait:a"}
    assert 12_000 < life[b"admit:limit:a|5/60000000"] <= 12_000 + 60_000
    assert 7_200_000 < life[b"admit:wait:a"] <= 7_200_000 + 60_000
    await limits.hit("a", FIVE)
    await limits.refund("a", FIVE)
    assert 12_000 < await client.redis.pttl("admit:limit:a|5/60000000") <= 12_000 + 60_000
    await limits.refund("a", FIVE)
    await limits.clear("a")
    assert await client.redis.keys("*") == []
    await client.close()


@CLOSED
@pytest.mark.postgres
async def test_a_postgresql_that_is_down_refuses(clock: ManualClock) -> None:
    server = TempPostgres().start()
    try:
        async with _opened(server.url(), clock) as database:
            limits = SqlLimits(database)
            assert (await limits.hit("a", FIVE)).allowed
            server.halt()
            await _fails_closed(limits)
    finally:
        server.stop()


@CLOSED
async def test_a_sqlite_that_is_closed_refuses(tmp_path: Path, clock: ManualClock) -> None:
    async with _opened(f"sqlite:///{tmp_path / 'a.sqlite3'}", clock) as database:
        limits = SqlLimits(database)
    for verb in (limits.hit("a", FIVE), limits.refund("a", FIVE), limits.fail("a", Waits())):
        with pytest.raises(Unavailable):
            await verb


@pytest.fixture(params=["sqlite", "postgresql"])
async def database(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    on_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'a.sqlite3'}" if on_sqlite else request.getfixturevalue("pg_database")
    async with _opened(url, clock) as opened:
        yield opened


async def _count(database: Database) -> tuple[int, int]:
    def body(tx: rows.Tx) -> tuple[int, int]:
        numbers = [
            tx.connection.scalar(sa.select(sa.func.count()).select_from(table)) for table in (rows.limits, rows.waits)
        ]
        return int(numbers[0] or 0), int(numbers[1] or 0)

    return await database.read(body)


async def test_the_cleaner_deletes_what_says_nothing_any_more_in_small_steps(
    database: Database, clock: ManualClock
) -> None:
    limits, waits = SqlLimits(database), Waits(after=1, longest=timedelta(minutes=1), forget=timedelta(minutes=2))
    for number in range(5):
        await limits.hit(f"old:{number}", FIVE)
        await limits.fail(f"old:{number}", waits)
    clock.advance(timedelta(seconds=119))
    await limits.hit("new", FIVE)
    await limits.fail("new", waits)
    assert await database.write(rows.forget) == 5
    assert await _count(database) == (1, 6)
    clock.advance(timedelta(seconds=1))
    assert [await database.write(lambda tx: rows.forget(tx, 2)) for _ in range(4)] == [2, 2, 1, 0]
    assert await _count(database) == (1, 1)
    assert (await limits.hit("new", FIVE)).remaining == 3


async def test_a_bucket_that_the_cleaner_takes_in_between_is_a_refusal_all_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = SqlLimits(database)
    monkeypatch.setattr(rows, "hit", lambda *_: None)
    hit = await limits.hit("gone", FIVE)
    assert not hit.allowed
    assert hit.retry_after > timedelta(0)
