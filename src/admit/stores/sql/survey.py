"""What the doctor reads of the tables: how passwords and keys are stored, what was logged, how far the watch has come.

Only reads, and of secrets only what tells their form.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema

#: rows looked at in one table; a check must not take an hour because there are many accounts
MOST = 100_000


class StoredKey(NamedTuple):
    """A stored secret of an API key (a digest, if all is well) and the texts beside it."""

    id: bytes
    digest: bytes
    hint: str
    name: str


class Behind(NamedTuple):
    """Events that a reader of the log has not seen: how many, and when the oldest happened (microseconds)."""

    events: int
    oldest: int | None


def password_hashes(tx: Tx) -> Iterator[tuple[bytes, str]]:
    """Owner and stored password, newest accounts first."""
    mine = schema.passwords.c.tenant == tx.tenant
    columns = (schema.passwords.c.user_id, schema.passwords.c.hash)
    rows = tx.connection.execute(
        sa.select(*columns).where(mine).order_by(schema.passwords.c.user_id.desc()).limit(MOST)
    )
    for user, stored in rows:
        yield bytes(user), stored


def api_keys(tx: Tx) -> Iterator[StoredKey]:
    """Stored secrets of API keys, newest first."""
    keys, secrets = schema.api_keys, schema.api_key_secrets
    together = sa.and_(secrets.c.tenant == keys.c.tenant, secrets.c.key_id == keys.c.id)
    rows = tx.connection.execute(
        sa.select(keys.c.id, secrets.c.digest, keys.c.hint, keys.c.name)
        .join(secrets, together)
        .where(keys.c.tenant == tx.tenant)
        .order_by(keys.c.id.desc())
        .limit(MOST)
    )
    for identifier, digest, hint, name in rows:
        yield StoredKey(bytes(identifier), bytes(digest), hint, name)


def event_types(tx: Tx, subject: str, since: int) -> set[tuple[str, str]]:
    """Type and outcome of what the log has of a subject since then."""
    events = schema.events
    rows = tx.connection.execute(
        sa.select(events.c.type, events.c.outcome)
        .where(events.c.tenant == tx.tenant, events.c.subject == subject, events.c.at >= since)
        .distinct()
    )
    return {(type_, outcome) for type_, outcome in rows}


def behind(tx: Tx, reader: str) -> Behind:
    """What the reader of the log with that cursor has not seen."""
    events, cursors = schema.events, schema.cursors
    position = sa.select(cursors.c.position).where(cursors.c.name == reader).scalar_subquery()
    row = tx.connection.execute(
        sa.select(sa.func.count(), sa.func.min(events.c.at)).where(events.c.seq > sa.func.coalesce(position, 0))
    ).one()
    return Behind(row[0], row[1])


def holding(tx: Tx, text: str, since: int) -> list[str]:
    """The places (`table.column`) that hold `text` in the open in rows written since then."""
    events, persons, jobs, outbox = schema.events, schema.event_persons, schema.jobs, schema.outbox
    recent = sa.select(events.c.id).where(events.c.tenant == tx.tenant, events.c.at >= since)
    in_person = sa.and_(persons.c.tenant == tx.tenant, persons.c.event_id.in_(recent))
    places: list[tuple[sa.Column[str], sa.ColumnElement[bool]]] = [
        (events.c.data, sa.and_(events.c.tenant == tx.tenant, events.c.at >= since)),
        (persons.c.identifier, in_person),
        (persons.c.agent, in_person),
        (jobs.c.data, sa.and_(jobs.c.tenant == tx.tenant, jobs.c.created_at >= since)),
        (outbox.c.text, sa.and_(outbox.c.tenant == tx.tenant, outbox.c.at >= since)),
    ]
    return [
        f"{column.table.name}.{column.name}"
        for column, where in places
        if tx.connection.execute(
            sa.select(sa.exists().where(where, sa.cast(column, sa.Text).contains(text, autoescape=True)))
        ).scalar()
    ]
