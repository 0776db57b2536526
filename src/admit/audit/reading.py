"""Reading the log: a page of it, what is new since a cursor, and one event as JSON or as a line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from admit.audit.vocabulary import vocabulary
from admit.ground.events import EVENTS
from admit.ground.ids import show
from admit.ground.logs import stamp
from admit.ground.work import Tx, Work
from admit.stores.sql import events
from admit.stores.sql.events import EventRow, Position


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events; None stands for any. `types` are event types, or classes with a dot at the end (`login.`). `since`
    and `until` are microseconds UTC, `until` exclusive; identifiers are public forms.
    """

    types: tuple[str, ...] = ()
    outcome: str | None = None
    reason: str | None = None
    actor: str | None = None
    subject: str | None = None
    credential: str | None = None
    client: str | None = None
    session: str | None = None
    request_id: str | None = None
    address: str | None = None
    identifier: str | None = None
    since: int | None = None
    until: int | None = None

    def columns(self) -> dict[str, Any]:
        """The columns to compare."""
        names = (
            "outcome", "reason", "actor", "subject", "credential", "client", "session", "request_id", "address",
            "identifier",
        )  # fmt: skip
        wanted: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.types:
            wanted["type"] = [name for name in EVENTS if name.startswith(self._classes()) or name in self.types]
        return wanted

    def matches(self, row: EventRow) -> bool:
        """The same question asked of one event."""
        for name, value in self.columns().items():
            own = getattr(row, name)
            if own not in value if isinstance(value, list) else own != value:
                return False
        return (self.since is None or row.at >= self.since) and (self.until is None or row.at < self.until)

    def _classes(self) -> tuple[str, ...]:
        return tuple(name for name in self.types if name.endswith("."))


class EventPage(NamedTuple):
    """Events, newest first, and the cursor of the page after them (None: that was all)."""

    events: list[EventRow]
    after: str | None


class News(NamedTuple):
    """Events in commit order since a cursor, and the next cursor."""

    events: list[EventRow]
    cursor: str


async def list_events(work: Work, where: Filter | None = None, after: str | None = None, limit: int = 50) -> EventPage:
    """One page of the log, newest first. `after` is the cursor of the page before; `ValueError` for any other text."""
    wanted = where or Filter()
    before = None if after is None else _number(after)
    span = (wanted.since, wanted.until)
    rows = await work.read(lambda tx: events.search(tx, wanted.columns(), span, before, limit + 1))
    page = rows[:limit]
    return EventPage(page, str(page[-1].seq) if len(rows) > limit else None)


async def follow(work: Work, cursor: str | None = None, where: Filter | None = None, limit: int = 500) -> News:
    """What was committed since the cursor: nothing is missed and nothing comes twice. Without a cursor: no events, and
    the cursor of now. On PostgreSQL an event appears once no older transaction is open any more.
    """

    def body(tx: Tx) -> News:
        if cursor is None:
            return News([], write_cursor(events.end(tx)))
        page = events.page(tx, read_cursor(cursor), limit)
        mine = [row for row in page.rows if row.tenant == tx.tenant and (where is None or where.matches(row))]
        return News(mine, write_cursor(page.position))

    return await work.read(body)


def write_cursor(position: Position) -> str:
    """A position as a text for people to hand back."""
    return f"{position.seq}.{position.xid}.{position.system}"


def read_cursor(text: str) -> Position:
    """The position behind such a text; `ValueError` when it is not one."""
    seq, _, rest = text.partition(".")
    xid, _, system = rest.partition(".")
    if system and not (system.isascii() and system.isdigit()):
        raise ValueError("not a cursor")
    return Position(system, _number(xid), _number(seq))


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise ValueError("not a cursor")
    return int(text)


# -- one event -----------------------------------------------------------------------------------------------------


def time(at: int) -> str:
    """RFC 3339 with milliseconds: as fine as the time within the identifier, so both sort alike."""
    return stamp(at // 1000 * 1000)[:-4] + "Z"


def event_json(row: EventRow) -> dict[str, Any]:
    """An event for programs: when, who, from where, what, with which result (ASVS 16.2.1)."""
    shown: Mapping[str, Any] = {
        "id": show("evt", row.id), "time": time(row.at), "type": row.type, "version": row.version,
        "class": EVENTS[row.type][0] if row.type in EVENTS else "unknown", "owasp": vocabulary(row.type, row.reason),
        "outcome": row.outcome, "reason": row.reason, "actor": row.actor, "subject": row.subject,
        "credential": row.credential, "client": row.client, "session": row.session, "address": row.address,
        "agent": row.agent, "identifier": row.identifier, "request_id": row.request_id, "count": row.count,
        "data": row.data,
    }  # fmt: skip
    return dict(shown)


def event_line(row: EventRow) -> str:
    """An event for people, on one line that its content cannot break or colour."""
    parts = [time(row.at), row.type, row.outcome]
    for name, value in (
        ("reason", row.reason), ("subject", row.subject), ("identifier", row.identifier), ("address", row.address),
        ("credential", row.credential), ("request", row.request_id),
    ):  # fmt: skip
        if value:
            parts.append(f"{name}={_plain(value)}")
    if row.count > 1:
        parts.append(f"x{row.count}")
    return "  ".join(parts)


def _plain(text: str) -> str:
    # a login name may hold line ends, terminal escapes and marks that turn the writing direction
    return text if text.isprintable() and " " not in text else json.dumps(text)
