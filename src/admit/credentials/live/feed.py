"""The feed as this process knows it: which ties moved, and until when that knowledge may be trusted (the lease).

Proof of the bound: a void committed at c is seen by every poll begun after c. A process that has not applied it began
its last good poll before c, so its lease ends before c + LEASE. No push, no wall clock and no other process is part of
the argument; a process that was paused finds its lease run out and fails closed by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from admit.credentials.live.hint import Hint
from admit.credentials.live.voids import Voids
from admit.ground.clock import Clock, SystemClock
from admit.ground.errors import Unavailable
from admit.ground.kit import Kit
from admit.ground.principal import Tie
from admit.stores.sql import feed as rows
from admit.stores.sql.database import Database
from admit.stores.sql.feed import Poll

EVERY = 0.5  # seconds between polls
LEASE = 1.5  # seconds from the begin of a good poll
PATIENCE = 1.0  # seconds a request waits for the poll in flight


class Follower:
    """Something that must be read again when its tie moves. `seen`: the version at its last reading."""

    def __init__(self, tie: Tie, reread: Callable[[], Awaitable[None]]) -> None:
        self.tie = tie
        self.reread = reread
        self.seen: int | None = None


class Outside(Protocol):
    """What a lease takes from the kit."""

    @property
    def clock(self) -> Clock: ...

    @property
    def random(self) -> Callable[[int], bytes]: ...


class Lease(Voids, ABC):
    """Until when what is known may be trusted: renewed by one poll at a time, whoever waits for it."""

    def __init__(self, kit: Outside, *, part: str, lease: float = LEASE) -> None:
        super().__init__(kit.clock)
        self._random = kit.random
        self._part = part  # what is down when a poll fails
        self._lease = lease
        self.fresh_until = 0.0
        self._poll: asyncio.Task[None] | None = None
        self._beat: asyncio.Task[None] | None = None

    @abstractmethod
    async def poll(self) -> None:
        """One poll: everything committed before it began is applied when it returns. Raises `Unavailable`."""

    def is_fresh(self) -> bool:
        """Whether what this process knows may still be served."""
        return self._clock.monotonic() < self.fresh_until

    async def freshen(self) -> None:
        """Returns once the lease holds; raises `Unavailable` when nobody can be asked in time.

        Every waiting request shares the ONE poll in flight: a query each would turn a slow database into a dead one.
        """
        self.start()
        for _ in range(3):
            if self.is_fresh():
                return
            # a poll in flight may have begun before the hint moved: then one more is needed
            await self._join_poll()
        if self._clock.monotonic() >= self.fresh_until:
            raise Unavailable(self._part)

    def start(self) -> None:
        """Begins to poll on the running loop. Not needed for correctness: without it requests poll by themselves."""
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._beat is not None and not self._beat.done():
            return
        self._loop, self._poll = loop, None
        self._beat = loop.create_task(self._keep_polling(), name="admit-feed")

    async def close(self) -> None:
        """Stops polling; a poll in flight may end by itself, since one that is cut while it connects leaks."""
        for task, patience in ((self._beat, 0.0), (self._poll, PATIENCE)):
            if task is not None and task.get_loop() is asyncio.get_running_loop():
                await asyncio.wait([task], timeout=patience)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Unavailable):
                    await task

    async def _join_poll(self) -> None:
        poll = self._poll
        if poll is None or poll.done():
            poll = self._poll = asyncio.get_running_loop().create_task(self.poll(), name="admit-poll")
        # not wait_for: until Python 3.12 it swallows a cancellation that meets the end of the poll, and `close` hangs
        done, _ = await asyncio.wait([poll], timeout=PATIENCE)
        if not done:
            raise Unavailable(self._part)
        poll.result()

    async def _keep_polling(self) -> None:
        while True:
            jitter = self._random(1)[0] / 255 * 0.1
            with contextlib.suppress(Unavailable):
                await self._join_poll()
            await asyncio.sleep(EVERY - jitter)


class Feed(Lease):
    """Applies voids, polls the store for those of other processes, holds the lease."""

    def __init__(self, kit: Kit, database: Database, hint: Hint) -> None:
        super().__init__(kit, part="database")
        self._database = database
        self._hint = hint
        self._connection = 0
        self._followers: list[Follower] = []
        self._identity: str | None = None
        self._horizon = 0
        self._changes: int | None = None
        self._hint_polled = -1
        database.on_commit(self._committed)

    def is_fresh(self) -> bool:
        """Whether what this process knows may still be served; 0.2 us."""
        return self._clock.monotonic() < self.fresh_until and self._hint.read() == self._hint_polled

    def follow(self, tie: Tie, reread: Callable[[], Awaitable[None]]) -> None:
        """Has `reread` done within the poll that sees `tie` move, and after each reconnection: no lease without it."""
        # one a tie: opening again after a failure must not read twice
        self._followers = [*(one for one in self._followers if one.tie != tie), Follower(tie, reread)]

    async def close(self) -> None:
        """Stops polling."""
        await super().close()
        self._hint.close()

    async def poll(self) -> None:
        """One poll: everything committed before it began is applied when it returns. Raises `Unavailable`."""
        begun, hint = self._clock.monotonic(), self._hint.read()
        try:
            changes = await self._database.changes()
            if changes is None or changes != self._changes or not self._horizon:
                self._take(*await self._read())
            for follower in self._followers:
                await self._reread(follower)
        except BaseException:
            # whatever was missed meanwhile is found by reading every live void again
            self._horizon = 0
            raise
        self._changes, self._hint_polled = changes, hint
        self.fresh_until = begun + LEASE
        self.forget_old(begun)

    async def _read(self) -> tuple[Poll, int]:
        polled, connection = await self._ask(self._horizon)
        if self._horizon and (connection != self._connection or polled.identity != self._identity):
            # what was asked of one connection, or of one database, may say nothing about the next
            polled, connection = await self._ask(0)
        return polled, connection

    async def _ask(self, horizon: int) -> tuple[Poll, int]:
        clock = self._clock
        before = time.monotonic()
        polled, connection = await self._database.watch(lambda tx: rows.poll(tx, horizon))
        if polled.database_time is not None and isinstance(clock, SystemClock):
            # half the way back: exp and iat then agree on every node whatever NTP does to one of them
            half = int((time.monotonic() - before) * 500_000)
            clock.offset += polled.database_time + half - clock.now()
        return polled, connection

    def _take(self, polled: Poll, connection: int) -> None:
        other = polled.identity != self._identity
        if other and self._identity is not None:
            self.forget_everything()
        if other or connection != self._connection or not self._horizon:
            for follower in self._followers:
                follower.seen = None
        self._identity, self._connection = polled.identity, connection
        self.apply(polled.rows)
        # an empty table leaves the horizon at 0, which would mean: not read yet
        self._horizon = max(polled.horizon, 1)

    async def _reread(self, follower: Follower) -> None:
        version = self.version(follower.tie)
        if follower.seen != version:
            await follower.reread()
            follower.seen = version

    def _committed(self, voids: Sequence[tuple[Tie, int]]) -> None:
        # after the commit and before the answer: dead at once in this process, and a hint to the others on this host
        self.apply(voids)
        self._hint.bump()
