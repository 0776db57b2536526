"""The revocation feed: voids, written in the transaction that changed a row, read by cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.stores.sql import schema


class VoidRow(NamedTuple):
    """One void: below `version`, what is known of the tie is void."""

    tie: Tie
    version: int


class Poll(NamedTuple):
    """What a poll saw: the horizon from which the next poll reads, the rows, and the database's time (microseconds)."""

    horizon: int
    rows: Sequence[VoidRow]
    database_time: int | None


def insert(tx: Tx, voids: Iterable[tuple[Tie, int]], until: int) -> None:
    """Writes the voids of this transaction; `until` (microseconds) is when nobody can hold older facts any more."""
    rows = [
        {"tenant": tx.tenant, "kind": tie.kind, "tie_id": tie.id, "version": version, "until": until}
        for tie, version in voids
    ]
    if rows:
        tx.connection.execute(sa.insert(schema.voids), rows)


def poll(tx: Tx, horizon: int) -> Poll:
    """All voids that may have become visible since `horizon` (0: all live ones), and the next horizon.

    PostgreSQL: commits become visible out of order, so a sequence number would miss rows; every row whose transaction
    id is not below the oldest running one at the poll before is read again. SQLite: rows are in commit order.
    """
    if tx.dialect == "postgresql":
        return _poll_postgresql(tx, horizon)
    rows = tx.connection.execute(_SQLITE, {"horizon": horizon, "now": tx.now}).all()
    last = max((row.seq for row in rows), default=horizon)
    return Poll(last, [VoidRow(Tie(row.kind, bytes(row.tie_id)), row.version) for row in rows], None)


def _poll_postgresql(tx: Tx, horizon: int) -> Poll:
    rows = tx.connection.execute(_POSTGRESQL, {"horizon": str(horizon), "now": tx.now}).all()
    voids = [VoidRow(Tie(row.kind, bytes(row.tie_id)), row.version) for row in rows if row.kind is not None]
    return Poll(rows[0].xmin, voids, rows[0].at)


def identity(tx: Tx) -> str | None:
    """Which database this is: a random name given by the first migration."""
    return tx.connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "identity")).scalar()


def forget(tx: Tx, limit: int = 1000) -> int:
    """Deletes up to `limit` voids that are past their time; returns how many."""
    old = sa.select(schema.voids.c.seq).where(schema.voids.c.until < tx.now).limit(limit)
    return tx.connection.execute(sa.delete(schema.voids).where(schema.voids.c.seq.in_(old))).rowcount


_SQLITE = sa.text(
    "SELECT seq, kind, tie_id, version FROM admit_voids WHERE seq > :horizon AND until >= :now ORDER BY seq"
)
# one statement, so that the horizon and the rows come from one snapshot
_POSTGRESQL = sa.text(
    """
    SELECT s.xmin, s.at, v.kind, v.tie_id, v.version
    FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
                 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at) AS s
    LEFT JOIN admit_voids AS v ON v.xid >= CAST(CAST(:horizon AS text) AS xid8) AND v.until >= :now
    """
)
