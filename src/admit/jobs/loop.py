"""A step that is done again and again: begins lazily, survives failures, stops in good order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from admit.ground.errors import Unavailable
from admit.ground.logs import logger

log = logger("admit.jobs")

#: waits until woken or until that many seconds have passed
Pause = Callable[[asyncio.Event, float], Awaitable[None]]
LONGEST = timedelta(seconds=30)


async def pause(wake: asyncio.Event, seconds: float) -> None:
    """The real pause; tests pass one that does not wait."""
    with suppress(TimeoutError):
        await asyncio.wait_for(wake.wait(), seconds)


class Loop:
    """Calls `step` every `every`; at once again while it returns True (there is more).

    `ensure` starts it on the running event loop: a mounted application may get no lifespan, and a test client makes a
    new event loop for each test. When the store is down the waits grow up to 30 s, and the loop goes on by itself.
    With `last`, the step runs once more when the task is cancelled without `close` (the event loop ends).
    """

    def __init__(
        self,
        name: str,
        step: Callable[[], Awaitable[bool]],
        every: timedelta,
        *,
        last: bool = False,
        pause: Pause = pause,
    ) -> None:
        self.name = name
        self._step = step
        self._every = every.total_seconds()
        self._last = last
        self._pause = pause
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._stopping = False

    def ensure(self) -> bool:
        """Starts the loop unless it runs; never raises. False where no event loop runs (a plain thread)."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._loop is not running or self._task is None or self._task.done():
            self._loop, self._wake, self._stopping = running, asyncio.Event(), False
            self._task = running.create_task(self._run(), name=f"admit-{self.name}")
        return True

    def wake(self) -> None:
        """Ends the present wait; to be called on the event loop."""
        self._wake.set()

    async def close(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Lets the step in hand finish within `grace`, then cancels it. Afterwards `ensure` starts anew."""
        task, self._task = self._task, None
        if task is None or self._loop is not asyncio.get_running_loop():
            return
        self._stopping = True
        self._wake.set()
        await asyncio.wait({task}, timeout=grace.total_seconds())
        if not task.done():
            task.cancel()
            await asyncio.wait({task})

    async def _run(self) -> None:
        failures = 0
        try:
            while not self._stopping:
                more, failures = await self._guarded(failures)
                if more or self._stopping:
                    await asyncio.sleep(0)
                    continue
                await self._pause(self._wake, self._wait(failures))
                self._wake.clear()
        except asyncio.CancelledError:
            if self._last and not self._stopping:
                with suppress(Exception):
                    await self._step()
            raise

    def _wait(self, failures: int) -> float:
        grown = self._every * float(1 << min(failures, 10))
        return min(grown, max(self._every, LONGEST.total_seconds()))

    async def _guarded(self, failures: int) -> tuple[bool, int]:
        try:
            return await self._step(), 0
        except Unavailable as error:
            if failures == 0:
                log.warning("loop.waiting", loop=self.name, part=error.part)
        except Exception as error:
            # a step that fails must not end the loop: it would stay dead until the next start, unseen
            log.exception("loop.failed", loop=self.name, error=type(error).__name__)
        return False, failures + 1
