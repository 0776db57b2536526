"""When each session was last used, under `session:{id}`; the key goes at the latest with the session's absolute end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from admit.ground.errors import Unavailable
from admit.ground.ids import show
from admit.stores.valkey.client import Valkey

PART = "sessions"
PAGE = 500  # sessions in one script: it holds up everybody else


class SessionUse(NamedTuple):
    """A session as Valkey knows it. `version` is that of its row at the writing; times in microseconds."""

    version: int
    seen_at: int


class SessionRecords:
    """Raises `Unavailable("sessions")` whenever the server does not answer."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def keep(self, identifier: bytes, use: SessionUse, idle: int, lives: int) -> None:
        """Stores `use` unless a newer version stands there. `idle`: microseconds, `lives`: seconds."""
        arguments = [use.version, use.seen_at, idle, max(1, lives)]
        await self._client.run("session_keep", [_name(identifier)], arguments, part=PART)

    async def find(self, identifiers: Sequence[bytes]) -> list[SessionUse | None]:
        """What is known of each; None where nothing is."""
        with self._client.guard(PART):
            pipe = self._client.redis.pipeline(transaction=False)
            for identifier in identifiers:
                pipe.hmget(self._client.prefix + _name(identifier), ["version", "seen_at"])
            rows = await pipe.execute()
        try:
            return [SessionUse(int(version), int(at)) if version and at else None for version, at in rows]
        except ValueError as error:
            # nothing of ours: somebody else writes here
            raise Unavailable(PART) from error

    async def seen(self, at: Sequence[tuple[bytes, int]]) -> None:
        """Notes last uses; never moves back, never makes or revives one."""
        await self._each("session_seen", at)

    async def drop(self, ended: Sequence[tuple[bytes, int]]) -> None:
        """Deletes those whose version is below the one named with them."""
        await self._each("session_drop", ended)

    async def _each(self, script: str, pairs: Sequence[tuple[bytes, int]]) -> None:
        for start in range(0, len(pairs), PAGE):
            page = pairs[start : start + PAGE]
            names, numbers = [_name(identifier) for identifier, _ in page], [number for _, number in page]
            await self._client.run(script, names, numbers, part=PART)


def _name(identifier: bytes) -> str:
    return f"session:{show('ses', identifier)}"
