"""Time as integer microseconds UTC, and a monotonic clock for leases. Never the global clock inside a room."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND = 1_000_000
# CLOCK_MONOTONIC stops in suspend; a lease must not outlive a night with the lid closed
_STEADY: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What a room may know about time."""

    def now(self) -> int:
        """Microseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back and do not stop while the machine sleeps."""
        ...


class SystemClock:
    """The machine's time, corrected by `offset` (microseconds) so that every node agrees with the database.

    The feed sets `offset` after each poll: exp and iat then agree on all nodes whatever NTP does to one of them.
    """

    __slots__ = ("offset",)

    def __init__(self) -> None:
        self.offset = 0

    def now(self) -> int:
        return time.time_ns() // 1000 + self.offset

    def monotonic(self) -> float:
        return time.clock_gettime(_STEADY)


def micros(delta: timedelta) -> int:
    """`delta` as whole microseconds."""
    return delta // timedelta(microseconds=1)


def iso(at: int) -> str:
    """RFC 3339 with a Z and whole seconds, for JSON bodies."""
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_datetime(moment: datetime) -> int:
    """Microseconds UTC of an aware datetime; `ValueError` for a naive one."""
    if moment.tzinfo is None:
        raise ValueError("a time needs a time zone")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
