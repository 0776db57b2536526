"""The revocation feed: voids, written in the transaction that changed a row, read by cursor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from admit.ground.errors import Unavailable
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.stores.sql import schema


class VoidRow(NamedTuple):
    """One void: below `version`, what is known of the tie is void."""

    tie: Tie
    version: int


class Poll(NamedTuple):
    """What a poll saw: the horizon from which the next poll reads, the rows, the database's time (microseconds), and
    which database it is: another text after a fence, a failover or a restore.
    """

    horizon: int
    rows: Sequence[VoidRow]
    database_time: int | None
    identity: str


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
    # the wall clock decides only what a beginner need not read: were it to jump between two polls, rows would be lost
    since = tx.now if horizon == 0 else 0
    if tx.dialect == "postgresql":
        return _poll_postgresql(tx, horizon, since)
    rows = tx.connection.execute(_SQLITE, {"horizon": horizon, "since": since}).all()
    voids = [VoidRow(Tie(row.kind, bytes(row.tie_id)), row.version) for row in rows if row.seq is not None]
    following = max((row.seq + 1 for row in rows if row.seq is not None), default=horizon)
    return Poll(following, voids, None, rows[0].identity)


def _poll_postgresql(tx: Tx, horizon: int, since: int) -> Poll:
    rows = tx.connection.execute(_POSTGRESQL, {"horizon": str(horizon), "since": since}).all()
    if rows[0].standby:
        # a standby may not know yet what has been revoked, and cannot say so
        raise Unavailable("database")
    voids = [VoidRow(Tie(row.kind, bytes(row.tie_id)), row.version) for row in rows if row.kind is not None]
    return Poll(rows[0].xmin, voids, rows[0].at, rows[0].identity)


def identity(tx: Tx) -> str | None:
    """The name of this database: random, given by the first migration and by each fence."""
    return tx.connection.execute(sa.select(schema.meta.c.value).where(schema.meta.c.name == "identity")).scalar()


def identify(tx: Tx, name: str) -> None:
    """Gives the database another name: whoever polls it forgets everything that it knew of the one before."""
    tx.connection.execute(sa.update(schema.meta).where(schema.meta.c.name == "identity").values(value=name))


def forget(tx: Tx, limit: int = 1000) -> int:
    """Deletes up to `limit` voids that are past their time; returns how many."""
    old = sa.select(schema.voids.c.seq).where(schema.voids.c.until < tx.now).limit(limit)
    return tx.connection.execute(sa.delete(schema.voids).where(schema.voids.c.seq.in_(old))).rowcount


_SQLITE = sa.text(
    """
    SELECT m.value AS identity, v.seq, v.kind, v.tie_id, v.version
    FROM admit_meta AS m LEFT JOIN admit_voids AS v ON v.seq >= :horizon AND v.until >= :since
    WHERE m.name = 'identity' ORDER BY v.seq
    """
)
# One statement, so that the horizon and the rows come from one snapshot. The identity holds the timeline, which a
# failover changes even when it loses nothing, and the table itself, which a restored dump has anew.
_POSTGRESQL = sa.text(
    """
    SELECT s.xmin, s.at, s.standby, s.identity, v.kind, v.tie_id, v.version
    FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
                 (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS at,
                 pg_is_in_recovery() AS standby,
                 concat_ws(':',
                     (SELECT value FROM admit_meta WHERE name = 'identity'),
                     (SELECT system_identifier FROM pg_control_system()),
                     CASE WHEN pg_is_in_recovery() THEN '' ELSE left(pg_walfile_name(pg_current_wal_lsn()), 8) END,
                     'admit_voids'::regclass::oid) AS identity) AS s
    LEFT JOIN admit_voids AS v ON v.xid >= CAST(CAST(:horizon AS text) AS xid8) AND v.until >= :since
    """
)
