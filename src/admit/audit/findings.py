"""Findings: what the detectors saw, once per pattern, until someone closes it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from admit.ground.events import Event
from admit.ground.ids import new_id, show
from admit.ground.kit import Kit
from admit.ground.logs import logger, stamp
from admit.ground.work import Tx, Work
from admit.stores.sql import findings
from admit.stores.sql.findings import FindingRow

log = logger("admit.audit")
Severity = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What a detector says of one pattern. `key` names the pattern, the same each time it is seen: one finding comes
    of all suspicions with the same detector and key. Times are microseconds UTC. `data` holds counts and public
    identifiers, never the names that people typed: erasing a person must not have to look here.
    """

    detector: str
    key: str
    severity: Severity
    title: str
    first_at: int
    last_at: int
    data: dict[str, Any] = field(default_factory=dict)


def record(tx: Tx, kit: Kit, suspicions: Iterable[Suspicion]) -> list[Suspicion]:
    """Writes findings within a unit of work and returns those that are new; each of them emits `finding.opened` once.

    The same suspicion twice changes nothing, so detectors may run again over what they have seen.
    """
    opened = []
    for one in suspicions:
        row = FindingRow(
            new_id(tx.now, kit.random), one.detector, one.key, one.severity, one.title, one.data, one.first_at,
            one.last_at, None,
        )  # fmt: skip
        if findings.upsert(tx, row):
            opened.append(one)
            data = {"finding": show("fnd", row.id), "detector": one.detector, "severity": one.severity}
            tx.emit(Event("finding.opened", "failure", data={**data, "title": one.title}))
    return opened


async def list_findings(
    work: Work, *, closed: bool | None = False, detector: str | None = None, limit: int = 100
) -> list[FindingRow]:
    """Findings, newest first: the open ones, the closed ones, or (None) both."""
    return await work.read(lambda tx: findings.search(tx, closed=closed, detector=detector, limit=limit))


async def close_finding(work: Work, identifier: bytes) -> bool:
    """Closes a finding; False when no open one has this identifier (16 bytes)."""
    return await work.write(lambda tx: findings.close(tx, identifier))


def finding_json(row: FindingRow) -> dict[str, Any]:
    """A finding for programs."""
    return {
        "id": show("fnd", row.id), "detector": row.detector, "key": row.key, "severity": row.severity,
        "title": row.title, "first_seen": stamp(row.first_at), "last_seen": stamp(row.last_at),
        "closed_at": None if row.closed_at is None else stamp(row.closed_at), "data": row.data,
    }  # fmt: skip
