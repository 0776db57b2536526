"""The inbox of events, in the order of their commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

import sqlalchemy as sa

from admit.ground.events import Event
from admit.ground.ids import new_id
from admit.ground.work import Tx
from admit.stores.sql import schema


def insert(tx: Tx, events: Iterable[Event], random: Callable[[int], bytes]) -> None:
    """Writes events; personal data goes to the side table, the log keeps only its salted digest."""
    rows: list[dict[str, Any]] = []
    persons: list[dict[str, Any]] = []
    for event in events:
        row, person = _split(tx, event, random)
        rows.append(row)
        if person:
            persons.append(person)
    if rows:
        tx.connection.execute(sa.insert(schema.events), rows)
    if persons:
        tx.connection.execute(sa.insert(schema.event_persons), persons)


def _split(tx: Tx, event: Event, random: Callable[[int], bytes]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    identifier = new_id(tx.now, random)
    row: dict[str, Any] = {
        "id": identifier, "tenant": tx.tenant, "at": tx.now, "type": event.type, "version": event.version,
        "outcome": event.outcome, "reason": event.reason, "actor": event.actor, "subject": event.subject,
        "credential": event.credential, "client": event.client, "session": event.session,
        "request_id": event.request_id, "count": event.count, "data": dict(event.data), "personal": None,
    }  # fmt: skip
    personal = {"address": event.address, "agent": event.agent, "identifier": event.identifier}
    if not any(personal.values()):
        return row, None
    salt = random(16)
    row["personal"] = personal_digest(salt, personal)
    return row, {
        "tenant": tx.tenant, "event_id": identifier, "salt": salt, "subject": event.subject, **personal
    }  # fmt: skip


def personal_digest(salt: bytes, personal: dict[str, str | None]) -> bytes:
    """SHA-256 over the salt and the personal data: what remains in the log after an erasure, and proves nothing."""
    return hashlib.sha256(salt + json.dumps(personal, sort_keys=True).encode()).digest()
