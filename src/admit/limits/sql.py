"""Limits in the database: correct for any number of processes and nodes with nothing else to run."""

from __future__ import annotations

from datetime import timedelta

from admit.ground.work import Tx, Work
from admit.limits.store import bounded, bucket
from admit.limits.values import Hit, Limit, Waits, outcome
from admit.stores.sql import limits as rows


class SqlLimits:
    """A `LimitStore` on SQLite or PostgreSQL. Time is the transaction's."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Hit:
        name, weight = bucket(key, limit), limit.cost(cost)

        def body(tx: Tx) -> Hit:
            if (tat := rows.hit(tx, name, weight, limit.window)) is not None:
                return outcome(limit, tx.now, tat)
            return outcome(limit, tx.now, rows.read(tx, name), weight)

        return await self._work.write(body)

    async def refund(self, key: str, limit: Limit, cost: int = 1) -> None:
        name, weight = bucket(key, limit), limit.cost(cost)
        await self._work.write(lambda tx: rows.refund(tx, name, weight))

    async def fail(self, key: str, waits: Waits) -> timedelta:
        name = bounded(key)

        def body(tx: Tx) -> timedelta:
            wait = waits.wait(rows.fail(tx, name, waits.forget))
            rows.hold(tx, name, wait)
            return wait

        return await self._work.write(body)

    async def waiting(self, key: str) -> timedelta:
        name = bounded(key)
        return await self._work.read(lambda tx: timedelta(microseconds=rows.waiting(tx, name)))

    async def clear(self, key: str) -> None:
        name = bounded(key)
        await self._work.write(lambda tx: rows.clear(tx, name))

    async def close(self) -> None:
        """Nothing: the database belongs to whoever opened it."""
