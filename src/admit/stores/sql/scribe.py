"""What every unit of work writes beside its own rows: the events, voids and jobs that it collected."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TypeVar

from admit.ground.clock import Clock, micros
from admit.ground.logs import logger
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.stores.sql import events, feed, jobs

T = TypeVar("T")
DEFAULT_TENANT = 1
log = logger("admit.store")
AfterCommit = Callable[[Sequence[tuple[Tie, int]]], None]


class Scribe:
    """Opens the Tx of a unit of work and writes what it collected: events, voids, jobs."""

    def __init__(self, clock: Clock, random: Callable[[int], bytes], dialect: str, void_for: timedelta) -> None:
        self._clock = clock
        self._random = random
        self._dialect = dialect
        self._void_for = micros(void_for)
        self._hear: list[AfterCommit] = []

    def listen(self, hear: AfterCommit) -> None:
        """Has `hear(voids)` called after each commit that voided something."""
        self._hear.append(hear)

    def committed(self, voids: Sequence[tuple[Tie, int]]) -> None:
        """Tells the listeners. One that stumbles is logged: what is committed must not be reported as failed."""
        for hear in self._hear if voids else ():
            try:
                hear(voids)
            except Exception:
                log.exception("after_commit_failed")

    def run(self, connection: object, body: Callable[[Tx], T]) -> tuple[T, Tx]:
        """Runs `body` on an open transaction and writes its events, voids and jobs into it."""
        tx = Tx(connection, self._clock.now(), DEFAULT_TENANT, self._dialect)  # type: ignore[arg-type]
        result = body(tx)
        events.insert(tx, tx.events, self._random)
        feed.insert(tx, tx.voids, tx.now + self._void_for)
        jobs.insert(tx, tx.jobs)
        return result, tx
