"""A store that is wrong on purpose: it reads, checks, and then writes. The suites must not let it pass."""

from __future__ import annotations

import secrets

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.limits import Hit, Limit, LimitStore, SqlLimits
from admit.limits.store import bucket
from admit.limits.values import outcome
from admit.stores.sql import limits as rows
from admit.stores.sql.database import open_database
from admit.testing.clock import ManualClock


class ReadThenWrite(SqlLimits):
    """Right for one caller at a time."""

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Hit:
        name, weight = bucket(key, limit), limit.cost(cost)
        now, tat = await self._work.read(lambda tx: (tx.now, max(tx.now, rows.read(tx, name))))
        if tat + weight > now + limit.window:
            return outcome(limit, now, tat, weight)

        def write(tx: Tx) -> None:
            where = (rows.limits.c.tenant == tx.tenant, rows.limits.c.key == name)
            tx.connection.execute(sa.delete(rows.limits).where(*where))
            row = {"tenant": tx.tenant, "key": name, "tat": tat + weight}
            tx.connection.execute(sa.insert(rows.limits).values(row))

        await self._work.write(write)
        return outcome(limit, now, tat + weight)


async def open_wrong(url: str) -> LimitStore:
    return ReadThenWrite(open_database(url, ManualClock(), secrets.token_bytes))
