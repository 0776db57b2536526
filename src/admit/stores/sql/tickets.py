"""Single-use tickets. Being taken is one conditional statement: of any number of racers one gets the row."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema

tickets = schema.tickets
users = schema.users


class TicketRow(NamedTuple):
    """A ticket. Times are microseconds; `taken_for` is what the one who took it made of it (16 bytes)."""

    id: bytes
    purpose: str
    digest: bytes
    user_id: bytes | None
    data: dict[str, Any]
    created_at: int
    expires_at: int
    taken_at: int | None
    taken_for: bytes | None


_COLUMNS = tuple(tickets.c[name] for name in TicketRow._fields)


def insert(tx: Tx, row: TicketRow) -> None:
    """A new ticket."""
    tx.connection.execute(sa.insert(tickets).values(tenant=tx.tenant, **row._asdict()))


def get(tx: Tx, ticket: bytes) -> TicketRow | None:
    """The ticket with this id, whatever its state."""
    row = tx.connection.execute(sa.select(*_COLUMNS).where(_is(tx, ticket))).one_or_none()
    return None if row is None else TicketRow(*row)


def take(tx: Tx, ticket: bytes, digest: bytes, purpose: str, taken_for: bytes | None) -> TicketRow | None:
    """Takes a ticket that is untaken, in time and for this purpose; None, with nothing changed, when it is not."""
    statement = (
        sa.update(tickets)
        .where(_is(tx, ticket), tickets.c.digest == digest, tickets.c.purpose == purpose)
        .where(tickets.c.taken_at.is_(None), tickets.c.expires_at > tx.now)
        .values(taken_at=tx.now, taken_for=taken_for)
        .returning(*_COLUMNS)
    )
    row = tx.connection.execute(statement).one_or_none()
    return None if row is None else TicketRow(*row)


def expire(tx: Tx, purpose: str, user: bytes) -> int:
    """Ends all open tickets of this person for this purpose now; how many there were.

    Holds the person's row until the commit: two links asked for at once would else spare each other.
    """
    held = sa.select(users.c.id).where(users.c.tenant == tx.tenant, users.c.id == user)
    tx.connection.execute(held.with_for_update(key_share=True))
    statement = (
        sa.update(tickets)
        .where(tickets.c.tenant == tx.tenant, tickets.c.user_id == user, tickets.c.purpose == purpose)
        .where(tickets.c.taken_at.is_(None), tickets.c.expires_at > tx.now)
        .values(expires_at=tx.now)
    )
    return tx.connection.execute(statement).rowcount


def forget(tx: Tx, before: int, limit: int) -> int:
    """Deletes up to `limit` tickets that expired before `before` (microseconds); how many."""
    old = sa.select(tickets.c.id).where(tickets.c.tenant == tx.tenant, tickets.c.expires_at < before).limit(limit)
    return tx.connection.execute(
        sa.delete(tickets).where(tickets.c.tenant == tx.tenant, tickets.c.id.in_(old))
    ).rowcount


def _is(tx: Tx, ticket: bytes) -> sa.ColumnElement[bool]:
    return sa.and_(tickets.c.tenant == tx.tenant, tickets.c.id == ticket)
