"""What only an operator asks, who has the identifier of a thing and not of its owner: whose is it, and who has any."""

from __future__ import annotations

from typing import Literal

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import api_keys, grants, sessions

Owned = Literal["session", "grant", "api_key"]
_TABLES: dict[Owned, tuple[sa.Table, str]] = {
    "session": (sessions, "ended_at"),
    "grant": (grants, "ended_at"),
    "api_key": (api_keys, "revoked_at"),
}


def owner(tx: Tx, kind: Owned, identifier: bytes) -> bytes | None:
    """The account that this session, grant or API key belongs to, ended or not; None when there is no such thing."""
    table, _ = _TABLES[kind]
    wanted = sa.select(table.c.user_id).where(table.c.tenant == tx.tenant, table.c.id == identifier)
    found = tx.connection.execute(wanted).scalar_one_or_none()
    return None if found is None else bytes(found)


def holders(tx: Tx, kind: Owned, limit: int) -> list[bytes]:
    """The accounts that have a thing of this kind which nobody has ended, newest accounts first."""
    table, ended = _TABLES[kind]
    wanted = (
        sa.select(table.c.user_id)
        .where(table.c.tenant == tx.tenant, table.c[ended].is_(None))
        .distinct()
        .order_by(table.c.user_id.desc())
        .limit(limit)
    )
    return [bytes(user) for user in tx.connection.execute(wanted).scalars()]
