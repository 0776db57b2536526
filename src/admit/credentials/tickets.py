"""Short-lived tickets that work once: mailed links, attempts, codes."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from admit.crypto.opaque import TicketParts, sha256, ticket_format
from admit.ground.clock import micros
from admit.ground.errors import Refused
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.settings import Settings
from admit.stores.sql import tickets as rows
from admit.stores.sql.tickets import TicketRow

__all__ = ["TicketRow", "TicketUsed", "Tickets"]

KEPT = micros(timedelta(days=1))  # how long an expired ticket is still told from one that never was


@dataclass(frozen=True, slots=True)
class TicketUsed(Refused):
    """`ticket.used`, with what the one who took the ticket made of it (16 bytes): a code that comes twice ends that."""

    taken_for: bytes | None = None


class Tickets:
    """Issues tickets and takes them, once. Only a digest of the 256-bit secret inside is stored."""

    def __init__(self, kit: Kit, settings: Settings) -> None:
        self._kit = kit
        self._format = ticket_format(settings.brand)

    def issue(self, tx: Tx, purpose: str, user: bytes | None, data: dict[str, Any], lasts: timedelta) -> str:
        """The text of a new ticket, which exists nowhere else. `data` is JSON and holds no secret: it is stored open.

        `ValueError` when it would be dead at birth.
        """
        if lasts <= timedelta(0) or not purpose:
            raise ValueError("a ticket needs a purpose and a time to live")
        identifier, secret = self._kit.new_id(), self._kit.random(32)
        ends = tx.now + micros(lasts)
        rows.insert(tx, TicketRow(identifier, purpose, sha256(secret), user, data, tx.now, ends, None, None))
        return self._format.issue(TicketParts(tx.tenant, identifier, secret).pack())

    def peek(self, tx: Tx, purpose: str, text: str) -> TicketRow | Refused:
        """The ticket, untaken as it is. Refuses as `take` does; says nothing about who will be first to take it."""
        parts = self._parts(tx, text)
        return parts if isinstance(parts, Refused) else self._look(tx, purpose, parts)

    def take(self, tx: Tx, purpose: str, text: str, taken_for: bytes | None = None) -> TicketRow | Refused:
        """Takes the ticket: of any number of racers exactly one gets the row. `taken_for` names what comes of it.

        Refuses `ticket.malformed`, `ticket.unknown`, `ticket.purpose`, `ticket.used` (a `TicketUsed`) and
        `ticket.expired`. A ticket that is shown for another purpose stays untaken.
        """
        parts = self._parts(tx, text)
        if isinstance(parts, Refused):
            return parts
        taken = rows.take(tx, parts.id, sha256(parts.secret), purpose, taken_for)
        if taken is not None:
            return taken
        why = self._look(tx, purpose, parts)
        # nothing in a ticket goes back, so one that could not be taken cannot be good a moment later
        return why if isinstance(why, Refused) else Refused("ticket.unknown")

    def void_all(self, tx: Tx, purpose: str, user: bytes) -> int:
        """Ends the open tickets of `user` for `purpose`; how many. Call it before `issue`, or the new one ends too."""
        return rows.expire(tx, purpose, user)

    def forget(self, tx: Tx, limit: int = 1000) -> int:
        """Deletes tickets that expired more than a day ago; how many."""
        return rows.forget(tx, tx.now - KEPT, limit)

    def _parts(self, tx: Tx, text: str) -> TicketParts | Refused:
        payload = self._format.parse(text)
        if payload is None:
            return Refused("ticket.malformed")
        parts = TicketParts.unpack(payload)
        return parts if parts.tenant == tx.tenant else Refused("ticket.unknown")

    @staticmethod
    def _look(tx: Tx, purpose: str, parts: TicketParts) -> TicketRow | Refused:
        row = rows.get(tx, parts.id)
        # an id alone (it is in logs) opens nothing, and does not tell how the ticket fares
        if row is None or not hmac.compare_digest(row.digest, sha256(parts.secret)):
            return Refused("ticket.unknown")
        if row.purpose != purpose:
            return Refused("ticket.purpose")
        if row.taken_at is not None:
            return TicketUsed("ticket.used", taken_for=row.taken_for)
        return Refused("ticket.expired") if row.expires_at <= tx.now else row
