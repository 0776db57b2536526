"""When sessions were last used: noted in memory, written in batches, so that idle limits cost no write a request."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta

from admit.credentials.session_store import SessionStore
from admit.ground.errors import Unavailable

LONGEST = timedelta(seconds=60)


class Seen:
    """session id -> last use. Flushed every min(60 s, idle / 20), so that the idle limit is exact to a twentieth."""

    def __init__(self, store: SessionStore, idle: timedelta) -> None:
        self._store = store
        self._every = min(LONGEST, idle / 20).total_seconds()
        self._at: dict[bytes, int] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None

    def note(self, session: bytes, now: int) -> None:
        """One use of a session; touches memory only."""
        self._at[session] = now
        if self._timer is None or (self._loop is not None and self._loop.is_closed()):
            self._schedule()

    async def flush(self) -> None:
        """Writes what is noted; keeps it while the store is down."""
        if not self._at:
            return
        noted, self._at = self._at, {}
        try:
            await self._store.seen(list(noted.items()))
        except Unavailable:
            self._at = {**noted, **self._at}

    async def close(self) -> None:
        """The last batch, at a graceful stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await self.flush()

    def _schedule(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(self._every, self._due)

    def _due(self) -> None:
        self._timer = None
        self._task = asyncio.get_running_loop().create_task(self._guarded(), name="admit-seen")

    async def _guarded(self) -> None:
        with contextlib.suppress(Unavailable):
            await self.flush()
        if self._at:
            self._schedule()
