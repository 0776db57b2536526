"""Verbs of the store that are wrong on purpose: they read, check, and then write. The suites must not let them pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from admit.ground.clock import micros
from admit.ground.kit import Kit
from admit.stores.sql import leases, schema


async def lead(kit: Kit, arguments: dict[str, Any]) -> int | None:
    holder, name = kit.random(8).hex(), arguments["name"]
    if not await kit.work.read(lambda tx: leases.free(tx, name, holder)):
        return None

    def write(tx: Any) -> int:
        tx.connection.execute(sa.delete(schema.leases).where(schema.leases.c.name == name))
        until = tx.now + micros(timedelta(minutes=1))
        tx.connection.execute(sa.insert(schema.leases).values(name=name, holder=holder, until=until, fence=1))
        return 1

    return await kit.work.write(write)
