"""Runs queued jobs: leased, within a time limit, again with growing delay, given up after the last try."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from admit.ground.clock import micros
from admit.ground.errors import Unavailable
from admit.ground.events import Event
from admit.ground.kit import Kit
from admit.ground.logs import logger, mask
from admit.ground.work import Tx
from admit.jobs.loop import Loop, Pause, pause
from admit.stores.sql import jobs

log = logger("admit.jobs")

#: does one job; gets its data. It may be called again with the same data, so it must be idempotent
Handler = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Pace:
    """How jobs are run: `lease` is also the time limit of a handler, `delay` the wait after the first failure (then
    doubled up to `longest`), `attempts` the tries before a job is given up.
    """

    every: timedelta = timedelta(seconds=1)
    batch: int = 10
    lease: timedelta = timedelta(seconds=60)
    delay: timedelta = timedelta(seconds=5)
    longest: timedelta = timedelta(hours=1)
    attempts: int = 12


class Runner:
    """Takes due jobs of the kinds in `handlers`; any number of processes may run one."""

    def __init__(
        self, kit: Kit, handlers: Mapping[str, Handler], pace: Pace | None = None, *, pause: Pause = pause
    ) -> None:
        self._kit = kit
        self._handlers = dict(handlers)
        self._pace = pace or Pace()
        self._loop = Loop("jobs", self._step, self._pace.every, pause=pause)

    def ensure(self) -> bool:
        """Starts running jobs on the running event loop unless that is happening already."""
        return self._loop.ensure()

    def wake(self) -> None:
        """There is work now; saves the wait."""
        self._loop.wake()

    async def close(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Stops taking jobs and lets those in hand finish; what does not is given back untried."""
        await self._loop.close(grace)

    async def run_once(self) -> int:
        """Runs one batch of due jobs and returns how many were taken. Raises `Unavailable` when the store is down."""
        until = micros(self._pace.lease)
        kinds = list(self._handlers)
        taken = await self._kit.work.write(lambda tx: jobs.lease(tx, tx.now + until, self._pace.batch, kinds))
        outcomes = await asyncio.gather(*(self._run(job) for job in taken), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return len(taken)

    async def _step(self) -> bool:
        return await self.run_once() == self._pace.batch

    async def _run(self, job: jobs.Leased) -> None:
        try:
            # a handler that outlived its lease would run beside the next process's
            async with asyncio.timeout(self._pace.lease.total_seconds() * 0.9):
                await self._handlers[job.kind](job.data)
        except asyncio.CancelledError:
            await self._kit.work.write(lambda tx: jobs.release(tx, job))
            raise
        except Exception as error:
            await self._failed(job, error)
            return
        await self._kit.work.write(lambda tx: jobs.done(tx, job))

    async def _failed(self, job: jobs.Leased, error: Exception) -> None:
        text = mask(f"{type(error).__name__}: {error}")
        # a part that is down is no fault of the job: it does not use up the last try
        final = job.attempts >= self._pace.attempts and not isinstance(error, Unavailable)
        name, report = ("job.abandoned", log.error) if final else ("job.failed", log.warning)
        report(name, kind=job.kind, job=job.seq, attempts=job.attempts, error=text)
        doubled = micros(self._pace.delay) * 2 ** min(job.attempts - 1, 30)
        delay = min(doubled, micros(self._pace.longest))

        def settle(tx: Tx) -> None:
            if not final:
                jobs.retry(tx, job, tx.now + delay, text)
            elif jobs.abandon(tx, job, text):
                data = {"kind": job.kind, "job": job.seq, "attempts": job.attempts}
                tx.emit(Event("job.abandoned", "failure", data=data))

        await self._kit.work.write(settle)
