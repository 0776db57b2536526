"""Which ties moved, as this process knows it: the memory of every feed, wherever it hears from."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from admit.ground.clock import Clock
from admit.ground.principal import Tie

REMEMBER = 360.0  # seconds that voids stay in memory; longer than any facts may be cached


class Known(NamedTuple):
    """What is known of a tie: below `version` it is void, as heard at `at` (monotonic) in that generation."""

    version: int
    at: float
    generation: int


class Voids:
    """Takes voids in and compares ties with them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.generation = 0
        self.floor = 0  # what was compared in an earlier generation than this can not be compared any more
        self._versions: dict[Tie, Known] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: dict[Tie, set[Callable[[], None]]] = {}
        self._empty: list[Callable[[], None]] = []

    def holds(self, ties: Sequence[tuple[Tie, int]]) -> bool:
        """Whether none of `ties` has moved past the version that came with it."""
        versions = self._versions
        return all((moved := versions.get(tie)) is None or moved.version <= version for tie, version in ties)

    def version(self, tie: Tie) -> int:
        """The newest version of `tie` that was heard of; 0 when none was."""
        known = self._versions.get(tie)
        return 0 if known is None else known.version

    def apply(self, voids: Iterable[tuple[Tie, int]]) -> None:
        """Takes voids in; the highest version wins, so doubled and late ones do no harm. Any thread may call."""
        moved: list[Tie] = []
        with self._lock:
            at = self._clock.monotonic()
            for tie, version in voids:
                known = self._versions.get(tie)
                if known is None or known.version < version:
                    self._versions[tie] = Known(version, at, self.generation + 1)
                    moved.append(tie)
            if moved:
                self.generation += 1
        self._tell(moved)

    def watch(self, ties: Iterable[Tie], hear: Callable[[], None]) -> Callable[[], None]:
        """Calls `hear` on the loop whenever one of `ties` moves; returns a function that stops it."""
        watched = list(ties)
        for tie in watched:
            self._watchers.setdefault(tie, set()).add(hear)

        def stop() -> None:
            for tie in watched:
                ears = self._watchers.get(tie, set())
                ears.discard(hear)
                if not ears:
                    self._watchers.pop(tie, None)

        return stop

    def on_other_database(self, hear: Callable[[], None]) -> None:
        """Calls `hear` when the store turns out to be another one than before (a restore, a failover gone wrong)."""
        self._empty.append(hear)

    def forget_everything(self) -> None:
        """For another database than before: its versions say nothing about the rows of the one that was known."""
        with self._lock:
            watched = list(self._watchers)
            self._versions = {}
            self.generation += 1
            self.floor = self.generation
        for hear in self._empty:
            hear()
        self._tell(watched)

    def forget_old(self, now: float) -> None:
        """Lets go of what was heard so long ago (monotonic) that no cached facts can be older."""
        if len(self._versions) < 1000:
            return
        with self._lock:
            old = {tie: known for tie, known in self._versions.items() if known.at + REMEMBER <= now}
            # the wall clock bounds how long facts are kept; were it set back, they could outlive what is forgotten here
            self.floor = max([self.floor, *(known.generation for known in old.values())])
            self._versions = {tie: known for tie, known in self._versions.items() if tie not in old}

    def _tell(self, moved: Iterable[Tie]) -> None:
        loop = self._loop
        if loop is None or loop.is_closed() or not self._watchers:
            return
        for tie in moved:
            for hear in list(self._watchers.get(tie, ())):
                loop.call_soon_threadsafe(hear)
