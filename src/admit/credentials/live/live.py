"""The one question of the hot path: the facts behind a presented text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from admit.credentials.live.cache import Cache
from admit.credentials.live.feed import Feed
from admit.credentials.live.truth import Truth
from admit.ground.kit import Kit
from admit.ground.principal import Facts

Kind = Literal["session", "access_token", "api_key"]
_MARK: dict[Kind, bytes] = {"session": b"s", "access_token": b"a", "api_key": b"k"}


class Live:
    """Cache in front of the truth; many requests with one credential cost one read."""

    def __init__(self, kit: Kit, feed: Feed, truth: Truth, *, caching: bool = True) -> None:
        self._kit = kit
        self._caching = caching
        self.feed = feed
        self.cache = Cache(kit.clock, feed)
        self._read: dict[Kind, Callable[[str], Awaitable[Facts]]] = {
            "session": truth.session,
            "access_token": truth.access_token,
            "api_key": truth.api_key,
        }
        self._flights: dict[bytes, asyncio.Task[Facts]] = {}

    def known(self, kind: Kind, text: str) -> Facts | None:
        """The facts, if they are at hand and may be served now; never waits. The hot path."""
        if not self._caching or not self.feed.is_fresh():
            return None
        return self.cache.get(self.cache.key(_MARK[kind], text))

    async def facts(self, kind: Kind, text: str) -> Facts:
        """The facts, from the cache or the truth; raises `Refusal` when it is not alive, `Unavailable` when the store
        cannot be asked.
        """
        await self.feed.freshen()
        if not self._caching:
            return await self._read[kind](text)
        key = self.cache.key(_MARK[kind], text)
        found = self.cache.get(key)
        return found if found is not None else await self._fly(kind, key, text)

    async def _fly(self, kind: Kind, key: bytes, text: str) -> Facts:
        """One truth read for everybody who asks at the same moment.

        The read is a task of its own, so that one caller who goes away does not take the others down.
        """
        flight = self._flights.get(key)
        if flight is None or flight.get_loop() is not asyncio.get_running_loop():
            flight = self._flights[key] = asyncio.get_running_loop().create_task(self._keep(kind, key, text))
            flight.add_done_callback(lambda task: self._land(key, task))
        return await asyncio.shield(flight)

    async def _keep(self, kind: Kind, key: bytes, text: str) -> Facts:
        read_at = self._kit.clock.now()
        facts = await self._read[kind](text)
        self.cache.put(key, facts, read_at)
        return facts

    def _land(self, key: bytes, task: asyncio.Task[Facts]) -> None:
        if self._flights.get(key) is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits any more
