"""Marks that can be made once: of any number of racers with the same key, one is told that it was the first."""

from __future__ import annotations

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema
from admit.stores.sql.upsert import insert_for

claims = schema.claims


def claim(tx: Tx, key: str, until: int) -> bool:
    """Whether nobody has claimed `key` before, or every claim is past its `until` (microseconds)."""
    insert = insert_for(tx.dialect)
    statement = (
        insert(claims)
        .values(tenant=tx.tenant, key=key, until=until)
        .on_conflict_do_update(index_elements=["tenant", "key"], set_={"until": until}, where=claims.c.until < tx.now)
        .returning(claims.c.key)
    )
    return tx.connection.execute(statement).one_or_none() is not None


def forget(tx: Tx, limit: int = 1000) -> int:
    """Deletes up to `limit` claims that are past their time; how many."""
    old = sa.select(claims.c.key).where(claims.c.tenant == tx.tenant, claims.c.until < tx.now).limit(limit)
    return tx.connection.execute(sa.delete(claims).where(claims.c.tenant == tx.tenant, claims.c.key.in_(old))).rowcount
