"""The hash pool: off the event loop, at low priority, bounded, and indifferent to callers that hang up."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from admit.ground.errors import Refusal, Unavailable
from admit.people.passwords import Hasher, HashPool, Verdict, profile_of

PATIENCE = 10  # seconds, a bound on a broken test; a good one does not wait


@pytest.fixture
def pool() -> Iterator[HashPool]:
    pool = HashPool(Hasher(profile_of("cheap")), threads=1, waiting=2)
    yield pool
    pool.close()


class Gate:
    """A job that is running until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> str:
        self.entered.set()
        assert self.open.wait(PATIENCE)
        return "through"

    async def running(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, PATIENCE)


async def test_hash_and_verify(pool: HashPool) -> None:
    stored = await pool.hash("Correct Horse 1 Battery!")
    assert await pool.verify(stored, "Correct Horse 1 Battery!") == Verdict(ok=True)
    assert await pool.verify(stored, "Correct Horse 2 Battery!") == Verdict(ok=False)
    assert await pool.verify(None, "Correct Horse 1 Battery!") == Verdict(ok=False)
    assert await pool.verify("nonsense", "x") == Verdict(ok=False)


async def test_refusals_and_errors_reach_the_caller_and_the_thread_lives_on(pool: HashPool) -> None:
    with pytest.raises(Refusal) as refused:
        await pool.hash("a\x00b")
    assert refused.value.reason == "password.unreadable"
    with pytest.raises(ZeroDivisionError):
        await pool.run(lambda: 1 // 0)
    assert await pool.run(lambda: 7) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux only")
async def test_its_threads_have_the_lowest_priority_and_no_other(pool: HashPool) -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    assert await pool.run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id())) == 19
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before
    assert await pool.run(threading.get_native_id) != threading.get_native_id()


async def test_threads_are_as_many_as_cores() -> None:
    pool = HashPool(Hasher(profile_of("cheap")))
    try:
        assert f"threads={len(os.sched_getaffinity(0))}" in repr(pool)
        gates = [Gate() for _ in os.sched_getaffinity(0)]
        jobs = [asyncio.ensure_future(pool.run(gate)) for gate in gates]
        for gate in gates:
            await gate.running()
        for gate in gates:
            gate.open.set()
        assert await asyncio.gather(*jobs) == ["through"] * len(gates)
    finally:
        pool.close()


@pytest.mark.proof("ASVS-15.2.2")
async def test_a_full_queue_refuses_at_once_and_recovers(pool: HashPool) -> None:
    gate = Gate()
    running = asyncio.ensure_future(pool.run(gate))
    await gate.running()
    queued = [asyncio.ensure_future(pool.hash("x" * 20)) for _ in range(2)]
    await asyncio.sleep(0)
    assert pool.waiting == 2
    with pytest.raises(Unavailable) as full:
        await pool.verify(None, "x" * 20)
    assert full.value.part == "password hashing"
    gate.open.set()
    assert await running == "through"
    assert all(stored.startswith("$argon2id$") for stored in await asyncio.gather(*queued))
    assert await pool.verify(None, "x" * 20) == Verdict(ok=False)


@pytest.mark.proof("ASVS-15.2.2")
async def test_the_event_loop_goes_on_while_a_thread_is_busy(pool: HashPool) -> None:
    gate = Gate()
    job = asyncio.ensure_future(pool.run(gate))
    await gate.running()
    turns = 0
    for _ in range(100):
        await asyncio.sleep(0)
        turns += 1
    assert turns == 100
    assert not job.done()
    gate.open.set()
    assert await job == "through"


async def test_a_caller_that_hangs_up_harms_nobody(pool: HashPool) -> None:
    gate = Gate()
    ran: list[str] = []
    running = asyncio.ensure_future(pool.run(gate))
    await gate.running()
    gone = asyncio.ensure_future(pool.run(lambda: ran.append("gone")))
    stays = asyncio.ensure_future(pool.run(lambda: ran.append("stays")))
    await asyncio.sleep(0)
    gone.cancel()
    running.cancel()
    await asyncio.gather(gone, running, return_exceptions=True)
    # hanging up makes no room: what was queued is in memory until a thread comes to it
    with pytest.raises(Unavailable):
        await pool.run(lambda: None)
    gate.open.set()
    await stays
    assert ran == ["stays"]
    assert await pool.verify(await pool.hash("x" * 20), "x" * 20) == Verdict(ok=True)


async def test_close_refuses_what_waits_and_finishes_what_runs() -> None:
    pool = HashPool(Hasher(profile_of("cheap")), threads=1)
    gate = Gate()
    running = asyncio.ensure_future(pool.run(gate))
    await gate.running()
    waits = asyncio.ensure_future(pool.hash("x" * 20))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(asyncio.to_thread(pool.close))
    with pytest.raises(Unavailable):
        await waits
    gate.open.set()
    await closing
    assert await running == "through"
    with pytest.raises(Unavailable):
        await pool.hash("x" * 20)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("admit-hash")]
    pool.close()


async def test_a_pool_that_was_never_used_has_no_threads_and_closes() -> None:
    pool = HashPool(Hasher(profile_of("cheap")), threads=1)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("admit-hash")]
    pool.close()


async def test_no_password_in_its_repr(pool: HashPool) -> None:
    gate = Gate()
    running = asyncio.ensure_future(pool.run(gate))
    await gate.running()
    waits = asyncio.ensure_future(pool.hash("Correct Horse 1 Battery!"))
    await asyncio.sleep(0)
    assert "Correct Horse" not in repr(pool) + repr(vars(pool)) + repr(waits)
    gate.open.set()
    await asyncio.gather(running, waits)
