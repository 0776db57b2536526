"""The inbox of events, in the order of their commit."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.events import Event
from admit.ground.ids import new_id
from admit.ground.work import Tx
from admit.stores.sql import schema

events = schema.events
persons = schema.event_persons

#: characters that one text of an event may have; a user agent of a megabyte is cut, not stored
LONGEST = 1000
# PostgreSQL's text holds neither NUL nor lone surrogates: one such login name would fail the whole batch
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class Position(NamedTuple):
    """How far a reader of the inbox has come. `system` is the PostgreSQL cluster whose transactions `xid` counts."""

    system: str = ""
    xid: int = 0
    seq: int = 0


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event as stored; `salt`, `address`, `agent`, `identifier` are None once they are erased."""

    seq: int
    xid: int
    id: bytes
    tenant: int
    at: int
    type: str
    version: int
    outcome: str
    reason: str | None
    actor: str | None
    subject: str | None
    credential: str | None
    client: str | None
    session: str | None
    request_id: str | None
    count: int
    data: dict[str, Any]
    personal: bytes | None
    salt: bytes | None
    address: str | None
    agent: str | None
    identifier: str | None


class Page(NamedTuple):
    """Events in commit order and the position after them."""

    rows: list[EventRow]
    position: Position


def insert(tx: Tx, happened: Iterable[Event], random: Callable[[int], bytes]) -> None:
    """Writes events; personal data goes to the side table, the log keeps only its salted digest."""
    rows: list[dict[str, Any]] = []
    personal: list[dict[str, Any]] = []
    for event in happened:
        row, person = _split(tx, event, random)
        rows.append(row)
        if person:
            personal.append(person)
    if rows:
        tx.connection.execute(sa.insert(events), rows)
    if personal:
        tx.connection.execute(sa.insert(persons), personal)


