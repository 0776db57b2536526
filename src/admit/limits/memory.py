"""Limits in memory, for one process: the lock on the run directory keeps a second one from counting beside it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from heapq import nsmallest
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from admit.ground.clock import Clock, micros
from admit.ground.errors import SettingsError, Unavailable
from admit.limits.store import bounded, bucket
from admit.limits.values import Hit, Limit, Waits, outcome

LOCK = "limits.lock"
SIZE = 100_000
V = TypeVar("V")


class RunLock:
    """Held while this object is open, and never by two: `flock` on a file of the run directory.

    The kernel lets go of it when the process ends, however it ends, so there is no stale lock to clean up.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, directory: Path) -> RunLock | None:
        """The lock, or None when another holder has it. Raises `SettingsError` when the file cannot be made."""
        import fcntl

        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(directory / LOCK, flags, 0o600)
        except OSError as error:
            raise SettingsError(f"run_directory: {LOCK} cannot be made there: {error.strerror}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    def release(self) -> None:
        """Lets go; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Shelf(dict[str, V], Generic[V]):
    """A dict that stays below `size`: over rows go first, then the lowest in `rank`.

    Not the oldest: whoever invents names by the thousand would push out the one that is being guarded.
    """

    def __init__(self, size: int, over: Callable[[V, int], bool], rank: Callable[[V], Any]) -> None:
        super().__init__()
        self._size, self._over, self._rank = size, over, rank
        self._sweep_at = min(1024, size)

    def put(self, key: str, value: V, now: int) -> None:
        if len(self) >= self._sweep_at and key not in self:
            self._sweep(now)
        self[key] = value

    def _sweep(self, now: int) -> None:
        for key in [key for key, value in self.items() if self._over(value, now)]:
            del self[key]
        if len(self) >= self._size:
            # a tenth at once, so that a flood pays for one look through the table in ten thousand hits
            surplus = len(self) - self._size + max(1, self._size // 10)
            for key in nsmallest(surplus, self, key=lambda name: self._rank(self[name])):
                del self[key]
        self._sweep_at = min(self._size, max(1024, 2 * len(self)))


class _Failures(NamedTuple):
    number: int
    until: int
    forget_at: int


class MemoryLimits:
    """A `LimitStore` in this process, safe between threads; forgets everything when the process ends.

    `lock` is held until `close`; without one the caller answers for being the only process. At most `size` keys are
    kept; beyond, those that have used least are forgotten first. In a forked child every verb raises `Unavailable`,
    since parent and child would each allow the whole limit.
    """

    def __init__(self, clock: Clock, lock: RunLock | None = None, *, size: int = SIZE) -> None:
        self._clock = clock
        self._lock = lock
        self._owner = os.getpid()
        self._guard = threading.Lock()
        self._tats: _Shelf[int] = _Shelf(size, lambda tat, now: tat <= now, lambda tat: tat)
        self._failures: _Shelf[_Failures] = _Shelf(size, lambda row, now: row.forget_at <= now, lambda row: row)

    def hit_now(self, key: str, limit: Limit, cost: int = 1) -> Hit:
        """`hit` without awaiting anything."""
        self._check()
        name, weight, now = bucket(key, limit), limit.cost(cost), self._clock.now()
        with self._guard:
            begin = max(self._tats.get(name, 0), now)
            if begin + weight > now + limit.window:
                return outcome(limit, now, begin, weight)
            self._tats.put(name, begin + weight, now)
        return outcome(limit, now, begin + weight)

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Hit:
        return self.hit_now(key, limit, cost)

    async def refund(self, key: str, limit: Limit, cost: int = 1) -> None:
        self._check()
        name, weight = bucket(key, limit), limit.cost(cost)
        with self._guard:
            if (left := self._tats.get(name, 0) - weight) > self._clock.now():
                self._tats[name] = left
            else:
                self._tats.pop(name, None)

    async def fail(self, key: str, waits: Waits) -> timedelta:
        self._check()
        name, now = bounded(key), self._clock.now()
        with self._guard:
            before = self._failures.get(name)
            number = before.number + 1 if before is not None and before.forget_at > now else 1
            wait = waits.wait(number)
            row = _Failures(number, now + micros(wait), now + micros(waits.forget))
            self._failures.put(name, row, now)
        return wait

    async def waiting(self, key: str) -> timedelta:
        self._check()
        with self._guard:
            row = self._failures.get(bounded(key))
        return timedelta(microseconds=max(0, row.until - self._clock.now())) if row else timedelta(0)

    async def clear(self, key: str) -> None:
        self._check()
        with self._guard:
            self._failures.pop(bounded(key), None)

    async def close(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _check(self) -> None:
        if os.getpid() != self._owner:
            raise Unavailable("limits")
