"""Observed events: refusals, stateless issue, key use. They reach the log in batches, never inside a request.

Written one by one, anonymous junk would cost a disk write with its fsync each.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from admit.ground.errors import Unavailable
from admit.ground.events import Event
from admit.ground.kit import Kit
from admit.ground.logs import logger
from admit.ground.work import Tx
from admit.jobs import Loop, Pause, pause

log = logger("admit.audit")

#: counted per credential and batch, however few: the request id of one use among thousands helps nobody
ALWAYS_FOLDED = frozenset({"api_key.used"})


@dataclass(frozen=True, slots=True)
class Bounds:
    """`every`: how long an event waits at most. Of one batch, the first `single` events have a row each (so that each
    request id can be explained); then alike ones share a row with a count, up to `rows` rows; the rest is only counted,
    by type and reason. While the store is down `keep` rows wait; what comes on top is counted as dropped.
    """

    every: timedelta = timedelta(seconds=1)
    single: int = 200
    rows: int = 500
    keep: int = 10_000


class _Batch:
    """Events since the last flush, folded as they come, so that a flood costs counting and no memory."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._singles: list[Event] = []
        self._folded: dict[tuple[str | None, ...], Event] = {}
        self._counts: Counter[tuple[str | None, ...]] = Counter()
        self._rest: Counter[tuple[str, str | None]] = Counter()

    def add(self, event: Event) -> None:
        if event.type not in ALWAYS_FOLDED and len(self._singles) < self._bounds.single:
            self._singles.append(event)
            return
        key = (
            event.type, event.outcome, event.reason, event.address, event.subject, event.identifier, event.credential,
            event.client,
        )  # fmt: skip
        if key not in self._folded and len(self._singles) + len(self._folded) >= self._bounds.rows:
            self._rest[event.type, event.reason] += event.count
            return
        self._folded.setdefault(key, event)
        self._counts[key] += event.count

    def events(self, now: int) -> list[Event]:
        folded = [dataclasses.replace(event, count=self._counts[key]) for key, event in self._folded.items()]
        return [*self._singles, *folded, *_counted("events.folded", self._rest, now)]


def _counted(kind: str, counts: Counter[tuple[str, str | None]], now: int) -> list[Event]:
    if not counts:
        return []
    data = {
        f"{name}/{reason}" if reason else name: number for (name, reason), number in sorted(counts.items(), key=str)
    }
    return [Event(kind, "failure", count=counts.total(), data={"events": data}, at=now)]


@dataclass(slots=True)
class _Kept:
    """What the store has not taken yet."""

    events: list[Event] = field(default_factory=list)
    dropped: Counter[tuple[str, str | None]] = field(default_factory=Counter)


class Observed:
    """The queue of observed events. `observe` from any thread; the rows are written by a loop that starts by itself."""

    def __init__(self, kit: Kit, bounds: Bounds | None = None, *, pause: Pause = pause) -> None:
        self._kit = kit
        self._bounds = bounds or Bounds()
        self._batch = _Batch(self._bounds)
        self._kept = _Kept()
        self._lock = threading.Lock()
        self._loop = Loop("observed", self._step, self._bounds.every, last=True, pause=pause)

    def observe(self, event: Event) -> None:
        """Queues an event with the present time. Never waits for the store and never raises."""
        try:
            stamped = event if event.at is not None else dataclasses.replace(event, at=self._kit.clock.now())
            with self._lock:
                self._batch.add(stamped)
            self._loop.ensure()
        except Exception:
            # whoever refuses a request must not fail because the refusal could not be noted
            log.exception("observe.failed", type=event.type)

    async def flush(self) -> bool:
        """Writes everything that waits; False when the store did not take it (it is kept for the next flush)."""
        with self._lock:
            batch, self._batch = self._batch, _Batch(self._bounds)
            kept, self._kept = self._kept, _Kept()
        now = self._kit.clock.now()
        waiting = [*kept.events, *batch.events(now), *_counted("events.dropped", kept.dropped, now)]
        while waiting:
            part, rest = waiting[: self._bounds.rows], waiting[self._bounds.rows :]
            try:
                await self._kit.work.write(lambda tx, part=part: _emit(tx, part))  # type: ignore[misc]
            except Unavailable:
                self._keep(waiting, kept.dropped)
                return False
            except asyncio.CancelledError:
                # the unit of work in hand goes on without us
                self._keep(rest, kept.dropped if rest else Counter())
                raise
            except Exception:
                log.exception("observed.lost", events=sum(event.count for event in part))
                self._drop(part)
            waiting = rest
        if kept.dropped:
            log.warning("observed.dropped", events=kept.dropped.total())
        return True

    async def close(self) -> None:
        """Stops the loop and writes what waits. `observe` may be called again afterwards."""
        await self._loop.close()
        if not await self.flush():
            waiting = sum(event.count for event in self._kept.events) + self._kept.dropped.total()
            log.error("observed.not_written", events=waiting)

    async def _step(self) -> bool:
        if not await self.flush():
            raise Unavailable("database")
        return False

    def _keep(self, events: list[Event], dropped: Counter[tuple[str, str | None]]) -> None:
        rows = [event for event in events if event.type != "events.dropped"]
        with self._lock:
            self._kept.events[:0] = rows[: self._bounds.keep]
            self._kept.dropped.update(dropped)
        self._drop(rows[self._bounds.keep :])

    def _drop(self, events: Iterable[Event]) -> None:
        with self._lock:
            for event in events:
                self._kept.dropped[event.type, event.reason] += event.count


def _emit(tx: Tx, events: list[Event]) -> None:
    for event in events:
        tx.emit(event)
