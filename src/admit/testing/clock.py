"""A clock that only moves when it is told to."""

from __future__ import annotations

from datetime import timedelta

from admit.ground.clock import micros


class ManualClock:
    """Starts at a fixed moment (2027-01-15 08:00 UTC); `advance` moves both the time of day and the monotonic time."""

    def __init__(self, now: int = 1_800_000_000_000_000) -> None:
        self._now = now
        self._monotonic = 1000.0
        self.offset = 0

    def now(self) -> int:
        return self._now + self.offset

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, by: timedelta) -> None:
        """Lets `by` pass."""
        self._now += micros(by)
        self._monotonic += by.total_seconds()
