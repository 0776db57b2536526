"""Queued jobs: done once, again after a failure, never lost, never by two."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from admit.audit.reading import Filter, list_events
from admit.ground.clock import SECOND
from admit.ground.errors import Unavailable
from admit.ground.kit import Kit
from admit.ground.work import Job
from admit.jobs import Runner
from admit.jobs.runner import Pace
from admit.stores.sql import jobs, schema
from admit.testing.clock import ManualClock
from tests.parts.stores import Switch, Turns
from tests.unit.audit.conftest import Open


class Mailer:
    """A handler that notes what it did, and fails as often as it is told."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.done: list[Any] = []

    async def __call__(self, data: dict[str, Any]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.done.append(data["n"])


async def enqueue(kit: Kit, *numbers: int, kind: str = "mail", due: int | None = None) -> None:
    await kit.work.write(lambda tx: [tx.enqueue(Job(kind, {"n": n}, due)) for n in numbers])


async def state(kit: Kit) -> list[Any]:
    return await kit.work.read(lambda tx: list(tx.connection.execute(sa.select(schema.jobs).order_by("seq")).all()))


async def test_jobs_are_done_once(kit: Kit) -> None:
    mailer = Mailer()
    runner = Runner(kit, {"mail": mailer}, Pace(batch=2))
    await enqueue(kit, 1, 2, 3)
    assert [await runner.run_once() for _ in range(3)] == [2, 1, 0]
    assert sorted(mailer.done) == [1, 2, 3]
    assert await kit.work.read(jobs.waiting) == 0


async def test_nothing_is_queued_by_what_rolls_back(kit: Kit) -> None:
    def body(tx: Any) -> None:
        tx.enqueue(Job("mail", {"n": 1}))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await kit.work.write(body)
    assert await Runner(kit, {"mail": Mailer()}).run_once() == 0


async def test_a_job_waits_until_it_is_due(kit: Kit, clock: ManualClock) -> None:
    mailer = Mailer()
    runner = Runner(kit, {"mail": mailer})
    await enqueue(kit, 1, due=clock.now() + 10 * SECOND)
    assert await runner.run_once() == 0
    clock.advance(timedelta(seconds=10))
    assert await runner.run_once() == 1


async def test_kinds_without_a_handler_are_left_to_others(kit: Kit) -> None:
    await enqueue(kit, 1, kind="webhook")
    assert await Runner(kit, {"mail": Mailer()}).run_once() == 0
    mailer = Mailer()
    assert await Runner(kit, {"webhook": mailer}).run_once() == 1
    assert mailer.done == [1]


async def test_failures_are_tried_again_with_growing_delay(kit: Kit, clock: ManualClock) -> None:
    mailer = Mailer(*(OSError(f"no {n}") for n in range(5)))
    runner = Runner(kit, {"mail": mailer}, Pace(delay=timedelta(seconds=5), longest=timedelta(seconds=30)))
    await enqueue(kit, 1)
    delays = []
    for _ in range(5):
        before = clock.now()
        assert await runner.run_once() == 1
        (row,) = await state(kit)
        delays.append((row.due - before) // SECOND)
        clock.advance(timedelta(microseconds=row.due - before - 1))
        assert await runner.run_once() == 0
        clock.advance(timedelta(microseconds=1))
    assert delays == [5, 10, 20, 30, 30]
    assert row.error == "OSError: no 4"
    assert await runner.run_once() == 1
    (row,) = await state(kit)
    assert (mailer.done, row.error, row.attempts) == ([1], None, 6)
    assert row.done_at is not None


async def test_after_the_last_try_it_is_given_up_and_an_event_says_so(kit: Kit, clock: ManualClock) -> None:
    mailer = Mailer(*(OSError("password=hunter2") for _ in range(9)))
    runner = Runner(kit, {"mail": mailer}, Pace(attempts=3))
    await enqueue(kit, 1)
    for _ in range(5):
        await runner.run_once()
        clock.advance(timedelta(hours=2))
    (row,) = await state(kit)
    assert (row.attempts, row.error) == (3, "OSError: password=***")
    assert row.done_at is not None
    (event,) = (await list_events(kit.work, Filter(types=("job.abandoned",)))).events
    assert event.data == {"kind": "mail", "job": row.seq, "attempts": 3}


async def test_a_part_that_is_down_does_not_use_up_the_last_try(kit: Kit, clock: ManualClock) -> None:
    mailer = Mailer(*(Unavailable("mail") for _ in range(6)))
    runner = Runner(kit, {"mail": mailer}, Pace(attempts=2))
    await enqueue(kit, 1)
    for _ in range(7):
        await runner.run_once()
        clock.advance(timedelta(hours=2))
    assert mailer.done == [1]


async def test_the_lease_of_a_dead_process_runs_out(kit: Kit, another: Open, clock: ManualClock) -> None:
    await enqueue(kit, 1)
    # the other process died right after taking it
    await (await another()).write(lambda tx: jobs.lease(tx, tx.now + 60 * SECOND, 10, ["mail"]))
    mailer = Mailer()
    runner = Runner(kit, {"mail": mailer})
    assert await runner.run_once() == 0
    clock.advance(timedelta(seconds=61))
    assert await runner.run_once() == 1
    assert mailer.done == [1]


async def test_a_process_paused_past_its_lease_cannot_free_the_job_of_the_next(kit: Kit, clock: ManualClock) -> None:
    await enqueue(kit, 1)
    (paused,) = await kit.work.write(lambda tx: jobs.lease(tx, tx.now + 60 * SECOND, 10, ["mail"]))
    clock.advance(timedelta(seconds=61))
    (present,) = await kit.work.write(lambda tx: jobs.lease(tx, tx.now + 60 * SECOND, 10, ["mail"]))
    assert not await kit.work.write(lambda tx: jobs.retry(tx, paused, tx.now, "late"))
    assert not await kit.work.write(lambda tx: jobs.done(tx, paused))
    assert await kit.work.write(lambda tx: jobs.lease(tx, tx.now + 60 * SECOND, 10, ["mail"])) == []
    assert await kit.work.write(lambda tx: jobs.done(tx, present))
    assert not await kit.work.write(lambda tx: jobs.abandon(tx, present, "twice"))


async def test_several_processes_share_the_queue(kit: Kit, another: Open, clock: ManualClock) -> None:
    await enqueue(kit, *range(60))
    seen: Counter[int] = Counter()

    async def handle(data: dict[str, Any]) -> None:
        seen[data["n"]] += 1

    async def run(store: Any) -> None:
        runner = Runner(Kit(store, clock), {"mail": handle}, Pace(batch=4))
        while await kit.work.read(jobs.waiting):
            await runner.run_once()

    await asyncio.gather(*[run(await another()) for _ in range(3)])
    assert seen == Counter(range(60))


async def test_the_loop_waits_for_work_and_goes_on_after_an_outage(kit: Kit, clock: ManualClock) -> None:
    turns, work, mailer = Turns(), Switch(kit.work), Mailer()
    runner = Runner(Kit(work, clock), {"mail": mailer}, pause=turns)
    assert runner.ensure()
    await turns.reached()
    work.down = True
    await turns.go()
    await turns.go()
    await enqueue(kit, 1)
    work.down = False
    await turns.go()
    assert mailer.done == [1]
    assert turns.waits == [1.0, 2.0, 4.0, 1.0]
    await runner.close()


async def test_a_full_batch_is_followed_at_once_by_the_next(kit: Kit) -> None:
    turns, mailer = Turns(), Mailer()
    runner = Runner(kit, {"mail": mailer}, Pace(batch=2), pause=turns)
    await enqueue(kit, *range(7))
    runner.ensure()
    await turns.reached()
    assert sorted(mailer.done) == list(range(7))
    assert turns.waits == [1.0]
    await runner.close()


async def test_stopping_lets_the_job_in_hand_finish(kit: Kit) -> None:
    started, finish, done = asyncio.Event(), asyncio.Event(), []

    async def handle(data: dict[str, Any]) -> None:
        started.set()
        await finish.wait()
        done.append(data["n"])

    runner = Runner(kit, {"mail": handle}, pause=Turns())
    await enqueue(kit, 1)
    runner.ensure()
    await started.wait()
    closing = asyncio.create_task(runner.close())
    await asyncio.sleep(0)
    finish.set()
    await closing
    assert done == [1]
    assert await kit.work.read(jobs.waiting) == 0


async def test_stopping_gives_back_what_does_not_finish(kit: Kit) -> None:
    started = asyncio.Event()

    async def handle(_: dict[str, Any]) -> None:
        started.set()
        await asyncio.Event().wait()

    runner = Runner(kit, {"mail": handle}, pause=Turns())
    await enqueue(kit, 1)
    runner.ensure()
    await started.wait()
    await runner.close(grace=timedelta(0))
    (row,) = await state(kit)
    assert (row.leased_until, row.attempts, row.done_at) == (None, 0, None)
    mailer = Mailer()
    assert await Runner(kit, {"mail": mailer}).run_once() == 1


async def test_a_handler_that_hangs_is_cut_before_its_lease_ends(kit: Kit) -> None:
    async def handle(_: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    runner = Runner(kit, {"mail": handle}, Pace(lease=timedelta(microseconds=1)))
    await enqueue(kit, 1)
    assert await runner.run_once() == 1
    (row,) = await state(kit)
    assert row.error is not None
    assert row.error.startswith("TimeoutError")


async def test_done_jobs_are_forgotten(kit: Kit, clock: ManualClock) -> None:
    await enqueue(kit, 1, 2)
    runner = Runner(kit, {"mail": Mailer()})
    await runner.run_once()
    await enqueue(kit, 3)
    clock.advance(timedelta(days=1))
    assert await kit.work.write(lambda tx: jobs.forget(tx, tx.now)) == 2
    assert await kit.work.read(jobs.waiting) == 1
