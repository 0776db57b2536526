"""Limits in Valkey, for many nodes and many hits. Valkey may lose them (they begin afresh), never add to them."""

from __future__ import annotations

from datetime import timedelta

from admit.ground.clock import Clock, micros
from admit.limits.store import bounded, bucket
from admit.limits.values import Hit, Limit, Waits, outcome
from admit.stores.valkey import Valkey
from admit.stores.valkey.limits import LimitScripts


class ValkeyLimits:
    """A `LimitStore` in Valkey. `owned`: `close` closes the client too."""

    def __init__(self, client: Valkey, clock: Clock, *, owned: bool = False) -> None:
        self._client = client
        self._clock = clock
        self._owned = owned
        self._scripts = LimitScripts(client)

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Hit:
        weight, now = limit.cost(cost), self._clock.now()
        allowed, tat = await self._scripts.hit(bucket(key, limit), now, weight, limit.window)
        return outcome(limit, now, tat, 0 if allowed else weight)

    async def refund(self, key: str, limit: Limit, cost: int = 1) -> None:
        await self._scripts.refund(bucket(key, limit), self._clock.now(), limit.cost(cost))

    async def fail(self, key: str, waits: Waits) -> timedelta:
        wait = await self._scripts.fail(
            bounded(key),
            self._clock.now(),
            waits.after,
            (micros(waits.first), micros(waits.longest), micros(waits.forget)),
        )
        return timedelta(microseconds=wait)

    async def waiting(self, key: str) -> timedelta:
        until = await self._scripts.until(bounded(key))
        return timedelta(microseconds=max(0, until - self._clock.now()))

    async def clear(self, key: str) -> None:
        await self._scripts.clear(bounded(key))

    async def close(self) -> None:
        if self._owned:
            await self._client.close()
