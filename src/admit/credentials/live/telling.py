"""The feed as it is told to services without our database: every void since their cursor."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import NamedTuple

from admit.ground.clock import micros
from admit.ground.kit import Kit
from admit.settings import Settings
from admit.stores.sql import feed as rows
from admit.stores.sql.feed import Poll, VoidRow

#: what a cursor looks like: the digest of the database's name, and the horizon in it
CURSOR = r"^[0-9a-f]{16}\.[0-9]{1,18}$"


class News(NamedTuple):
    """`cursor` is for the next question. `reset`: this is another database than that of the cursor, and what was known
    of the other one is void altogether. `now` (microseconds) is not before any of the voids was committed; `keep` is
    how long they have to be remembered.
    """

    cursor: str
    reset: bool
    voids: list[VoidRow]
    now: int
    keep: int


class Teller:
    """Answers verifiers from the store itself, so that an answer knows of every commit before the question."""

    def __init__(self, kit: Kit, settings: Settings) -> None:
        self._kit = kit
        # the longest access token, and five minutes for what is cached of it: as long as voids stay in the store
        self._keep = micros(settings.tokens.access_for + timedelta(minutes=5))

    async def since(self, cursor: str | None) -> News:
        """What moved since `cursor` (None: everything that may still matter). Raises `Unavailable`."""
        name, horizon = _read(cursor)
        told = await self._kit.work.read(lambda tx: rows.poll(tx, horizon))
        other = name is not None and name != _name(told)
        if other:
            told = await self._kit.work.read(lambda tx: rows.poll(tx, 0))
        # an empty table leaves the horizon at 0, which would mean: from the beginning
        following = f"{_name(told)}.{max(told.horizon, 1)}"
        # no other service is ever shown a session
        voids = [row for row in told.rows if row.tie.kind != "session"]
        return News(following, other, voids, self._kit.clock.now(), self._keep)


def _read(cursor: str | None) -> tuple[str | None, int]:
    if cursor is None:
        return None, 0
    name, _, horizon = cursor.partition(".")
    return name, int(horizon)


def _name(told: Poll) -> str:
    # a digest: the name says which machine and timeline the database is
    return hashlib.sha256(told.identity.encode()).hexdigest()[:16]
