"""The one question of the hot path: the facts behind a presented text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Literal, Protocol

from admit.credentials.live.cache import Cache
from admit.credentials.live.feed import Lease, Outside
from admit.ground.principal import Facts

Kind = Literal["session", "access_token", "api_key"]
SESSION, ACCESS_TOKEN, API_KEY = b"s", b"a", b"k"
_MARK: dict[Kind, bytes] = {"session": SESSION, "access_token": ACCESS_TOKEN, "api_key": API_KEY}


class Source(Protocol):
    """Who knows the truth: the store (`Truth`), or the issuer that a service without a database asks.

    Each verb gives the facts as they are now, or raises `Refusal` or `Unavailable`.
    """

    async def session(self, text: str) -> Facts: ...

    async def access_token(self, text: str) -> Facts: ...

    async def api_key(self, text: str) -> Facts: ...


class Live:
    """Cache in front of the truth; many requests with one credential cost one read."""

    def __init__(self, kit: Outside, feed: Lease, truth: Source, *, caching: bool = True) -> None:
        self._clock = kit.clock
        self._caching = caching
        self.feed = feed
        self.cache = Cache(kit.clock, feed)
        self._read: dict[Kind, Callable[[str], Awaitable[Facts]]] = {
            "session": truth.session,
            "access_token": truth.access_token,
            "api_key": truth.api_key,
        }
        self._flights: dict[bytes, asyncio.Task[Facts]] = {}

    def at_hand(self, mark: bytes, text: bytes, now: int) -> Facts | None:
        """The facts, if they are known and may be served at `now`; never waits. The hot path: bytes as they came in."""
        if not self._caching or not self.feed.is_fresh():
            return None
        return self.cache.get(sha256(mark + text).digest(), now)

    async def facts(self, kind: Kind, text: str) -> Facts:
        """The facts, from the cache or the truth; raises `Refusal` when it is not alive, `Unavailable` when the store
        cannot be asked.
        """
        await self.feed.freshen()
        if not self._caching:
            return await self._read[kind](text)
        key = self.cache.key(_MARK[kind], text)
        found = self.cache.get(key, self._clock.now())
        if found is not None:
            return found
        self.cache.misses += 1
        return await self._fly(kind, key, text)

    async def truth(self, kind: Kind, text: str) -> Facts:
        """The facts as the store has them now, whatever this process remembers; raises as `facts` does."""
        return await self._read[kind](text)

    async def _fly(self, kind: Kind, key: bytes, text: str) -> Facts:
        """One truth read for everybody who asks at the same moment."""
        facts = await self._join(kind, key, text)
        if self.feed.holds(facts.ties):
            return facts
        # the read had begun before something moved that this caller may know of already; the next one begins after
        return await self._join(kind, key, text)

    async def _join(self, kind: Kind, key: bytes, text: str) -> Facts:
        # a task of its own, so that one caller who goes away does not take the others down
        flight = self._flights.get(key)
        if flight is None or flight.get_loop() is not asyncio.get_running_loop():
            flight = self._flights[key] = asyncio.get_running_loop().create_task(self._keep(kind, key, text))
            flight.add_done_callback(lambda task: self._land(key, task))
        return await asyncio.shield(flight)

    async def _keep(self, kind: Kind, key: bytes, text: str) -> Facts:
        read_at, generation = self._clock.now(), self.feed.generation
        facts = await self._read[kind](text)
        # what is void already is not kept: the next request reads again, as long as that takes
        if self.feed.holds(facts.ties):
            self.cache.put(key, facts, read_at, generation)
        return facts

    def _land(self, key: bytes, task: asyncio.Task[Facts]) -> None:
        if self._flights.get(key) is task:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # seen, even if nobody waits any more
