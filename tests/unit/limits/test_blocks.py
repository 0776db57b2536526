"""Blocks of hits spent without asking the store."""

from __future__ import annotations

import asyncio
import gc
from datetime import timedelta

import pytest

from admit.ground.errors import Unavailable
from admit.limits import Blocks, Hit, Limit, MemoryLimits
from admit.testing.clock import ManualClock

THOUSAND = Limit.parse("1000/minute", name="key")
HUNDRED = Limit.parse("100/minute", name="key")
TEN = Limit.parse("10/minute", name="key")
ZERO = timedelta(0)


class _Asked:
    """A store somewhere else: every answer takes a turn of the loop, and the questions are counted."""

    def __init__(self, clock: ManualClock) -> None:
        self.inner = MemoryLimits(clock)
        self.asked: list[int] = []
        self.down = False

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Hit:
        self.asked.append(cost)
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("limits")
        return await self.inner.hit(key, limit, cost)

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(clock: ManualClock) -> _Asked:
    return _Asked(clock)


@pytest.fixture
def blocks(store: _Asked, clock: ManualClock) -> Blocks:
    return Blocks(store, clock)  # type: ignore[arg-type]


async def _hit(blocks: Blocks, key: str, limit: Limit) -> Hit:
    return blocks.spend(key, limit) or await blocks.reserve(key, limit)


async def test_a_fiftieth_is_fetched_and_spent_here(blocks: Blocks, store: _Asked) -> None:
    assert blocks.spend("a", THOUSAND) is None
    first = await blocks.reserve("a", THOUSAND)
    assert (first.allowed, first.remaining) == (True, 999)
    rest = [blocks.spend("a", THOUSAND) for _ in range(19)]
    assert [hit.remaining for hit in rest if hit] == list(range(998, 979, -1))
    assert blocks.spend("a", THOUSAND) is None
    assert store.asked == [20]


async def test_alone_a_key_gets_exactly_its_limit(blocks: Blocks) -> None:
    for limit in (THOUSAND, HUNDRED, TEN, Limit.parse("999/minute"), Limit.parse("1/minute")):
        hits = [await _hit(blocks, f"alone:{limit.max}", limit) for _ in range(limit.max + 5)]
        assert [hit.allowed for hit in hits] == [True] * limit.max + [False] * 5
        assert [hit.remaining for hit in hits] == [*range(limit.max - 1, -1, -1), *[0] * 5]
        assert hits[-1].retry_after == timedelta(microseconds=limit.interval)


async def test_two_nodes_share_one_limit(store: _Asked, clock: ManualClock) -> None:
    nodes = [Blocks(store, clock), Blocks(store, clock)]  # type: ignore[arg-type]
    for limit in (THOUSAND, TEN):
        allowed = 0
        for turn in range(2 * limit.max + 10):
            allowed += (await _hit(nodes[turn % 2], "a", limit)).allowed
        assert allowed == limit.max


async def test_a_refusal_is_remembered_without_asking_until_its_time_is_over(
    blocks: Blocks, store: _Asked, clock: ManualClock
) -> None:
    for _ in range(10):
        await _hit(blocks, "a", TEN)
    refused = await blocks.reserve("a", TEN)
    asked = len(store.asked)
    assert (refused.allowed, refused.retry_after) == (False, timedelta(seconds=6))
    clock.advance(timedelta(seconds=6) - timedelta(microseconds=1))
    again = blocks.spend("a", TEN)
    assert again is not None
    assert (again.allowed, again.retry_after) == (False, timedelta(microseconds=1))
    assert len(store.asked) == asked
    clock.advance(timedelta(microseconds=1))
    assert blocks.spend("a", TEN) is None
    assert (await blocks.reserve("a", TEN)).allowed


async def test_what_is_left_below_a_block_is_fetched_too(blocks: Blocks, store: _Asked, clock: ManualClock) -> None:
    await store.hit("a", THOUSAND, 993)
    hits = [await _hit(blocks, "a", THOUSAND) for _ in range(8)]
    assert [hit.allowed for hit in hits] == [True] * 7 + [False]
    assert store.asked == [993, 20, 7, 20]
    # 60 ms later one hit is back, although a block is not
    assert hits[-1].retry_after == timedelta(milliseconds=60)
    clock.advance(timedelta(milliseconds=60))
    assert (await _hit(blocks, "a", THOUSAND)).allowed


async def test_unspent_hits_are_dropped_after_the_window(blocks: Blocks, store: _Asked, clock: ManualClock) -> None:
    await blocks.reserve("a", THOUSAND)
    clock.advance(timedelta(minutes=1))
    hits = [await _hit(blocks, "a", THOUSAND) for _ in range(1010)]
    assert sum(hit.allowed for hit in hits) == 1000


async def test_a_crowd_makes_one_fetch_at_a_time(blocks: Blocks, store: _Asked) -> None:
    hits = await asyncio.gather(*(blocks.reserve("a", THOUSAND) for _ in range(50)))
    assert all(hit.allowed for hit in hits)
    assert store.asked == [20, 20, 20]


async def test_a_crowd_gets_exactly_the_limit(blocks: Blocks) -> None:
    hits = await asyncio.gather(*(blocks.reserve("a", HUNDRED) for _ in range(300)))
    assert sum(hit.allowed for hit in hits) == 100


async def test_who_goes_away_takes_nothing_from_the_others(blocks: Blocks, store: _Asked) -> None:
    leaving = asyncio.ensure_future(blocks.reserve("a", THOUSAND))
    staying = asyncio.ensure_future(blocks.reserve("a", THOUSAND))
    await asyncio.sleep(0)
    leaving.cancel()
    assert (await staying).allowed
    assert store.asked == [20]


async def test_a_store_that_is_down_refuses_everyone_and_is_asked_again(blocks: Blocks, store: _Asked) -> None:
    store.down = True
    answers = await asyncio.gather(*(blocks.reserve("a", THOUSAND) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [Unavailable] * 3
    store.down = False
    assert (await blocks.reserve("a", THOUSAND)).allowed


async def test_an_error_that_nobody_waits_for_any_more_is_no_noise(blocks: Blocks, store: _Asked) -> None:
    noise: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    store.down = True
    leaving = asyncio.ensure_future(blocks.reserve("a", THOUSAND))
    await asyncio.sleep(0)
    leaving.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert leaving.cancelled()
    assert not blocks._fetching
    del leaving  # its traceback holds the fetch, which tells of its error when it is let go
    gc.collect()
    assert noise == []


async def test_a_changed_limit_does_not_spend_the_old_block(blocks: Blocks) -> None:
    await blocks.reserve("a", THOUSAND)
    assert blocks.spend("a", HUNDRED) is None
    assert blocks.spend("a", Limit(1000, timedelta(minutes=1), "key")) is not None


async def test_the_number_of_blocks_stays_in_bounds(store: _Asked, clock: ManualClock) -> None:
    blocks = Blocks(store, clock, size=100)  # type: ignore[arg-type]
    for number in range(150):
        await blocks.reserve(f"early:{number}", THOUSAND)
        assert len(blocks._blocks) <= 100
    clock.advance(timedelta(minutes=1))
    for number in range(100):
        await blocks.reserve(f"late:{number}", THOUSAND)
    assert not [key for key in blocks._blocks if key.startswith("early")]


async def test_over_memory_nothing_is_reserved_and_every_hit_is_exact(clock: ManualClock) -> None:
    blocks = Blocks(MemoryLimits(clock), clock)
    hits = [blocks.spend("a", THOUSAND) for _ in range(1001)]
    assert [hit.allowed for hit in hits if hit] == [True] * 1000 + [False]
