"""One leader per name, and a fence against the one before."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from admit.ground.errors import Unavailable
from admit.ground.kit import Kit
from admit.jobs import Leader, Loop, Step, Steps
from admit.testing.clock import ManualClock
from tests.parts.stores import Switch, Turns
from tests.unit.audit.conftest import Open


async def test_one_leads_until_its_lease_ends(kit: Kit, clock: ManualClock) -> None:
    one, two = Leader(kit, "seal", "one"), Leader(kit, "seal", "two")
    assert await one.lead() == 1
    assert await two.lead() is None
    clock.advance(timedelta(seconds=10))
    assert await one.lead() == 1  # prolonged, still the same reign
    clock.advance(timedelta(seconds=10))
    assert await two.lead() is None
    clock.advance(timedelta(seconds=6))
    assert await two.lead() == 2
    assert await one.lead() is None


async def test_an_idle_leader_hardly_writes(kit: Kit, clock: ManualClock) -> None:
    work = Switch(kit.work)
    leader, other = Leader(Kit(work, clock), "seal", "one"), Leader(Kit(work, clock), "seal", "two")
    for _ in range(60):
        assert await leader.lead() == 1
        assert await other.lead() is None
        clock.advance(timedelta(seconds=1))
    assert work.writes == 12


async def test_names_are_apart(kit: Kit) -> None:
    assert await Leader(kit, "seal", "one").lead() == 1
    assert await Leader(kit, "clean", "two").lead() == 1


async def test_a_holder_that_comes_back_after_its_end_gets_a_new_fence(kit: Kit, clock: ManualClock) -> None:
    leader = Leader(kit, "seal", "one")
    await leader.lead()
    clock.advance(timedelta(seconds=16))
    assert await leader.lead() == 2


async def test_the_fence_stops_a_leader_that_slept(kit: Kit, clock: ManualClock) -> None:
    one, two = Leader(kit, "seal", "one"), Leader(kit, "seal", "two")
    await one.lead()
    assert await kit.work.write(one.holds)
    clock.advance(timedelta(seconds=16))
    await two.lead()
    assert not await kit.work.write(one.holds)
    assert await kit.work.write(two.holds)
    assert not await kit.work.write(Leader(kit, "seal", "three").holds)


async def test_resigning_lets_the_next_in_at_once(kit: Kit) -> None:
    one, two = Leader(kit, "seal", "one"), Leader(kit, "seal", "two")
    await one.lead()
    await two.resign()  # never led: nothing happens
    assert await two.lead() is None
    await one.resign()
    assert await two.lead() == 2
    assert not await kit.work.write(one.holds)


async def test_many_ask_at_once_and_one_gets_it(kit: Kit, another: Open, clock: ManualClock) -> None:
    leaders = [Leader(Kit(await another(), clock), "seal", str(number)) for number in range(5)]
    for fence in (1, 2, 3):
        assert [got for got in await asyncio.gather(*(leader.lead() for leader in leaders)) if got] == [fence]
        clock.advance(timedelta(seconds=16))


class Count:
    """A step that counts its runs and has more to do for a while."""

    def __init__(self, more: int = 0, error: Exception | None = None) -> None:
        self.runs = 0
        self.more = more
        self.error = error

    async def __call__(self) -> bool:
        self.runs += 1
        if self.error is not None:
            raise self.error
        self.more -= 1
        return self.more > 0


async def test_each_step_runs_when_it_is_due(kit: Kit, clock: ManualClock) -> None:
    often, seldom = Count(), Count()
    steps = Steps(kit, [Step("often", often), Step("seldom", seldom, timedelta(minutes=1))], "one")
    for _ in range(5):
        assert not await steps.run_once()
        clock.advance(timedelta(seconds=1))
    assert (often.runs, seldom.runs) == (5, 1)
    clock.advance(timedelta(minutes=1))
    await steps.run_once()
    assert seldom.runs == 2


async def test_a_step_with_more_to_do_is_due_at_once(kit: Kit) -> None:
    count = Count(more=3)
    steps = Steps(kit, [Step("seal", count, timedelta(minutes=1))], "one")
    assert [await steps.run_once() for _ in range(4)] == [True, True, False, False]
    assert count.runs == 3


async def test_only_the_leader_runs_a_step_and_a_stop_hands_over(kit: Kit, another: Open, clock: ManualClock) -> None:
    first, second = Count(), Count()
    one = Steps(kit, [Step("seal", first)], "one")
    two = Steps(Kit(await another(), clock), [Step("seal", second)], "two")
    for _ in range(3):
        await one.run_once()
        await two.run_once()
        clock.advance(timedelta(seconds=1))
    assert (first.runs, second.runs) == (3, 0)
    await one.close()
    await two.run_once()
    assert second.runs == 1
    assert two.leader("seal").fence == 2


async def test_a_step_that_fails_does_not_keep_the_others(kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    broken, whole = Count(error=LookupError("x")), Count()
    steps = Steps(kit, [Step("broken", broken), Step("whole", whole)], "one")
    assert not await steps.run_once()
    assert whole.runs == 1
    assert "step.failed" in caplog.text


async def test_the_loop_goes_on_after_an_outage(kit: Kit, clock: ManualClock) -> None:
    turns, work, count = Turns(), Switch(kit.work), Count()
    steps = Steps(Kit(work, clock), [Step("seal", count)], "one", pause=turns)
    work.down = True
    assert steps.ensure()
    await turns.go()
    work.down = False
    clock.advance(timedelta(seconds=1))
    await turns.go()
    assert count.runs == 1
    work.down = True
    await steps.close()  # the lease runs out by itself


async def test_a_step_whose_part_is_down_is_told_upwards(kit: Kit) -> None:
    steps = Steps(kit, [Step("seal", Count(error=Unavailable("kms")))], "one")
    with pytest.raises(Unavailable):
        await steps.run_once()


class TestLoop:
    async def test_an_unexpected_error_does_not_end_it(self, caplog: pytest.LogCaptureFixture) -> None:
        turns, count = Turns(), Count(error=LookupError("x"))
        loop = Loop("test", count, timedelta(seconds=1), pause=turns)
        loop.ensure()
        await turns.go()
        count.error = None
        await turns.go()
        assert count.runs == 3
        assert turns.waits == [2.0, 4.0, 1.0]
        assert "loop.failed" in caplog.text
        await loop.close()

    async def test_ensure_starts_one_only(self) -> None:
        turns, count = Turns(), Count()
        loop = Loop("test", count, timedelta(seconds=1), pause=turns)
        for _ in range(3):
            assert loop.ensure()
        await turns.reached()
        assert count.runs == 1
        await loop.close()
        await loop.close()

    async def test_wake_ends_the_wait(self) -> None:
        turns, count = Turns(), Count()
        loop = Loop("test", count, timedelta(hours=1), pause=turns)
        loop.ensure()
        await turns.reached()
        turns._waiting.clear()
        loop.wake()
        await turns.reached()
        assert count.runs == 2
        assert turns.waits == [3600.0, 3600.0]
        await loop.close()

    async def test_the_real_pause_ends_with_the_wake_or_the_time(self) -> None:
        from admit.jobs import pause

        wake = asyncio.Event()
        await pause(wake, 0)
        wake.set()
        await asyncio.wait_for(pause(wake, 3600), 5)

    def test_a_plain_thread_has_no_loop(self) -> None:
        assert not Loop("test", Count(), timedelta(seconds=1)).ensure()
