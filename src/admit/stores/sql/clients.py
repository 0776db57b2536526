"""Clients: who may ask for tokens."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import clients


class ClientRow(NamedTuple):
    """A client. Times in microseconds."""

    id: bytes
    client_id: str
    name: str
    first_party: bool
    public: bool
    created_at: int
    disabled_at: int | None


def every(tx: Tx) -> list[ClientRow]:
    """All clients, the oldest first."""
    wanted = sa.select(clients).where(clients.c.tenant == tx.tenant).order_by(clients.c.created_at, clients.c.id)
    return [
        ClientRow(
            bytes(row.id), row.client_id, row.name, bool(row.first_party), bool(row.public), row.created_at,
            row.disabled_at,
        )
        for row in tx.connection.execute(wanted)
    ]  # fmt: skip