def _split(tx: Tx, event: Event, random: Callable[[int], bytes]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    at = event.at or tx.now
    identifier = new_id(at, random)
    row: dict[str, Any] = {
        "id": identifier, "tenant": tx.tenant, "at": at, "type": event.type, "version": event.version,
        "outcome": event.outcome, "reason": event.reason, "actor": _text(event.actor),
        "subject": _text(event.subject), "credential": _text(event.credential), "client": _text(event.client),
        "session": _text(event.session), "request_id": _text(event.request_id), "count": event.count,
        "data": storable(event.data), "personal": None,
    }  # fmt: skip
    personal = {
        "address": _text(event.address), "agent": _text(event.agent), "identifier": _text(event.identifier)
    }  # fmt: skip
    if not any(personal.values()):
        return row, None
    salt = random(16)
    row["personal"] = personal_digest(salt, personal)
    return row, {
        "tenant": tx.tenant, "event_id": identifier, "salt": salt, "subject": row["subject"], **personal
    }  # fmt: skip


def _text(value: str | None) -> str | None:
    return None if value is None else _UNSTORABLE.sub("\ufffd", value[:LONGEST])


def storable(value: Any) -> Any:
    """`value` as JSON that every store takes: texts cut and cleaned, bytes as hex, anything unknown as its text."""
    if isinstance(value, Mapping):
        return {_text(str(name)): storable(member) for name, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        members = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [storable(member) for member in members]
    if isinstance(value, bytes):
        return value.hex()
    if value is None or isinstance(value, bool | int):
        return value
    # NaN and infinities are no JSON
    if isinstance(value, float) and abs(value) < float("inf"):
        return value
    return _text(str(value))


def personal_digest(salt: bytes, personal: dict[str, str | None]) -> bytes:
    """SHA-256 over the salt and the personal data: what remains in the log after an erasure, and proves nothing."""
    return hashlib.sha256(salt + json.dumps(personal, sort_keys=True).encode()).digest()


# -- reading by position -------------------------------------------------------------------------------------------


def page(tx: Tx, after: Position, limit: int) -> Page:
    """Up to `limit` events after a position, of every tenant: complete and in commit order.

    PostgreSQL: only transactions below the oldest running one are read, since nothing can appear among them any more;
    a sequence number alone would skip whatever commits late. SQLite: rows are in commit order. In another PostgreSQL
    cluster (a restored dump) transaction ids mean nothing: reading begins anew, and readers must be idempotent.
    """
    system, horizon = _horizon(tx)
    if after.system != system:
        after = Position(system)
    wanted = _select(tx).where(_after(tx, after)).order_by(events.c.xid, events.c.seq).limit(limit)
    if horizon is not None:
        wanted = wanted.where(events.c.xid < _xid(horizon))
    rows = _rows(tx, wanted)
    return Page(rows, Position(system, rows[-1].xid, rows[-1].seq) if rows else after)


def end(tx: Tx) -> Position:
    """The position after everything that `page` could give now."""
    system, horizon = _horizon(tx)
    if horizon is not None:
        return Position(system, horizon - 1, 2**62)
    last: int | None = tx.connection.execute(sa.select(sa.func.max(events.c.seq))).scalar()
    return Position(system, 0, last or 0)


def _horizon(tx: Tx) -> tuple[str, int | None]:
    if tx.dialect != "postgresql":
        return "", None
    row = tx.connection.execute(_HORIZON).one()
    return row.system, row.xmin


def _after(tx: Tx, position: Position) -> sa.ColumnElement[bool]:
    if tx.dialect != "postgresql":
        return events.c.seq > position.seq
    xid = _xid(position.xid)
    return sa.and_(events.c.xid >= xid, sa.or_(events.c.xid > xid, events.c.seq > position.seq))


def up_to(tx: Tx, position: Position) -> sa.ColumnElement[bool]:
    """The condition "not after that position"."""
    return sa.not_(_after(tx, position))


def _xid(value: int) -> sa.ColumnElement[Any]:
    # through text: there is no cast from an integer to xid8
    return sa.cast(sa.cast(sa.literal(str(value)), sa.Text), events.c.xid.type)


def _select(tx: Tx) -> sa.Select[Any]:
    xid: sa.ColumnElement[Any] = events.c.xid
    if tx.dialect == "postgresql":
        xid = sa.cast(sa.cast(events.c.xid, sa.Text), sa.BigInteger)
    names = [field.name for field in fields(EventRow)]
    own = [events.c[name] for name in names[2:-4]]
    side = [persons.c[name] for name in names[-4:]]
    joined = sa.outerjoin(
        events, persons, sa.and_(persons.c.tenant == events.c.tenant, persons.c.event_id == events.c.id)
    )
    return sa.select(events.c.seq, xid.label("xid_number"), *own, *side).select_from(joined)


def _rows(tx: Tx, wanted: sa.Select[Any]) -> list[EventRow]:
    return [EventRow(*row) for row in tx.connection.execute(wanted)]


# one statement, so that nothing can begin between the two
_HORIZON = sa.text(
    """
    SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS xmin,
           (SELECT system_identifier::text FROM pg_control_system()) AS system
    """
)


# -- reading by question -------------------------------------------------------------------------------------------


def by_seq(tx: Tx, wanted: Sequence[int]) -> dict[int, EventRow]:
    """The events with these row numbers, of every tenant."""
    return {row.seq: row for row in _rows(tx, _select(tx).where(events.c.seq.in_(wanted)))}


def of_request(tx: Tx, request_id: str, limit: int = 100) -> list[EventRow]:
    """What happened within one request, oldest first."""
    mine = sa.and_(events.c.tenant == tx.tenant, events.c.request_id == request_id)
    return _rows(tx, _select(tx).where(mine).order_by(events.c.seq).limit(limit))


def between(
    tx: Tx,
    types: Iterable[str],
    span: tuple[int, int],
    after: tuple[int, int],
    limit: int,
    until: Position | None = None,
) -> list[EventRow]:
    """Events of the given types with `span[0]` <= at < `span[1]` (microseconds), by (at, seq) after the pair `after`;
    `until` leaves out what stands behind that position.
    """
    at, seq = after
    wanted = _select(tx).where(
        events.c.tenant == tx.tenant,
        events.c.type.in_(list(types)),
        events.c.at >= max(span[0], at),
        events.c.at < span[1],
        sa.or_(events.c.at > at, events.c.seq > seq),
    )
    if until is not None:
        wanted = wanted.where(up_to(tx, until))
    return _rows(tx, wanted.order_by(events.c.at, events.c.seq).limit(limit))


def search(
    tx: Tx, where: Mapping[str, Any], span: tuple[int | None, int | None], before: int | None, limit: int
) -> list[EventRow]:
    """The newest events that match every given column (a list matches any of its members), by falling row number below
    `before`. Columns are those of `EventRow`; `span` bounds `at`.
    """
    wanted = _select(tx).where(events.c.tenant == tx.tenant)
    for name, value in where.items():
        column = persons.c[name] if name in ("address", "identifier") else events.c[name]
        wanted = wanted.where(column.in_(list(value)) if isinstance(value, list | tuple) else column == value)
    since, until = span
    if since is not None:
        wanted = wanted.where(events.c.at >= since)
    if until is not None:
        wanted = wanted.where(events.c.at < until)
    if before is not None:
        wanted = wanted.where(events.c.seq < before)
    return _rows(tx, wanted.order_by(events.c.seq.desc()).limit(limit))
