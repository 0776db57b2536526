"""How far each reader of the inbox has come."""

from __future__ import annotations

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema
from admit.stores.sql.events import Position
from admit.stores.sql.upsert import insert_for

cursors = schema.cursors


def load(tx: Tx, name: str) -> Position:
    """The saved position of a reader; the beginning for a new one."""
    row = tx.connection.execute(sa.select(cursors).where(cursors.c.name == name)).one_or_none()
    if row is None:
        return Position()
    state = row.state or {}
    return Position(state.get("system", ""), state.get("xid", 0), row.position)


def save(tx: Tx, name: str, position: Position) -> None:
    """Saves the position; readers that run twice must be idempotent, since the later one wins."""
    state = {"system": position.system, "xid": position.xid}
    values = {"name": name, "position": position.seq, "state": state}
    insert = insert_for(tx.dialect)
    tx.connection.execute(
        insert(cursors)
        .values(values)
        .on_conflict_do_update(index_elements=["name"], set_={"position": position.seq, "state": state})
    )
