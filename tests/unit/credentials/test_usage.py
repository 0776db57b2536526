"""Uses of keys: noted without the store, written in batches, kept while the store is away."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from admit.credentials import usage as module
from admit.credentials.usage import Usage
from admit.ground.errors import Unavailable
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.work import Tx, Work
from admit.stores.sql import schema
from admit.stores.sql.database import open_database
from admit.testing.clock import ManualClock
from admit.testing.key_suite import add_key, add_owner, keys_of

T = TypeVar("T")
DORMANT = timedelta(days=90)
NOW = timedelta(0)


class Watched:
    """A store that can be away, break or be slow, and that tells how often it was written to."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.writes = 0
        self.failure: Exception | None = None
        self.tried = asyncio.Event()
        self.written = asyncio.Event()
        self.gate = asyncio.Event()
        self.gate.set()

    async def write(self, body: Callable[[Tx], T]) -> T:
        self.writes += 1
        self.tried.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        result = await self._work.write(body)
        self.written.set()
        return result

    async def batch(self) -> None:
        """Waits until the timer's batch has been written."""
        await self.written.wait()
        self.written.clear()

    async def read(self, body: Callable[[Tx], T]) -> T:
        return await self._work.read(body)


@pytest.fixture
def work(kit: Kit) -> Watched:
    return Watched(kit.work)


@pytest.fixture
def usage(work: Watched, clock: ManualClock) -> Usage:
    return Usage(work, clock, dormant=DORMANT)


async def new_key(kit: Kit) -> bytes:
    return (await add_key(kit, await add_owner(kit))).row.id


async def seen(kit: Kit, key: bytes) -> tuple[Any, ...] | None:
    rows = schema.api_key_usage
    select = sa.select(rows.c.uses, rows.c.last_used_at, rows.c.last_address).where(rows.c.key_id == key)
    row = await kit.work.read(lambda tx: tx.connection.execute(select).one_or_none())
    return None if row is None else tuple(row)


async def events(kit: Kit, type_: str) -> list[Any]:
    select = sa.select(schema.events).where(schema.events.c.type == type_).order_by(schema.events.c.seq)
    return await kit.work.read(lambda tx: list(tx.connection.execute(select)))


async def test_a_note_touches_no_store_and_a_batch_counts_them_all(
    kit: Kit, usage: Usage, work: Watched, clock: ManualClock
) -> None:
    key, other = await new_key(kit), await new_key(kit)
    usage.note(key, "198.51.100.1")
    clock.advance(timedelta(seconds=1))
    usage.note(key, "198.51.100.2")
    usage.note(other, None)
    assert (work.writes, usage.pending) == (0, 2)
    assert await usage.flush() == 2
    assert (work.writes, usage.pending) == (1, 0)
    assert await seen(kit, key) == (2, clock.now(), "198.51.100.2")
    assert await seen(kit, other) == (1, clock.now(), None)
    clock.advance(timedelta(seconds=1))
    usage.note(key, "198.51.100.3")
    await usage.flush()
    assert await seen(kit, key) == (3, clock.now(), "198.51.100.3")
    assert await usage.flush() == 0
    assert work.writes == 2
    await usage.close()


async def test_the_list_shows_it(kit: Kit, usage: Usage, clock: ManualClock) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row.id
    usage.note(key, "198.51.100.1")
    await usage.close()
    (row,) = await kit.work.read(lambda tx: keys_of(kit).list(tx, owner))
    assert (row.uses, row.last_used_at, row.last_address) == (1, clock.now(), "198.51.100.1")


async def test_an_older_batch_of_another_process_does_not_turn_the_time_back(
    kit: Kit, usage: Usage, work: Watched
) -> None:
    key = await new_key(kit)
    behind = ManualClock(kit.clock.now() - 1000)
    late = Usage(work, behind)
    usage.note(key, "198.51.100.1")
    late.note(key, "198.51.100.2")
    await usage.flush()
    await late.close()
    assert await seen(kit, key) == (2, kit.clock.now(), "198.51.100.1")
    await usage.close()


