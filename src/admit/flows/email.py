"""Proving that an address is one's own, and taking another one."""

from __future__ import annotations

from dataclasses import dataclass

from admit.credentials.tickets import TicketRow, Tickets
from admit.flows.gate import Gate
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.work import Job, Tx
from admit.people import identifiers
from admit.people.identifiers import Identifier
from admit.settings import Settings
from admit.stores.sql import accounts as rows

VERIFY = "verify"
RESET = "reset"


@dataclass(frozen=True, slots=True)
class Email:
    """The address of an account: proved by a mailed link, in use from then on."""

    kit: Kit
    settings: Settings
    gate: Gate
    tickets: Tickets

    async def verify(self, ticket: str, via: Via) -> None:
        """Marks the address of the link as proved, and puts it in place of the old one if that was asked for.

        Refuses `ticket_invalid`, `ticket_expired`, and `conflict` when another account took the new address meanwhile.
        Signs nobody in.
        """
        refused = await self.kit.work.write(lambda tx: self._verify(tx, ticket, via))
        if refused is not None:
            raise refused.refusal()

    async def resend(self, typed: str, via: Via) -> None:
        """Has the link mailed again, if the address belongs to an account and is not proved; the answer never says."""
        await self.gate.mail("verify", via.address, typed, "email.limited")
        name = identifiers.email(typed)

        def body(tx: Tx) -> None:
            user = rows.owner_of(tx, name.kind, name.value) if name else None
            tx.enqueue(Job("mail", {"template": "verify", "user": show("usr", user) if user else None}))

        await self.kit.work.write(body)

    async def change(self, user: bytes, typed: str, via: Via) -> None:
        """Has a link mailed to another address, which becomes the account's once the link is opened.

        For a fresh sign-in only (ASVS 7.5.1): the caller asks for one. An address that has an account already is
        answered alike, and its owner told. Refuses `invalid_input` and `rate_limited`.
        """
        if "email" not in self.settings.identifiers:
            raise Refusal("email.not_in_use", fields={"errors": [{"field": "email", "message": "Not in use here"}]})
        name = identifiers.parse("email", typed)
        await self.gate.mail("verify", via.address, typed, "email.limited")

        def body(tx: Tx) -> None:
            owner, shown = rows.owner_of(tx, "email", name.value), show("usr", user)
            tx.emit(via.event("account.email_change_asked", subject=shown, identifier=name.value))
            if owner is None:
                tx.enqueue(Job("mail", {"template": "change", "user": shown, "to": name.shown}))
            else:
                template = "verify" if owner == user else "exists"
                tx.enqueue(Job("mail", {"template": template, "user": show("usr", owner)}))

        await self.kit.work.write(body)

    def _verify(self, tx: Tx, text: str, via: Via) -> Refused | None:
        ticket = self.tickets.take(tx, VERIFY, text)
        if isinstance(ticket, Refused):
            return ticket
        name = identifiers.email(str(ticket.data.get("email", "")))
        if ticket.user_id is None or name is None or rows.get(tx, ticket.user_id) is None:
            return Refused("ticket.unknown")
        if ticket.data.get("change"):
            return self._swap(tx, ticket, ticket.user_id, name, via)
        first = rows.verify_identifier(tx, ticket.user_id, "email", name.value)
        if first is None:
            # the link was for an address that the account no longer has
            return Refused("ticket.unknown")
        if first:
            tx.emit(via.event("account.email_verified", subject=show("usr", ticket.user_id)))
        return None

    def _swap(self, tx: Tx, ticket: TicketRow, user: bytes, name: Identifier, via: Via) -> Refused | None:
        old = rows.remove_identifiers(tx, user, "email")
        if not rows.add_identifier(tx, rows.IdentifierRow(user, "email", name.value, name.shown, tx.now)):
            for row in old:
                rows.add_identifier(tx, row)
            return Refused("email.taken", f"ticket {ticket.id.hex()}")
        shown = show("usr", user)
        # links that went to the old address open nothing any more
        self.tickets.void_all(tx, RESET, user)
        self.tickets.void_all(tx, VERIFY, user)
        tx.emit(via.event("account.email_changed", subject=shown))
        for row in old:
            # the notice that its owner needs most if it was not them (ASVS 6.3.7)
            tx.enqueue(Job("mail", {"template": "address_changed", "user": shown, "to": row.shown, "at": tx.now}))
        return None
