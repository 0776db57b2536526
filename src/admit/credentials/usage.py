"""Uses of API keys, counted in memory and written in batches: no request waits for a counter (mission S7)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any

from admit.ground.clock import Clock, micros
from admit.ground.errors import Unavailable
from admit.ground.events import Event
from admit.ground.ids import show
from admit.ground.work import Tx, Work
from admit.stores.sql import usage as rows
from admit.stores.sql.usage import Counted, Uses

__all__ = ["Usage"]

EVERY = timedelta(seconds=10)
DORMANT = timedelta(days=90)
BATCH = 500  # keys a statement
MOST = 20_000  # keys that are remembered while the store is down; about 5 MB

_log = logging.getLogger("admit.usage")


class _Tally:
    """Uses of one key that are not written yet. Changed in place: this is in the path of every request with a key."""

    __slots__ = ("address", "at", "number", "since")

    def __init__(self, uses: Uses) -> None:
        self.number, self.at, self.address, self.since = uses.number, uses.at, uses.address, uses.since


class Usage:
    """Counts uses per key. `note` for each request, `flush` every `every` by itself, `close` at the end.

    Visible within `every`; a process that is killed loses what it counted since its last batch, nothing else. One
    instance serves one event loop after another: the timer follows the loop on which `note` is called.
    """

    def __init__(self, work: Work, clock: Clock, *, every: timedelta = EVERY, dormant: timedelta = DORMANT) -> None:
        self._work = work
        self._clock = clock
        self._every = every.total_seconds()
        self._dormant = micros(dormant)
        self._seen: dict[bytes, _Tally] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._running: asyncio.Task[int] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def pending(self) -> int:
        """How many keys have uses that are not written yet."""
        return len(self._seen)

    def note(self, key: bytes, address: str | None, now: int | None = None) -> None:
        """One use of `key` (16 bytes) from `address`, at `now` (microseconds). Touches memory only."""
        if now is None:
            now = self._clock.now()
        tally = self._seen.get(key)
        if tally is None:
            self._add(Uses(key, 1, now, address, now))
        else:
            tally.number += 1
            tally.at, tally.address = now, address
        self._schedule()

    async def flush(self) -> int:
        """Writes what is noted, in the order of the keys; how many keys. While the store is down it keeps them (up to
        20,000 keys), returns 0 and tries again by itself.
        """
        if not self._seen:
            return 0
        seen, self._seen = self._seen, {}
        left = iter([Uses(key, each.number, each.at, each.address, each.since) for key, each in sorted(seen.items())])
        written = 0
        while batch := list(islice(left, BATCH)):
            try:
                await self._work.write(partial(self._write, batch=batch))
            except BaseException as error:
                # cancelled: the unit of work goes on without us, and counting it twice would be wrong
                kept = batch if isinstance(error, Exception) else []
                for uses in (*kept, *left):
                    self._add(uses)
                self._schedule()
                if isinstance(error, Unavailable):
                    return written
                raise
            written += len(batch)
        return written

    async def close(self) -> None:
        """Writes what is left, once, and stops the timer; uses that cannot be written now are lost."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        running = self._running
        if running is not None and not running.done() and self._loop is asyncio.get_running_loop():
            await asyncio.wait([running])
        await self.flush()

    # -- in memory -------------------------------------------------------------------------------------------------

    def _add(self, new: Uses) -> None:
        old = self._seen.get(new.key)
        if old is None:
            # bounded: an hour without a database must not end in a process without memory
            if len(self._seen) < MOST:
                self._seen[new.key] = _Tally(new)
            return
        old.number += new.number
        old.since = min(old.since, new.since)
        if new.at > old.at:
            old.at, old.address = new.at, new.address

    # -- the timer -------------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if self._closed:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a plain thread counts too; the next request, or close, writes it
        if self._loop is not loop:
            # a timer of a loop that has ended never fires
            self._loop, self._timer, self._running = loop, None, None
        if self._timer is None:
            self._timer = loop.call_later(self._every, self._start)

    def _start(self) -> None:
        self._timer = None
        if self._running is not None and not self._running.done():
            self._schedule()
            return
        self._running = asyncio.ensure_future(self.flush())
        self._running.add_done_callback(_report)

    # -- in the transaction ----------------------------------------------------------------------------------------

    def _write(self, tx: Tx, batch: Sequence[Uses]) -> None:
        uses = {entry.key: entry for entry in batch}
        for counted in rows.add(tx, batch):
            self._emit(tx, counted, uses[counted.key])

    def _emit(self, tx: Tx, counted: Counted, uses: Uses) -> None:
        tx.emit(_event("api_key.used", counted, uses, count=uses.number))
        # a key that was made long ago and never used sleeps as well
        silent_since = counted.created_at if counted.before is None else counted.before
        if uses.since - silent_since >= self._dormant:
            tx.emit(_event("api_key.woke", counted, uses, data={"previous_use": counted.before}))


def _event(type_: str, counted: Counted, uses: Uses, **more: Any) -> Event:
    subject, credential = show("usr", counted.user_id), show("key", counted.key)
    return Event(type_, subject=subject, credential=credential, address=uses.address, **more)


def _report(task: asyncio.Task[int]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("uses of API keys could not be written; they are kept", exc_info=error)
