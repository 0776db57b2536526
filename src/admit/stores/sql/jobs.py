"""The queue of jobs: written in the transaction that wants them, leased by workers, done once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
        {
            "tenant": tx.tenant,
            "kind": job.kind,
            "data": job.data,
            "created_at": tx.now,
            "due": job.due or tx.now,
        }
        for job in wanted
    ]
    if rows:
        tx.connection.execute(sa.insert(jobs), rows)


def lease(tx: Tx, until: int, limit: int, kinds: Sequence[str]) -> list[Leased]:
    """Takes up to `limit` due jobs of these kinds for this process until `until`; nobody else gets them before that."""
    due = (
        sa.select(jobs.c.seq)
        .where(jobs.c.done_at.is_(None), jobs.c.due <= tx.now, jobs.c.kind.in_(kinds))
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


def done(tx: Tx, job: Leased) -> bool:
    """Marks a job as done for good; False when its lease ran out meanwhile and another process has it."""
    return _settle(tx, job, done_at=tx.now, error=None)


def retry(tx: Tx, job: Leased, due: int, error: str) -> bool:
    """Puts a job back until `due` (microseconds), with the last error for the operator."""
    return _settle(tx, job, due=due, leased_until=None, error=error[:500])


def abandon(tx: Tx, job: Leased, error: str) -> bool:
    """Gives a job up: it counts as done and keeps its last error."""
    return _settle(tx, job, done_at=tx.now, error=error[:500])


def _settle(tx: Tx, job: Leased, **values: Any) -> bool:
    # the number of attempts is the fence: a process that was paused past its lease must not free the job of the next
    mine = sa.and_(jobs.c.seq == job.seq, jobs.c.attempts == job.attempts, jobs.c.done_at.is_(None))
    return tx.connection.execute(sa.update(jobs).where(mine).values(**values)).rowcount == 1


def release(tx: Tx, job: Leased) -> None:
    """Gives a leased job back untried, when this process stops."""
    _settle(tx, job, leased_until=None, attempts=jobs.c.attempts - 1)


def waiting(tx: Tx) -> int:
    """How many jobs are not done."""
    wanted = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.done_at.is_(None))
    return int(tx.connection.execute(wanted).scalar_one())


def forget(tx: Tx, before: int, limit: int = 1000) -> int:
    """Deletes up to `limit` jobs that were done before `before` (microseconds); returns how many."""
    old = sa.select(jobs.c.seq).where(jobs.c.done_at < before).limit(limit)
    return tx.connection.execute(sa.delete(jobs).where(jobs.c.seq.in_(old))).rowcount
