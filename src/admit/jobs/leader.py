"""Steps that one process does for all: the sealer, the cleaner, the detectors, key rotation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from admit.ground.clock import micros
from admit.ground.errors import Unavailable
from admit.ground.kit import Kit
from admit.ground.logs import logger
from admit.ground.work import Tx
from admit.jobs.loop import Loop, Pause, pause
from admit.stores.sql import leases

log = logger("admit.jobs")


class Leader:
    """The lease `name` (table admit_leases). The fence rises with every change of holder; a step that must not run
    beside its successor's checks it in its own transaction with `holds`.
    """

    def __init__(self, kit: Kit, name: str, holder: str, lease: timedelta = timedelta(seconds=15)) -> None:
        self._kit = kit
        self._name = name
        self._holder = holder
        self._lease = micros(lease)
        self._prolong_at = 0
        self.fence: int | None = None

    async def lead(self) -> int | None:
        """Takes or prolongs the lease; the fence, or None while another process leads. It is written only when it is
        free or a third of it has passed: an idle server must not write to the disk every second.
        """
        now = self._kit.clock.now()
        if self.fence is not None and now < self._prolong_at:
            return self.fence
        free = await self._kit.work.read(lambda tx: leases.free(tx, self._name, self._holder))
        self.fence = await self._kit.work.write(self._acquire) if free else None
        self._prolong_at = now + self._lease // 3
        return self.fence

    def _acquire(self, tx: Tx) -> int | None:
        return leases.acquire(tx, self._name, self._holder, tx.now + self._lease)

    def holds(self, tx: Tx) -> bool:
        """Whether the lease is still ours, certain until the end of this transaction."""
        return self.fence is not None and leases.holds(tx, self._name, self.fence)

    async def resign(self) -> None:
        """Gives the lease back at a graceful stop."""
        fence, self.fence = self.fence, None
        if fence is not None:
            await self._kit.work.write(lambda tx: leases.resign(tx, self._name, fence))


@dataclass(frozen=True, slots=True)
class Step:
    """One small idempotent step of a leader: `run` returns True when there is more to do at once."""

    name: str
    run: Callable[[], Awaitable[bool]]
    every: timedelta = timedelta(seconds=1)


class Steps:
    """Drives the steps whose lease this process can get; another process takes over when it stops or stalls."""

    def __init__(
        self,
        kit: Kit,
        steps: Sequence[Step],
        holder: str,
        *,
        lease: timedelta = timedelta(seconds=15),
        pause: Pause = pause,
    ) -> None:
        self._kit = kit
        self._steps = list(steps)
        self._leaders = {step.name: Leader(kit, step.name, holder, lease) for step in steps}
        self._due = dict.fromkeys(self._leaders, 0)
        shortest = min((step.every for step in steps), default=timedelta(seconds=1))
        self._loop = Loop("steps", self.run_once, shortest, pause=pause)

    def leader(self, name: str) -> Leader:
        """The lease of one step, for a step that checks its fence."""
        return self._leaders[name]

    def ensure(self) -> bool:
        """Starts on the running event loop unless it runs already."""
        return self._loop.ensure()

    def wake(self) -> None:
        """Looks for due steps now."""
        self._loop.wake()

    async def close(self, grace: timedelta = timedelta(seconds=10)) -> None:
        """Finishes the step in hand and gives the leases back."""
        await self._loop.close(grace)
        for leader in self._leaders.values():
            try:
                await leader.resign()
            except Unavailable:
                return  # the leases run out by themselves

    async def run_once(self) -> bool:
        """Runs each due step once, where the lease is ours; True when one of them has more to do at once.

        One step that fails does not keep the others from running. Raises `Unavailable` when the store is down.
        """
        more = False
        for step in self._steps:
            now = self._kit.clock.now()
            if now < self._due[step.name]:
                continue
            self._due[step.name] = now + micros(step.every)
            if await self._leaders[step.name].lead() is not None and await self._guarded(step):
                self._due[step.name] = 0
                more = True
        return more

    @staticmethod
    async def _guarded(step: Step) -> bool:
        try:
            return await step.run()
        except Unavailable:
            raise
        except Exception as error:
            log.exception("step.failed", step=step.name, error=type(error).__name__)
            return False
