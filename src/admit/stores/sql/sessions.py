"""Sessions: rows, their digests, their ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import sessions


class SessionRow(NamedTuple):
    """A session as its owner may see it; no digest. Times in microseconds."""

    id: bytes
    user_id: bytes
    version: int
    methods: str
    created_at: int
    seen_at: int
    expires_at: int
    idle: int
    ended_at: int | None
    address: str | None
    agent: str | None


_COLUMNS = [sessions.c[name] for name in SessionRow._fields]


def insert(tx: Tx, row: SessionRow, digest: bytes) -> None:
    """Stores a new session."""
    tx.connection.execute(sa.insert(sessions).values(tenant=tx.tenant, digest=digest, **row._asdict()))


def replace_digest(tx: Tx, user: bytes, identifier: bytes, digest: bytes, methods: str) -> tuple[int, int, int] | None:
    """Gives a live session a new secret and methods; its new version, end and idle limit, None when it is not alive."""
    row = tx.connection.execute(
        sa.update(sessions)
        .where(_owned(tx, user), sessions.c.id == identifier, sessions.c.ended_at.is_(None))
        .where(sessions.c.expires_at > tx.now)
        .values(digest=digest, methods=methods, version=sessions.c.version + 1, seen_at=tx.now)
        .returning(sessions.c.version, sessions.c.expires_at, sessions.c.idle)
    ).one_or_none()
    return None if row is None else (row.version, row.expires_at, row.idle)


def end(tx: Tx, user: bytes, identifiers: Sequence[bytes] | None, keep: bytes | None) -> list[tuple[bytes, int]]:
    """Ends the named sessions of `user` (None: all) but `keep`; returns id and new version of those it ended."""
    wanted = sa.update(sessions).where(_owned(tx, user), sessions.c.ended_at.is_(None))
    if identifiers is not None:
        wanted = wanted.where(sessions.c.id.in_(identifiers))
    if keep is not None:
        wanted = wanted.where(sessions.c.id != keep)
    ended = wanted.values(ended_at=tx.now, version=sessions.c.version + 1).returning(sessions.c.id, sessions.c.version)
    return [(bytes(row.id), row.version) for row in tx.connection.execute(ended)]


def live(tx: Tx, user: bytes) -> list[SessionRow]:
    """The sessions of `user` that have neither ended nor run out, newest first; those too that were silent too long."""
    rows = tx.connection.execute(
        sa.select(*_COLUMNS)
        .where(_owned(tx, user), sessions.c.ended_at.is_(None), sessions.c.expires_at > tx.now)
        .order_by(sessions.c.id.desc())
    )
    return [_row(row) for row in rows]


def seen(tx: Tx, at: Sequence[tuple[bytes, int]]) -> None:
    """Notes when sessions were last used; never moves back, never revives one that has ended or run out."""
    tx.connection.execute(
        sa.update(sessions)
        .where(sessions.c.tenant == tx.tenant, sessions.c.id == sa.bindparam("session"))
        .where(sessions.c.ended_at.is_(None), sessions.c.seen_at < sa.bindparam("moment"))
        .where(sessions.c.seen_at + sessions.c.idle > sa.bindparam("moment"))
        .values(seen_at=sa.bindparam("moment")),
        [{"session": identifier, "moment": moment} for identifier, moment in sorted(at)],
    )


def forget(tx: Tx, before: int, limit: int = 1000) -> int:
    """Deletes up to `limit` sessions whose absolute end lies before `before`; returns how many."""
    old = sa.select(sessions.c.id).where(sessions.c.tenant == tx.tenant, sessions.c.expires_at < before).limit(limit)
    gone = sa.delete(sessions).where(sessions.c.tenant == tx.tenant, sessions.c.id.in_(old))
    return tx.connection.execute(gone).rowcount


def _owned(tx: Tx, user: bytes) -> sa.ColumnElement[bool]:
    return sa.and_(sessions.c.tenant == tx.tenant, sessions.c.user_id == user)


def _row(row: sa.Row[tuple[object, ...]]) -> SessionRow:
    values = row._asdict()
    return SessionRow(**{**values, "id": bytes(values["id"]), "user_id": bytes(values["user_id"])})
