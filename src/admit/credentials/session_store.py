"""Where the last use of each session is kept: in its row, or in Valkey.

The row in SQL says who, with which secret and proofs, and until when; a session that has ended has ended there, in the
transaction that ended it. So a store of uses may lose anything, and nothing that it brings back is alive by that.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from admit.ground.errors import SettingsError, Unavailable
from admit.ground.principal import Tie
from admit.ground.work import Work
from admit.stores.sql import sessions as rows
from admit.stores.sql.database import Database
from admit.stores.sql.sessions import SessionRow
from admit.stores.sql.truth import SessionTruth
from admit.stores.valkey import Valkey
from admit.stores.valkey.sessions import SessionRecords, SessionUse

if TYPE_CHECKING:
    from admit.settings import Settings

CLEARING = "admit-ended-sessions"  # the task that deletes their keys


class Begun(NamedTuple):
    """A session at its start, or with a new secret. `at`, `idle`: microseconds; `lives`: seconds to its last end."""

    id: bytes
    version: int
    at: int
    idle: int
    lives: int


class SessionStore(Protocol):
    """Every method raises `Unavailable` when nobody can tell: then no session is good."""

    async def keep(self, begun: Begun) -> None:
        """Takes up a session whose row was committed; before that it is not alive."""
        ...

    async def last_use(self, truth: SessionTruth) -> int | None:
        """When the session was last used (microseconds), as written last; None when that is lost."""
        ...

    async def seen(self, at: Sequence[tuple[bytes, int]]) -> None:
        """Notes last uses; never moves one back, never revives a session."""
        ...

    async def with_uses(self, found: list[SessionRow]) -> list[SessionRow]:
        """The rows with their last uses, without those that are lost."""
        ...

    async def close(self) -> None:
        """Finishes what is begun and lets go."""
        ...


class SqlSessions:
    """In the row itself."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def keep(self, begun: Begun) -> None:
        del begun  # the row holds it

    async def last_use(self, truth: SessionTruth) -> int | None:
        return truth.seen_at

    async def seen(self, at: Sequence[tuple[bytes, int]]) -> None:
        await self._work.write(lambda tx: rows.seen(tx, at))

    async def with_uses(self, found: list[SessionRow]) -> list[SessionRow]:
        return found

    async def close(self) -> None:
        return None


class ValkeySessions:
    """In Valkey, so that no use writes to SQL. Closes `client` with itself."""

    def __init__(self, client: Valkey, database: Database) -> None:
        self._client = client
        self._records = SessionRecords(client)
        self._ended: deque[tuple[bytes, int]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        database.on_commit(self._committed)

    async def keep(self, begun: Begun) -> None:
        self._loop = asyncio.get_running_loop()
        await self._records.keep(begun.id, SessionUse(begun.version, begun.at), begun.idle, begun.lives)

    async def last_use(self, truth: SessionTruth) -> int | None:
        self._loop = asyncio.get_running_loop()
        (use,) = await self._records.find([truth.id])
        # another version: from before a new secret, or out of a snapshot that was restored
        return None if use is None or use.version != truth.version else use.seen_at

    async def seen(self, at: Sequence[tuple[bytes, int]]) -> None:
        await self._records.seen(at)

    async def with_uses(self, found: list[SessionRow]) -> list[SessionRow]:
        if not found:
            return []
        uses = await self._records.find([row.id for row in found])
        pairs = zip(found, uses, strict=True)
        return [row._replace(seen_at=use.seen_at) for row, use in pairs if use and use.version == row.version]

    async def settle(self) -> None:
        """Returns once the keys of every session that this process ended are gone, or the server is."""
        while self._ended:
            batch = [self._ended.popleft() for _ in range(len(self._ended))]
            try:
                await self._records.drop(batch)
            except Unavailable:
                return  # their rows are dead, and the keys run out

    async def close(self) -> None:
        if self._task is not None and self._task.get_loop() is asyncio.get_running_loop():
            await self._task
        await self.settle()
        await self._client.close()

    def _committed(self, voids: Sequence[tuple[Tie, int]]) -> None:
        # may run on the database's own thread
        self._ended.extend((tie.id, version) for tie, version in voids if tie.kind == "session")
        if self._ended and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._clear)

    def _clear(self) -> None:
        if self._ended and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self.settle(), name=CLEARING)


def open_session_store(settings: Settings, database: Database) -> SessionStore:
    """The store of `sessions.store`. Raises `SettingsError` without a URL, or without the extra for Valkey."""
    if settings.sessions.store == "sql":
        return SqlSessions(database)
    if settings.valkey is None:
        raise SettingsError("sessions.store is valkey, but no valkey URL is set")
    return ValkeySessions(Valkey(settings.valkey), database)
