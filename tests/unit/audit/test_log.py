"""Observed events: in batches, folded under flood, counted when they cannot be kept."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from admit.audit.log import Bounds, Observed
from admit.audit.reading import Filter, list_events
from admit.ground.clock import micros
from admit.ground.events import Event
from admit.ground.kit import Kit
from admit.stores.sql import schema
from admit.stores.sql.events import EventRow
from admit.testing.clock import ManualClock
from tests.parts.stores import Switch, Turns, opened


async def written(kit: Kit, *types: str) -> list[EventRow]:
    """Oldest first."""
    return list(reversed((await list_events(kit.work, Filter(types=types), limit=5000)).events))


def refusal(number: int = 0, **fields: Any) -> Event:
    return Event("request.refused", "refused", "csrf.missing", request_id=f"req-{number}", **fields)


@pytest.mark.proof("ASVS-16.2.1", "ASVS-16.3.3")
async def test_each_event_keeps_its_own_time_and_request(kit: Kit, clock: ManualClock) -> None:
    observed = Observed(kit)
    times = []
    for number in range(3):
        times.append(clock.now())
        observed.observe(refusal(number, address="192.0.2.1", agent="curl"))
        clock.advance(timedelta(milliseconds=200))
    await observed.close()
    rows = await written(kit)
    assert [(row.at, row.request_id, row.address, row.agent) for row in rows] == [
        (at, f"req-{number}", "192.0.2.1", "curl") for number, at in enumerate(times)
    ]


async def test_few_events_are_never_folded(kit: Kit) -> None:
    observed = Observed(kit, Bounds(single=10))
    for _ in range(10):
        observed.observe(refusal(address="192.0.2.1"))
    await observed.close()
    assert [row.count for row in await written(kit)] == [1] * 10


async def test_a_flood_is_folded_and_every_event_counted(kit: Kit) -> None:
    observed = Observed(kit, Bounds(single=5, rows=20))
    for number in range(1000):
        observed.observe(refusal(number, address=f"192.0.2.{number % 10}"))
    await observed.close()
    rows = await written(kit)
    assert len(rows) == 15
    assert [row.count for row in rows[:5]] == [1] * 5
    assert sum(row.count for row in rows) == 1000
    assert {row.type for row in rows} == {"request.refused"}


async def test_what_exceeds_the_rows_of_a_batch_is_counted_by_type_and_reason(kit: Kit) -> None:
    observed = Observed(kit, Bounds(single=5, rows=20))
    for number in range(500):
        observed.observe(Event("login.failed", "refused", "login.unknown", identifier=f"name-{number}"))
        observed.observe(Event("request.refused", "refused", "csrf.missing", address=f"2001:db8::{number:x}"))
    await observed.close()
    rows = await written(kit)
    assert len(rows) == 21
    rest = rows[-1]
    assert rest.type == "events.folded"
    assert set(rest.data["events"]) == {"login.failed/login.unknown", "request.refused/csrf.missing"}
    assert sum(rest.data["events"].values()) == rest.count
    assert sum(row.count for row in rows) == 1000


async def test_key_use_is_always_counted_per_key(kit: Kit) -> None:
    observed = Observed(kit)
    for number in range(50):
        observed.observe(Event("api_key.used", credential=f"key_{number % 2}", request_id=f"req-{number}"))
    await observed.close()
    assert sorted((row.credential, row.count) for row in await written(kit)) == [("key_0", 25), ("key_1", 25)]


async def test_a_store_that_is_down_loses_only_numbers_it_tells(kit: Kit, clock: ManualClock) -> None:
    work = Switch(kit.work)
    observed = Observed(Kit(work, clock), Bounds(single=30, rows=30, keep=40))
    work.down = True
    happened = clock.now()
    for second in range(3):
        for number in range(30):
            observed.observe(refusal(number, address=f"192.0.2.{second}"))
        assert not await observed.flush()
        clock.advance(timedelta(seconds=1))
    work.down = False
    assert await observed.flush()
    assert await observed.flush()  # the drops of this flush are told by the next
    rows = await written(kit)
    dropped = [row for row in rows if row.type == "events.dropped"]
    assert sum(row.count for row in dropped) == 50
    assert dropped[0].data["events"] == {"request.refused/csrf.missing": 50}
    kept = [row for row in rows if row.type == "request.refused"]
    assert len(kept) == 40
    assert min(row.at for row in kept) == happened
    await observed.close()


async def test_a_second_failure_keeps_the_number_of_the_first(kit: Kit, clock: ManualClock) -> None:
    work = Switch(kit.work)
    observed = Observed(Kit(work, clock), Bounds(single=10, rows=10, keep=4))
    work.down = True
    for number in range(10):
        observed.observe(refusal(number))
    for _ in range(3):
        assert not await observed.flush()
    work.down = False
    await observed.close()
    rows = await written(kit)
    assert sum(row.count for row in rows) == 10
    assert [row.count for row in rows if row.type == "events.dropped"] == [6]


async def test_observe_never_raises(database: Any, clock: ManualClock, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(ManualClock):
        def now(self) -> int:
            raise OSError("no clock")

    Observed(Kit(database, Broken())).observe(refusal())
    assert "observe.failed" in caplog.text


@pytest.mark.proof("ASVS-16.4.1")
async def test_no_text_can_spoil_the_batch(kit: Kit) -> None:
    observed = Observed(kit)
    observed.observe(
        Event("login.failed", "refused", "login.unknown", identifier="a\x00b\ud800\n\x1b[31m", data={"x\x00": "\x00"})
    )
    observed.observe(Event("login.failed", "refused", "login.unknown", agent="x" * 100_000))
    observed.observe(refusal())
    await observed.close()
    first, second, third = await written(kit)
    assert first.identifier == "a\ufffdb\ufffd\n\x1b[31m"
    assert first.data == {"x\ufffd": "\ufffd"}
    assert second.agent == "x" * 1000
    assert third.reason == "csrf.missing"


async def test_the_loop_starts_by_itself_and_writes_without_being_asked(kit: Kit) -> None:
    turns = Turns()
    observed = Observed(kit, pause=turns)
    observed.observe(refusal(1))
    await turns.reached()
    observed.observe(refusal(2))
    await turns.go()
    assert [row.request_id for row in await written(kit)] == ["req-1", "req-2"]
    assert set(turns.waits) == {1.0}
    await observed.close()


async def test_waits_grow_while_the_store_is_down_and_the_loop_goes_on(kit: Kit, clock: ManualClock) -> None:
    turns, work = Turns(), Switch(kit.work)
    work.down = True
    observed = Observed(Kit(work, clock), pause=turns)
    observed.observe(refusal(1))
    for _ in range(6):
        await turns.go()
    work.down = False
    await turns.go()
    assert turns.waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 1.0]
    assert len(await written(kit)) == 1
    await observed.close()


async def test_after_close_it_can_be_used_again(kit: Kit) -> None:
    observed = Observed(kit, pause=Turns())
    for number in range(3):
        observed.observe(refusal(number))
        await observed.close()
    assert len(await written(kit)) == 3


def test_a_new_event_loop_starts_it_anew_and_the_old_one_leaves_nothing_behind(tmp_path: Path) -> None:
    clock = ManualClock()
    held: dict[str, Any] = {}

    async def first() -> None:
        database = await opened(f"sqlite:///{tmp_path / 'admit.sqlite3'}", clock)
        held["kit"] = Kit(database, clock)
        held["observed"] = Observed(held["kit"], pause=Turns())
        held["observed"].observe(refusal(1))
        await asyncio.sleep(0)
        held["observed"].observe(refusal(2))
        # no close: the application had no lifespan

    async def second() -> None:
        held["observed"].observe(refusal(3))
        await held["observed"].close()
        rows = await written(held["kit"])
        assert [row.request_id for row in rows] == ["req-1", "req-2", "req-3"]
        await held["kit"].work.close()

    asyncio.run(first())
    asyncio.run(second())


async def test_threads_lose_nothing(kit: Kit) -> None:
    observed = Observed(kit, Bounds(single=10, rows=50))

    def many() -> None:
        for number in range(500):
            observed.observe(refusal(number, address=f"192.0.2.{number % 7}"))

    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    await asyncio.to_thread(lambda: [thread.join() for thread in threads])
    await observed.close()
    assert sum(row.count for row in await written(kit)) == 2000


async def test_personal_data_stands_apart(kit: Kit) -> None:
    observed = Observed(kit)
    observed.observe(refusal(address="192.0.2.1", agent="curl"))
    await observed.close()
    columns = await kit.work.read(lambda tx: tx.connection.execute(sa.select(schema.events)).mappings().one())
    assert not any("192.0.2.1" in str(value) or "curl" in str(value) for value in columns.values())
    assert len(columns["personal"]) == 32


async def test_a_failure_of_the_rows_themselves_is_counted(
    kit: Kit, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed = Observed(kit)
    observed.observe(refusal(1))
    monkeypatch.setattr("admit.audit.log._emit", lambda tx, part: 1 / 0)
    await observed.flush()
    monkeypatch.undo()
    await observed.flush()
    (row,) = await written(kit)
    assert (row.type, row.count) == ("events.dropped", 1)


def test_the_bounds_say_one_second() -> None:
    assert micros(Bounds().every) <= 1_000_000
