"""Mails of a service without a mail server: kept instead of sent, so that the demo can show them."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema

outbox = schema.outbox


@dataclass(frozen=True, slots=True)
class Kept:
    """One mail. `at` is microseconds UTC. The text may hold a link that opens an account, so repr leaves it out."""

    seq: int
    at: int
    recipient: str = field(repr=False)
    subject: str
    text: str = field(repr=False)


def insert(tx: Tx, recipient: str, subject: str, text: str) -> None:
    """Keeps one mail, dated with the transaction."""
    row = {"tenant": tx.tenant, "at": tx.now, "recipient": recipient, "subject": subject, "text": text}
    tx.connection.execute(sa.insert(outbox), row)


def list_outbox(tx: Tx, *, recipient: str | None = None, limit: int = 50) -> list[Kept]:
    """The newest mails first, at most `limit`; only those to `recipient` when one is given."""
    columns = (outbox.c.seq, outbox.c.at, outbox.c.recipient, outbox.c.subject, outbox.c.text)
    query = sa.select(*columns).where(outbox.c.tenant == tx.tenant).order_by(outbox.c.seq.desc()).limit(limit)
    if recipient is not None:
        query = query.where(outbox.c.recipient == recipient)
    return [Kept(*row) for row in tx.connection.execute(query)]


def forget(tx: Tx, before: int) -> int:
    """Deletes mails older than `before` (microseconds); returns how many."""
    old = sa.and_(outbox.c.tenant == tx.tenant, outbox.c.at < before)
    return tx.connection.execute(sa.delete(outbox).where(old)).rowcount
