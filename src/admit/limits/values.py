"""Limits and waits as values, and the arithmetic that every store shares (GCRA: one number per key)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple, Self

from admit.ground.clock import micros

LONGEST = timedelta(days=366)
_NONE = timedelta(0)
_UNITS = {"s": "second", "m": "minute", "min": "minute", "h": "hour", "d": "day"}
_LENGTHS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
}
_WRITTEN = re.compile(r"([0-9]{1,9})\s*/\s*([0-9]{1,6})?\s*(s|m|min|h|d|seconds?|minutes?|hours?|days?)")
# the name is sent in a header as a structured-field string (RFC 9651 section 3.3.3): nothing there needs an escape
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/-]{0,63}")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `max` hits at once, given back one by one over `per`: "5 a minute" is 5, then one every 12 seconds.

    `name` tells the limit from others in the RateLimit headers. `interval` is the time until one hit is given back, in
    microseconds, rounded up so that no rounding allows a hit too many; `window` the time from used up to full; `mark`
    is what stores know the limit by, and `policy` what the RateLimit-Policy field says of it.
    Raises `ValueError` for what cannot be counted.
    """

    max: int
    per: timedelta
    name: str = "route"
    # worked out once: a hit from memory asks for them several times
    interval: int = field(init=False, repr=False, compare=False)
    window: int = field(init=False, repr=False, compare=False)
    mark: str = field(init=False, repr=False, compare=False)
    policy: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.max < 1:
            raise ValueError("a limit allows at least one hit; to refuse all, do not offer the route")
        if not timedelta(0) < self.per <= LONGEST:
            raise ValueError(f"a limit's period is longer than nothing and at most {LONGEST.days} days")
        if self.max > micros(self.per):
            raise ValueError("more than one hit a microsecond cannot be counted")
        if not _NAME.fullmatch(self.name):
            raise ValueError("a limit's name has 1 to 64 letters, digits, spaces or ._:/-")
        object.__setattr__(self, "interval", -(-micros(self.per) // self.max))
        object.__setattr__(self, "window", self.interval * self.max)
        object.__setattr__(self, "mark", f"{self.max}/{micros(self.per)}")
        # whole seconds, rounded up: a client that obeys must not come a moment too early
        object.__setattr__(self, "policy", f'"{self.name}";q={self.max};w={-(-self.per // timedelta(seconds=1))}')

    @classmethod
    def parse(cls, text: str, *, name: str = "route") -> Self:
        """`5/minute`, `100/15 minutes`, `1000/h`. Raises `ValueError` for anything else."""
        if (found := _WRITTEN.fullmatch(text.strip())) is None:
            raise ValueError(f"{text[:40]!r} is not a limit; write it like 5/minute or 100/15 minutes")
        unit = _UNITS.get(found[3], found[3].removesuffix("s"))
        return cls(int(found[1]), int(found[2] or 1) * _LENGTHS[unit], name)

    def cost(self, hits: int) -> int:
        """What `hits` hits weigh, in microseconds. Raises `ValueError` outside 1 to `max`."""
        if hits == 1:
            return self.interval
        if not 1 <= hits <= self.max:
            raise ValueError(f"one hit of this limit costs between 1 and {self.max}, not {hits}")
        return self.interval * hits


class Hit(NamedTuple):
    """The answer to one hit.

    `remaining` hits are left; in `reset_after` the limit is full again; a refused hit of the same cost can succeed in
    `retry_after` (zero when it was allowed).
    """

    allowed: bool
    limit: Limit
    remaining: int
    reset_after: timedelta
    retry_after: timedelta


def outcome(limit: Limit, now: int, tat: int, refused_cost: int = 0) -> Hit:
    """The `Hit` of a bucket whose theoretical arrival time is `tat`, at `now` (microseconds).

    `refused_cost` (microseconds) is what the hit would have cost, 0 when it was allowed and `tat` holds it already.
    """
    debt = max(0, tat - now)
    if not refused_cost:
        remaining = max(0, limit.window - debt) // limit.interval
        # a named tuple's own way of making one takes twice as long, and this is done for every request with a key
        return tuple.__new__(Hit, (True, limit, remaining, timedelta(0, 0, debt), _NONE))
    return Hit(
        allowed=False,
        limit=limit,
        remaining=max(0, limit.window - debt) // limit.interval,
        reset_after=timedelta(microseconds=debt),
        # at least a microsecond: a bucket that drained between refusal and answer must not read as "allowed"
        retry_after=timedelta(microseconds=max(1, debt + refused_cost - limit.window)),
    )


@dataclass(frozen=True, slots=True)
class Waits:
    """Growing waits: from the `after`-th failure in a row on wait `first`, then twice as long each time, up to
    `longest`. Failures are forgotten `forget` after the last one. Raises `ValueError` when these contradict.
    """

    after: int = 5
    first: timedelta = timedelta(seconds=1)
    longest: timedelta = timedelta(minutes=15)
    forget: timedelta = timedelta(days=1)

    def __post_init__(self) -> None:
        if self.after < 1:
            raise ValueError("waits begin with the first failure at the earliest")
        if not timedelta(0) < self.first <= self.longest <= self.forget <= LONGEST:
            # forgotten before the wait is over would end the wait
            raise ValueError("waits need 0 < first <= longest <= forget, and forget at most 366 days")

    def wait(self, failures: int) -> timedelta:
        """The wait that `failures` failures in a row bring; zero before `after`."""
        if failures < self.after:
            return timedelta(0)
        # 53 doublings of a microsecond are more than 366 days
        grown = micros(self.first) << min(failures - self.after, 53)
        return timedelta(microseconds=min(micros(self.longest), grown))