async def test_a_batch_is_one_statement_in_the_order_of_the_keys(kit: Kit, usage: Usage) -> None:
    keys = sorted([await new_key(kit) for _ in range(20)])
    for key in reversed(keys):
        usage.note(key, None)
    inserts: list[Any] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "INSERT INTO admit_api_key_usage" in statement:
            inserts.append([value for value in parameters if value in keys])

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    await usage.close()
    sa.event.remove(sa.Engine, "before_cursor_execute", note)
    assert inserts == [keys]


async def test_many_keys_are_written_in_several_batches(
    kit: Kit, usage: Usage, work: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    keys = [await new_key(kit) for _ in range(7)]
    for key in keys:
        usage.note(key, None)
    assert await usage.flush() == 7
    assert work.writes == 3
    assert [(await seen(kit, key) or (0,))[0] for key in keys] == [1] * 7
    await usage.close()


async def test_a_deleted_key_does_not_come_back(kit: Kit, usage: Usage) -> None:
    gone, kept = await new_key(kit), await new_key(kit)
    usage.note(gone, None)
    usage.note(kept, None)
    usage.note(kit.new_id(), None)
    deleted = sa.delete(schema.api_keys).where(schema.api_keys.c.id == gone)
    await kit.work.write(lambda tx: tx.connection.execute(deleted) and None)
    assert await usage.flush() == 3
    assert await seen(kit, gone) is None
    assert (await seen(kit, kept) or (0,))[0] == 1
    assert len(await events(kit, "api_key.used")) == 1
    await usage.close()


async def test_uses_are_kept_while_the_store_is_away(kit: Kit, usage: Usage, work: Watched) -> None:
    key = await new_key(kit)
    usage.note(key, "198.51.100.1")
    work.failure = Unavailable("database")
    assert await usage.flush() == 0
    usage.note(key, "198.51.100.1")
    assert await usage.flush() == 0
    assert usage.pending == 1
    work.failure = None
    assert await usage.flush() == 1
    assert (await seen(kit, key) or (0,))[0] == 2
    await usage.close()


async def test_uses_are_kept_when_a_batch_breaks(kit: Kit, usage: Usage, work: Watched) -> None:
    key = await new_key(kit)
    usage.note(key, None)
    work.failure = RuntimeError("broken")
    with pytest.raises(RuntimeError, match="broken"):
        await usage.flush()
    work.failure = None
    assert await usage.flush() == 1
    await usage.close()


async def test_what_is_kept_has_a_bound(kit: Kit, usage: Usage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 2)
    keys = [await new_key(kit) for _ in range(3)]
    for key in [*keys, *keys]:
        usage.note(key, None)
    await usage.close()
    assert [(await seen(kit, key) or (0,))[0] for key in keys] == [2, 2, 0]


async def test_a_batch_comes_by_itself(kit: Kit, work: Watched, clock: ManualClock) -> None:
    key = await new_key(kit)
    usage = Usage(work, clock, every=NOW)
    for number in (1, 2):
        usage.note(key, None)
        await work.batch()
        assert (await seen(kit, key) or (0,))[0] == number
    assert work.writes == 2
    await usage.close()


async def test_a_failed_batch_is_tried_again_by_itself(kit: Kit, work: Watched, clock: ManualClock) -> None:
    key = await new_key(kit)
    usage = Usage(work, clock, every=NOW)
    work.failure = Unavailable("database")
    usage.note(key, None)
    await work.tried.wait()
    work.failure = None
    await work.batch()
    assert (await seen(kit, key) or (0,))[0] == 1
    assert work.writes >= 2
    await usage.close()


async def test_a_broken_batch_is_logged_and_tried_again(
    kit: Kit, work: Watched, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    key = await new_key(kit)
    usage = Usage(work, clock, every=NOW)
    work.failure = RuntimeError("broken")
    usage.note(key, None)
    await work.tried.wait()
    work.failure = None
    await work.batch()
    assert [record.levelname for record in caplog.records if record.name == "admit.usage"]
    assert (await seen(kit, key) or (0,))[0] == 1
    await usage.close()


async def test_close_waits_for_the_batch_under_way_and_writes_what_came_since(
    kit: Kit, work: Watched, clock: ManualClock
) -> None:
    key = await new_key(kit)
    usage = Usage(work, clock, every=NOW)
    work.gate.clear()
    usage.note(key, None)
    await work.tried.wait()
    usage.note(key, None)
    closing = asyncio.ensure_future(usage.close())
    await asyncio.sleep(0)
    assert not closing.done()
    work.gate.set()
    await closing
    assert (await seen(kit, key) or (0,))[0] == 2
    assert work.writes == 2


async def test_close_does_not_fail_when_the_store_is_away(kit: Kit, usage: Usage, work: Watched) -> None:
    usage.note(await new_key(kit), None)
    work.failure = Unavailable("database")
    await usage.close()
    assert usage.pending == 1


async def test_a_cancelled_batch_is_not_counted_twice(kit: Kit, usage: Usage, work: Watched) -> None:
    key = await new_key(kit)
    usage.note(key, None)
    work.gate.clear()
    flush = asyncio.ensure_future(usage.flush())
    await work.tried.wait()
    flush.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flush
    assert usage.pending == 0
    work.gate.set()
    await usage.close()


def test_the_timer_follows_the_loop(tmp_path: Any) -> None:
    """A first loop ends with the timer waiting; the next one still gets its batch, uses of the first included."""
    clock = ManualClock()
    url = f"sqlite:///{tmp_path / 'admit.sqlite3'}"
    database = open_database(url, clock, secrets.token_bytes)
    kit = Kit(database, clock)
    work = Watched(database)
    usage = Usage(work, clock, every=timedelta(days=1))

    async def first() -> bytes:
        await database.migrate()
        key = await new_key(kit)
        usage.note(key, None)
        return key

    async def second(key: bytes) -> None:
        usage._every = 0
        usage.note(key, None)
        await work.batch()
        assert (await seen(kit, key) or (0,))[0] == 3
        await usage.close()
        await database.close()

    key = asyncio.run(first())
    usage.note(key, None)  # between two loops there is none
    asyncio.run(second(key))


async def test_each_batch_is_one_counted_event_a_key(kit: Kit, usage: Usage) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row.id
    for _ in range(5):
        usage.note(key, "198.51.100.1")
    await usage.close()
    (event,) = await events(kit, "api_key.used")
    assert (event.count, event.subject, event.credential) == (5, show("usr", owner), show("key", key))
    assert await events(kit, "api_key.woke") == []


async def test_a_key_that_wakes_up_is_told_with_the_time_of_its_last_use(
    kit: Kit, usage: Usage, clock: ManualClock
) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row.id
    usage.note(key, None)
    await usage.flush()
    last = clock.now()
    clock.advance(DORMANT - timedelta(microseconds=1))
    usage.note(key, None)
    await usage.flush()
    assert await events(kit, "api_key.woke") == []
    last = clock.now()
    clock.advance(DORMANT)
    usage.note(key, "198.51.100.9")
    clock.advance(timedelta(seconds=5))
    usage.note(key, "198.51.100.9")
    await usage.flush()
    usage.note(key, None)
    await usage.flush()
    (event,) = await events(kit, "api_key.woke")
    assert event.data == {"previous_use": last}
    assert (event.subject, event.credential) == (show("usr", owner), show("key", key))
    await usage.close()


async def test_an_old_key_that_was_never_used_sleeps_as_well(kit: Kit, usage: Usage, clock: ManualClock) -> None:
    key = await new_key(kit)
    clock.advance(DORMANT)
    young = await new_key(kit)
    usage.note(key, None)
    usage.note(young, None)
    await usage.close()
    (event,) = await events(kit, "api_key.woke")
    assert event.credential == show("key", key)
    assert event.data == {"previous_use": None}


async def test_ninety_days_are_a_setting(kit: Kit, work: Watched, clock: ManualClock) -> None:
    key = await new_key(kit)
    usage = Usage(work, clock, dormant=timedelta(days=1))
    clock.advance(timedelta(days=1))
    usage.note(key, None)
    await usage.close()
    assert len(await events(kit, "api_key.woke")) == 1
