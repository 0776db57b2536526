"""The gate every protected request passes: resolve, limit, check. One per Admit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from functools import lru_cache

from admit.credentials.usage import Usage
from admit.ground.clock import Clock, micros
from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.ground.principal import Facts, Principal, Tie
from admit.limits import Blocks, Hit, Limit
from admit.settings import Settings
from admit.web.context import RequestContext
from admit.web.demand import Demand
from admit.web.peer import Peer
from admit.web.resolver import Resolved, Resolver


class Gate:
    """Who is calling, how often may they, and may they. Asked where a Principal is consumed, never earlier."""

    def __init__(
        self, settings: Settings, clock: Clock, resolver: Resolver, blocks: Blocks, peer: Peer, seen: Seen
    ) -> None:
        self._clock = clock
        self._resolver = resolver
        self._blocks = blocks
        self.peer = peer
        self._seen = seen
        self._limit = Limit(settings.api_keys.limit, settings.api_keys.limit_per, "api-key")

    def at_once(self, context: RequestContext, demand: Demand) -> Principal | None:
        """What `principal` gives or raises, when it need not wait; None, with nothing noted and counted: ask it."""
        now, resolved = self._clock.now(), context.resolved
        if resolved is None:
            resolved = self._resolver.at_once(context.scope, now)
            if resolved is None or resolved.facts is None or not self._admit_at_once(context, resolved.facts, now):
                return None
            context.resolved = resolved
        if resolved.facts is None:
            return None
        caller = resolved.facts.principal(ambient=resolved.ambient)
        demand.check(caller, now)
        return caller

    async def principal(self, context: RequestContext, demand: Demand) -> Principal:
        """The caller, who meets `demand`; raises `Refusal`."""
        resolved = await self.resolve(context)
        if resolved.facts is None:
            raise Refusal(resolved.reason or "resolver.none")
        caller = resolved.facts.principal(ambient=resolved.ambient)
        demand.check(caller, self._clock.now())
        return caller

    async def optional(self, context: RequestContext) -> Principal | None:
        """The caller, or None for nobody; a wrong explicit credential is still refused."""
        resolved = await self.resolve(context)
        return None if resolved.facts is None else resolved.facts.principal(ambient=resolved.ambient)

    async def resolve(self, context: RequestContext) -> Resolved:
        """The facts of the caller, found out once a request."""
        if context.resolved is None:
            resolved = await self._resolver.resolve(context.scope)
            if resolved.facts is not None:
                await self._admit(context, resolved.facts)
            context.resolved = resolved
        return context.resolved

    async def again(self, context: RequestContext) -> Facts:
        """The facts of a caller as they are now, for connections that stay open; raises `Refusal` when it is over."""
        resolved = context.resolved
        presented = None if resolved is None else resolved.presented or self._resolver.presented(context.scope)
        if presented is None:
            raise Refusal("resolver.none")
        return await self._resolver.again(presented)

    def watch(self, ties: Iterable[Tie], hear: Callable[[], None]) -> Callable[[], None]:
        """Calls `hear` whenever one of `ties` moves; returns a function that stops it."""
        return self._resolver.watch(ties, hear)

    def now(self) -> int:
        """Microseconds UTC."""
        return self._clock.now()

    def via(self, context: RequestContext) -> Via:
        """The way a request came."""
        return context.via(self.peer.address)

    async def _admit(self, context: RequestContext, facts: Facts) -> None:
        now = self._clock.now()
        if not self._admit_at_once(context, facts, now):
            key, limit = self._bucket(facts)
            self._count(context, facts, await self._blocks.reserve(key, limit), now)

    def _admit_at_once(self, context: RequestContext, facts: Facts, now: int) -> bool:
        """Notes the use and counts the hit; False, with nothing done, when the count has to be fetched first."""
        kind = facts.credential.kind
        if kind == "session":
            self._seen.note(facts.credential_id, now)
        elif kind == "api_key":
            hit = self._blocks.spend(*self._bucket(facts))
            if hit is None:
                return False
            self._count(context, facts, hit, now)
        return True

    def _bucket(self, facts: Facts) -> tuple[str, Limit]:
        return f"key:{facts.credential_id.hex()}", self._limit if facts.limit is None else _own(facts.limit)

    def _count(self, context: RequestContext, facts: Facts, hit: Hit, now: int) -> None:
        self._seen.used(facts.credential_id, self.peer.address(context.scope), now)
        context.hits.append(hit)
        if not hit.allowed:
            raise limited("api_key.limited", hit)


class Seen:
    """Notes uses without touching the store; flushed in batches elsewhere."""

    def __init__(self, note: Callable[[bytes, int], None], usage: Usage) -> None:
        self.note = note
        self.used = usage.note


def limited(reason: str, hit: Hit) -> Refusal:
    """The refusal of a limit, with the guide's words (mission S14)."""
    wait = max(1, -(-micros(hit.retry_after) // 1_000_000))
    unit = "second" if wait == 1 else "seconds"
    return Refusal(reason, detail=f"Too many requests. Try again in {wait} {unit}", retry_after=hit.retry_after)


@lru_cache(4096)
def _own(limit: tuple[int, int]) -> Limit:
    hits, per = limit
    return Limit(hits, timedelta(microseconds=per), "api-key")
