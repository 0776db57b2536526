"""Proving that an address is one's own."""

from __future__ import annotations

from dataclasses import dataclass

from admit.credentials.tickets import Tickets
from admit.flows.gate import Gate
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.work import Job, Tx
from admit.people import identifiers
from admit.stores.sql import accounts as rows

VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Email:
    """The address of an account: proved by a mailed link."""

    kit: Kit
    gate: Gate
    tickets: Tickets

    async def verify(self, ticket: str, via: Via) -> None:
        """Marks the address as proved; refuses `ticket_invalid` and `ticket_expired`. Signs nobody in."""

        def body(tx: Tx) -> Refused | None:
            taken = self.tickets.take(tx, VERIFY, ticket)
            if isinstance(taken, Refused):
                return taken
            user, value = taken.user_id or b"", str(taken.data.get("email", ""))
            first = rows.verify_identifier(tx, user, "email", value)
            if first is None:
                # the link was for an address that the account no longer has
                return Refused("ticket.unknown")
            if first:
                tx.emit(via.event("account.email_verified", subject=show("usr", user)))
            return None

        if (refused := await self.kit.work.write(body)) is not None:
            raise refused.refusal()

    async def resend(self, typed: str, via: Via) -> None:
        """Has the link mailed again, if the address belongs to an account and is not proved; the answer never says."""
        await self.gate.mail("verify", via.address, typed, "email.limited")
        name = identifiers.email(typed)

        def body(tx: Tx) -> None:
            user = rows.owner_of(tx, name.kind, name.value) if name else None
            tx.enqueue(Job("mail", {"template": "verify", "user": show("usr", user) if user else None}))

        await self.kit.work.write(body)
