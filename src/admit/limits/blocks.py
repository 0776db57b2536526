"""Limits of busy keys: hits are fetched from the store in blocks and spent here, without awaiting anything."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from admit.ground.clock import Clock
from admit.limits.memory import MemoryLimits
from admit.limits.store import LimitStore
from admit.limits.values import Hit, Limit

PARTS = 50
SIZE = 100_000
_NONE = timedelta(0)


@dataclass(slots=True)
class _Block:
    limit: Limit
    left: int  # fetched and not yet spent
    remaining: int  # what the store still had
    full_at: int  # when the store's bucket is full again
    until: int  # the end of the block, or of the refusal when nothing was left


class Blocks:
    """One key's hits, a fiftieth of its limit at a time. For one event loop.

    A limit below 100 is counted hit by hit, exactly. Above, several nodes together allow at most what the store
    allows, plus, after a pause of less than the limit's window, one block each that was fetched and not spent. A
    refusal is remembered until its time is over, so a flood on an exhausted key costs the store nothing.
    """

    def __init__(self, store: LimitStore, clock: Clock, *, size: int = SIZE) -> None:
        self._store = store
        self._clock = clock
        self._size = size
        # one process: there is nobody to share with, and the store answers at once and exactly
        self._here = store if isinstance(store, MemoryLimits) else None
        self._blocks: dict[str, _Block] = {}
        self._fetching: dict[tuple[str, Limit], asyncio.Task[None]] = {}

    def spend(self, key: str, limit: Limit) -> Hit | None:
        """One hit from what is here; None = `await reserve(key, limit)` instead."""
        if self._here is not None:
            return self._here.hit_now(key, limit)
        block = self._blocks.get(key)
        if block is None or (block.limit is not limit and block.limit != limit):
            return None
        now = self._clock.now()
        if now >= block.until:
            return None
        reset = timedelta(microseconds=block.full_at - now) if block.full_at > now else _NONE
        if block.left:
            block.left -= 1
            if not block.left:
                block.until = now
            return Hit(True, limit, block.remaining + block.left, reset, _NONE)
        return Hit(False, limit, 0, reset, timedelta(microseconds=block.until - now))

    async def reserve(self, key: str, limit: Limit) -> Hit:
        """Fetches a block and spends one hit of it. However many ask at once, one fetch is under way per key.

        Raises `Unavailable` when the store is down.
        """
        while (hit := self.spend(key, limit)) is None:
            if (task := self._fetching.get((key, limit))) is None:
                task = self._fetching[key, limit] = asyncio.ensure_future(self._fetch(key, limit))
                task.add_done_callback(_heard)
            # wait, not await: a client that goes away must not take the fetch from the others that wait for it
            await asyncio.wait([task])
            task.result()
        return hit

    async def _fetch(self, key: str, limit: Limit) -> None:
        try:
            want = max(1, limit.max // PARTS)
            hit = await self._store.hit(key, limit, want)
            while not hit.allowed and hit.remaining:
                want = min(hit.remaining, want - 1)
                hit = await self._store.hit(key, limit, want)
            self._keep(key, limit, hit, want)
        finally:
            del self._fetching[key, limit]

    def _keep(self, key: str, limit: Limit, hit: Hit, want: int) -> None:
        now = self._clock.now()
        full_at = now + hit.reset_after // timedelta(microseconds=1)
        if hit.allowed:
            block = _Block(limit, want, hit.remaining, full_at, now + limit.window)
        else:
            # the store says when `want` hits fit in; one fits in sooner
            retry = hit.retry_after // timedelta(microseconds=1) - limit.interval * (want - 1)
            block = _Block(limit, 0, 0, full_at, now + max(1, retry))
        if len(self._blocks) >= self._size and key not in self._blocks:
            self._sweep(now)
        self._blocks[key] = block

    def _sweep(self, now: int) -> None:
        for key in [key for key, block in self._blocks.items() if block.until <= now]:
            del self._blocks[key]
        # what is dropped early was counted in the store already: too strict by a block, never too generous
        for key in list(self._blocks)[: max(0, len(self._blocks) - self._size * 9 // 10)]:
            del self._blocks[key]


def _heard(task: asyncio.Task[None]) -> None:
    # all who waited may be gone; an error that nobody fetched would be logged as a defect
    if not task.cancelled():
        task.exception()
