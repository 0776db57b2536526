"""Leases of the leader jobs: at most one holder at a time, and a fence that rises with every change of holder."""

from __future__ import annotations

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema
from admit.stores.sql.upsert import insert_for

leases = schema.leases


def acquire(tx: Tx, name: str, holder: str, until: int) -> int | None:
    """Takes the lease or prolongs one's own until `until` (microseconds); the fence, or None while another holds it.

    One statement, so two processes that find it free at the same moment cannot both get it.
    """
    insert = insert_for(tx.dialect)
    new = insert(leases).values(name=name, holder=holder, until=until, fence=1)
    kept = sa.and_(leases.c.holder == holder, leases.c.until >= tx.now)
    taken = new.on_conflict_do_update(
        index_elements=["name"],
        set_={
            "holder": holder,
            "until": until,
            "fence": sa.case((kept, leases.c.fence), else_=leases.c.fence + 1),
        },
        where=sa.or_(leases.c.holder == holder, leases.c.until < tx.now),
    ).returning(leases.c.fence)
    return tx.connection.execute(taken).scalar_one_or_none()


def free(tx: Tx, name: str, holder: str) -> bool:
    """Whether it is worth asking for the lease: nobody else holds it. Only `acquire` decides."""
    wanted = sa.select(leases.c.holder, leases.c.until).where(leases.c.name == name)
    row = tx.connection.execute(wanted).one_or_none()
    return row is None or row.holder == holder or row.until < tx.now


def holds(tx: Tx, name: str, fence: int) -> bool:
    """Whether that fence is still the newest; locks the lease until the commit, so that it stays so.

    A leader that was paused past its lease would otherwise write beside its successor.
    """
    wanted = sa.select(leases.c.fence).where(leases.c.name == name).with_for_update(read=True)
    return tx.connection.execute(wanted).scalar_one_or_none() == fence


def resign(tx: Tx, name: str, fence: int) -> None:
    """Gives the lease back, so that a successor need not wait for its end."""
    mine = sa.and_(leases.c.name == name, leases.c.fence == fence)
    tx.connection.execute(sa.update(leases).where(mine).values(until=tx.now - 1))
