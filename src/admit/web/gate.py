"""The gate every protected request passes: resolve, limit, check. One per Admit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta

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

    async def again(self, resolved: Resolved) -> Facts:
        """The facts of a caller as they are now, for connections that stay open; raises `Refusal` when it is over."""
        if resolved.presented is None:
            raise Refusal("resolver.none")
        return await self._resolver.again(resolved.presented)

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
        kind = facts.credential.kind
        if kind == "session":
            self._seen.note(facts.credential_id, self._clock.now())
        elif kind == "api_key":
            self._seen.used(facts.credential_id, self.via(context).address)
            await self._spend(context, facts)

    async def _spend(self, context: RequestContext, facts: Facts) -> None:
        limit = self._limit if facts.limit is None else _own(facts.limit)
        key = f"key:{facts.credential_id.hex()}"
        hit = self._blocks.spend(key, limit)
        if hit is None:
            hit = await self._blocks.reserve(key, limit)
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


def _own(limit: tuple[int, int]) -> Limit:
    hits, per = limit
    return Limit(hits, timedelta(microseconds=per), "api-key")
