"""Findings of the detectors: one row per detector and key, however often the detector sees it."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema
from admit.stores.sql.upsert import insert_for

findings = schema.findings
SEVERITIES = ("low", "medium", "high")


class FindingRow(NamedTuple):
    """One finding; times are microseconds UTC."""

    id: bytes
    detector: str
    key: str
    severity: str
    title: str
    data: dict[str, Any]
    first_at: int
    last_at: int
    closed_at: int | None


_COLUMNS = [findings.c[name] for name in FindingRow._fields]


def upsert(tx: Tx, row: FindingRow) -> bool:
    """Writes a finding or widens the one of the same detector and key; True when it is new. Closed stays closed."""
    insert = insert_for(tx.dialect)
    values = {"tenant": tx.tenant, **row._asdict(), "closed_at": None}
    made = tx.connection.execute(
        insert(findings).values(values).on_conflict_do_nothing(index_elements=["tenant", "detector", "key"])
    )
    if made.rowcount == 1:
        return True
    _widen(tx, row)
    return False


def _widen(tx: Tx, row: FindingRow) -> None:
    mine = sa.and_(
        findings.c.tenant == tx.tenant, findings.c.detector == row.detector, findings.c.key == row.key
    )  # fmt: skip
    known = FindingRow(*tx.connection.execute(sa.select(*_COLUMNS).where(mine).with_for_update()).one())
    newer = row.last_at >= known.last_at
    values = {
        "severity": max(known.severity, row.severity, key=SEVERITIES.index),
        "title": row.title if newer else known.title,
        "data": row.data if newer else known.data,
        "first_at": min(known.first_at, row.first_at),
        "last_at": max(known.last_at, row.last_at),
    }
    tx.connection.execute(sa.update(findings).where(mine).values(values))


def search(tx: Tx, *, closed: bool | None, detector: str | None, limit: int) -> list[FindingRow]:
    """The findings of the tenant, newest first; `closed` None gives both kinds."""
    wanted = sa.select(*_COLUMNS).where(findings.c.tenant == tx.tenant)
    if closed is not None:
        wanted = wanted.where(findings.c.closed_at.is_not(None) if closed else findings.c.closed_at.is_(None))
    if detector is not None:
        wanted = wanted.where(findings.c.detector == detector)
    ordered = wanted.order_by(findings.c.last_at.desc(), findings.c.id.desc()).limit(limit)
    return [FindingRow(*row) for row in tx.connection.execute(ordered)]


def close(tx: Tx, identifier: bytes) -> bool:
    """Closes an open finding; False when there is none."""
    mine = sa.and_(findings.c.tenant == tx.tenant, findings.c.id == identifier, findings.c.closed_at.is_(None))
    return tx.connection.execute(sa.update(findings).where(mine).values(closed_at=tx.now)).rowcount == 1
