"""Where an application's route meets Admit: finds the request's context, and what a test pretends."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from starlette.types import Scope

from admit.flows.gate import network
from admit.ground.clock import Clock
from admit.ground.errors import Refusal
from admit.ground.principal import Principal
from admit.limits import Limit
from admit.web.context import RequestContext
from admit.web.demand import Demand
from admit.web.gate import limited

if TYPE_CHECKING:
    from admit.limits import LimitStore
    from admit.web.gate import Gate


class Door:
    """One per Admit. It exists before the store is open, so that routes can be declared at import time."""

    def __init__(self, clock: Clock) -> None:
        self.key = f"admit.{id(self):x}"
        self.clock = clock
        self.gate: Gate | None = None
        self.limits: LimitStore | None = None
        self.pretended: ContextVar[Principal | None] = ContextVar(self.key, default=None)

    def context(self, scope: Scope) -> RequestContext:
        """The context of a request; made here when the middleware is not mounted."""
        found = scope.get(self.key)
        if found is None:
            found = scope[self.key] = RequestContext(scope)
        context: RequestContext = found
        return context

    def at_once(self, scope: Scope, demand: Demand) -> Principal | None:
        """The caller, who meets `demand`, when everything is at hand; None: ask `principal`, which may wait."""
        if self.gate is None or scope["type"] != "http" or self.pretended.get() is not None:
            return None
        return self.gate.at_once(self.context(scope), demand)

    async def principal(self, scope: Scope, demand: Demand) -> Principal:
        """The caller, who meets `demand`."""
        if (caller := self.at_once(scope, demand)) is not None:
            return caller
        pretended = self.pretended.get()
        if pretended is not None:
            demand.check(pretended, self.clock.now())
            return pretended
        return await self._open().principal(self.context(scope), demand)

    async def optional(self, scope: Scope) -> Principal | None:
        """The caller, or None."""
        pretended = self.pretended.get()
        return pretended if pretended is not None else await self._open().optional(self.context(scope))

    async def hit(self, scope: Scope, limit: Limit, who: str | None) -> None:
        """Counts a hit on a route: per `who`, or per address, and per route."""
        context, gate = self.context(scope), self._open()
        caller = who if who is not None else network(gate.via(context).address or "-")
        route = getattr(scope.get("route"), "path", None) or scope["path"]
        assert self.limits is not None  # noqa: S101
        hit = await self.limits.hit(f"route:{limit.name}:{scope.get('method', 'WS')}:{route}:{caller}", limit)
        context.hits.append(hit)
        if not hit.allowed:
            raise limited("limit.route", hit)

    def _open(self) -> Gate:
        if self.gate is None:
            raise Refusal("request.unavailable", private="Admit is not open: use its lifespan, or mount it")
        return self.gate
