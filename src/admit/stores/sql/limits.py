"""Hits and failures in SQL. Each check is part of the statement that writes, so that no two racers see one state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from admit.ground.clock import micros
from admit.ground.work import Tx
from admit.stores.sql import schema
from admit.stores.sql.upsert import insert_for

limits = schema.limits
waits = schema.waits
BATCH = 1000


def hit(tx: Tx, key: str, cost: int, window: int) -> int | None:
    """Adds `cost` to the bucket unless it would then hold more than `window` (microseconds both).

    The new theoretical arrival time, or None when it was refused and nothing was written.
    """
    begin = sa.case((limits.c.tat > tx.now, limits.c.tat), else_=tx.now)
    # PostgreSQL locks the row before it looks at WHERE and looks at its newest version, SQLite has one writer
    statement = (
        _insert(tx, limits)
        .values(tenant=tx.tenant, key=key, tat=tx.now + cost)
        .on_conflict_do_update(
            index_elements=["tenant", "key"], set_={"tat": begin + cost}, where=begin + cost <= tx.now + window
        )
        .returning(limits.c.tat)
    )
    return tx.connection.execute(statement).scalar_one_or_none()


def read(tx: Tx, key: str) -> int:
    """The bucket's theoretical arrival time; now when there is none."""
    statement = sa.select(limits.c.tat).where(_is(limits, tx, key))
    return tx.connection.execute(statement).scalar_one_or_none() or tx.now


def refund(tx: Tx, key: str, cost: int) -> None:
    """Takes `cost` (microseconds) out of the bucket; below empty is empty, since `hit` begins now at the earliest."""
    statement = sa.update(limits).where(_is(limits, tx, key), limits.c.tat > tx.now)
    tx.connection.execute(statement.values(tat=limits.c.tat - cost))


def fail(tx: Tx, key: str, forget: timedelta) -> int:
    """Counts one failure; how many there are now in a row. The row stays locked until the end of the transaction."""
    forget_at = tx.now + micros(forget)
    statement = (
        _insert(tx, waits)
        .values(tenant=tx.tenant, key=key, failures=1, until=tx.now, forget_at=forget_at)
        .on_conflict_do_update(
            index_elements=["tenant", "key"],
            set_={
                "failures": sa.case((waits.c.forget_at <= tx.now, 1), else_=waits.c.failures + 1),
                "forget_at": forget_at,
            },
        )
        .returning(waits.c.failures)
    )
    return int(tx.connection.execute(statement).scalar_one())


def hold(tx: Tx, key: str, wait: timedelta) -> None:
    """Lets nothing be tried for `wait` from now."""
    tx.connection.execute(sa.update(waits).where(_is(waits, tx, key)).values(until=tx.now + micros(wait)))


def waiting(tx: Tx, key: str) -> int:
    """Microseconds until the wait is over, 0 when there is none."""
    until = tx.connection.execute(sa.select(waits.c.until).where(_is(waits, tx, key))).scalar_one_or_none()
    return max(0, (until or 0) - tx.now)


def clear(tx: Tx, key: str) -> None:
    """Forgets the failures and the wait."""
    tx.connection.execute(sa.delete(waits).where(_is(waits, tx, key)))


def forget(tx: Tx, batch: int = BATCH) -> int:
    """Deletes up to `batch` full buckets and as many forgotten failures; returns how many.

    For a leader job, called again until it returns 0: one long delete would hold SQLite's only writer.
    """
    return _forget(tx, limits, limits.c.tat, batch) + _forget(tx, waits, waits.c.forget_at, batch)


def _forget(tx: Tx, table: sa.Table, end: sa.Column[int], batch: int) -> int:
    over = (table.c.tenant == tx.tenant, end <= tx.now)
    keys = sa.select(table.c.key).where(*over).order_by(end).limit(batch)
    # the time is asked again outside: a row that a racer has just renewed is looked at anew, the list is not
    return tx.connection.execute(sa.delete(table).where(*over, table.c.key.in_(keys))).rowcount


def _is(table: sa.Table, tx: Tx, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(table.c.tenant == tx.tenant, table.c.key == key)


def _insert(tx: Tx, table: sa.Table) -> Any:
    return insert_for(tx.dialect)(table)
