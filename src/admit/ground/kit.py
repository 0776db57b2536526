"""The kit: everything a room would otherwise take from the outside world, given to it at composition."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from admit.ground.clock import Clock, SystemClock
from admit.ground.ids import new_id
from admit.ground.work import Work


@dataclass(frozen=True, slots=True)
class Kit:
    """Clock, randomness and the unit of work. `random(n)` gives n bytes from the operating system's generator."""

    work: Work
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[int], bytes] = secrets.token_bytes

    def new_id(self) -> bytes:
        """A fresh 16-byte identifier (UUIDv7)."""
        return new_id(self.clock.now(), self.random)
