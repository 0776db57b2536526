"""The queue of jobs: written in the transaction that wants them, leased by workers, done once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Job, Tx
from admit.stores.sql import schema

jobs = schema.jobs


class Leased(NamedTuple):
    """A job this process may run until its lease ends."""

    seq: int
    kind: str
    data: dict[str, Any]
    attempts: int


def insert(tx: Tx, wanted: Iterable[Job]) -> None:
    """Queues jobs; they become visible with the commit."""
    rows = [
        {"tenant": tx.tenant, "kind": job.kind, "data": job.data, "created_at": tx.now, "due": job.due or tx.now}
        for job in wanted
    ]
    if rows:
        tx.connection.execute(sa.insert(jobs), rows)


def lease(tx: Tx, until: int, limit: int) -> list[Leased]:
    """Takes up to `limit` due jobs for this process until `until`; nobody else gets them before that."""
    due = (
        sa.select(jobs.c.seq)
        .where(jobs.c.done_at.is_(None), jobs.c.due <= tx.now)
        .where(sa.or_(jobs.c.leased_until.is_(None), jobs.c.leased_until < tx.now))
        .order_by(jobs.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    taken = (
        sa.update(jobs)
        .where(jobs.c.seq.in_(due))
        .values(leased_until=until, attempts=jobs.c.attempts + 1)
        .returning(jobs.c.seq, jobs.c.kind, jobs.c.data, jobs.c.attempts)
    )
    return sorted(Leased(*row) for row in tx.connection.execute(taken))


def done(tx: Tx, seq: int) -> None:
    """Marks a job as done for good."""
    tx.connection.execute(sa.update(jobs).where(jobs.c.seq == seq).values(done_at=tx.now, error=None))


def retry(tx: Tx, seq: int, due: int, error: str) -> None:
    """Puts a job back until `due` (microseconds), with the last error for the operator."""
    tx.connection.execute(
        sa.update(jobs).where(jobs.c.seq == seq).values(due=due, leased_until=None, error=error[:500])
    )


def forget(tx: Tx, before: int) -> int:
    """Deletes jobs that were done before `before` (microseconds); returns how many."""
    return tx.connection.execute(sa.delete(jobs).where(jobs.c.done_at < before)).rowcount
