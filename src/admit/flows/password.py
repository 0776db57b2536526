"""Changing a password, and getting a new one by mail. Whatever was signed in with the old one ends with it."""

from __future__ import annotations

from dataclasses import dataclass

from admit.credentials.api_keys import ApiKeys, By
from admit.credentials.delivery import Delivery
from admit.credentials.tickets import TicketRow, Tickets
from admit.flows.email import RESET, VERIFY
from admit.flows.gate import Gate
from admit.flows.proof import PasswordProof
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.work import Job, Tx
from admit.people import identifiers
from admit.people.account import Account
from admit.people.accounts import Accounts
from admit.people.new_password import NewPassword
from admit.people.passwords import HashPool
from admit.stores.sql import accounts as account_rows
from admit.stores.sql import passwords as rows


@dataclass(frozen=True, slots=True)
class Passwords:
    """The life of a password after registration."""

    kit: Kit
    pool: HashPool
    gate: Gate
    accounts: Accounts
    new_password: NewPassword
    proof: PasswordProof
    tickets: Tickets
    delivery: Delivery
    keys: ApiKeys

    async def change(
        self, user: bytes, current: str, new: str, via: Via, *, keep: bytes | None, end_keys: bool = False
    ) -> None:  # fmt: skip
        """Replaces the password; ends each session and grant of the person but `keep`, with `end_keys` the API keys.

        Refuses `login_failed` (the current one is wrong), `password_*` with every reason in `errors`, `rate_limited`.
        """
        proved = await self.proof.prove(user, current, "password.current", via)
        account = await self.kit.work.read(lambda tx: self.accounts.load(tx, user))
        self._demand(new, account)
        hash_ = await self.pool.hash(new)

        def body(tx: Tx) -> Refused | None:
            if not proved.hold(tx):
                return Refused("proof.changed")
            self._replace(tx, user, hash_, via, "password.changed", keep)
            if end_keys:
                self._end_keys(tx, user, via)
            return None

        if (refused := await self.kit.work.write(body)) is not None:
            raise refused.refusal()

    async def forgot(self, identifier: str, via: Via) -> None:
        """Has a reset link mailed to the account's stored address. Known and unknown alike: the same limits, the same
        statements, a job in either case; the link is made when the mail is sent.
        """
        await self.gate.mail("forgot", via.address, identifier, "forgot.limited")
        name = identifiers.read(identifier)

        def body(tx: Tx) -> None:
            user = account_rows.owner_of(tx, name.kind, name.value) if name else None
            self._ask_reset(tx, user, via, name.value if name else None, None)

        await self.kit.work.write(body)

    async def mail_reset(self, user: bytes, via: Via, *, actor: str | None) -> None:
        """An operator has a reset link mailed to someone; they see neither link nor password (ASVS 6.4.6).

        Refuses `not_found`: an operator may know who is there.
        """

        def ask(tx: Tx) -> Refused | None:
            if self.accounts.load(tx, user) is None:
                return Refused("people.not_found")
            self._ask_reset(tx, user, via, None, actor)
            return None

        refused = await self.kit.work.write(ask)
        if refused is not None:
            raise refused.refusal()

    async def reset(self, ticket: str, new: str, via: Via) -> None:
        """Sets a new password by a mailed link, which works once. Ends every session and grant; signs nobody in.

        Refuses `ticket_invalid`, `ticket_expired`, and `password_*`, which leaves the link usable.
        """
        seen = await self.kit.work.read(lambda tx: self.tickets.peek(tx, RESET, ticket))
        if isinstance(seen, Refused):
            raise seen.refusal()
        account = await self.kit.work.read(lambda tx: self.accounts.load(tx, seen.user_id or b""))
        self._demand(new, account)
        hash_ = await self.pool.hash(new)
        refused = await self.kit.work.write(lambda tx: self._reset(tx, ticket, hash_, via))
        if refused is not None:
            raise refused.refusal()

    def _reset(self, tx: Tx, text: str, hash_: str, via: Via) -> Refused | None:
        ticket = self.tickets.take(tx, RESET, text)
        if isinstance(ticket, Refused):
            return ticket
        user = ticket.user_id
        if user is None or account_rows.get(tx, user) is None:
            return Refused("ticket.unknown")
        self._replace(tx, user, hash_, via, "password.reset", None)
        if self._proved_first(tx, ticket, user, via):
            # until now nobody had proved the address: whoever made the account must not keep a key to it
            self._end_keys(tx, user, via)
        return None

    def _end_keys(self, tx: Tx, user: bytes, via: Via) -> None:
        # their service accounts' too: a stranger who made the account could have hidden a way back there
        for owner in (user, *(service.id for service in self.accounts.services_of(tx, user))):
            for key in self.keys.list(tx, owner):
                self.keys.revoke(tx, owner, key.id, By(frozenset(), via))

    def _proved_first(self, tx: Tx, ticket: TicketRow, user: bytes, via: Via) -> bool:
        first = account_rows.verify_identifier(tx, user, "email", str(ticket.data.get("email", "")))
        if first:
            tx.emit(via.event("account.email_verified", subject=show("usr", user)))
        return bool(first)

    def _replace(self, tx: Tx, user: bytes, hash_: str, via: Via, event: str, keep: bytes | None) -> None:
        # the new hash first: a login with the old one that is under way then either ends here or is refused
        rows.replace(tx, user, hash_)
        self.delivery.end_all(tx, user, via, keep)
        for purpose in (RESET, VERIFY):
            # a link that somebody had sent elsewhere while they knew the old password must not bring them back
            self.tickets.void_all(tx, purpose, user)
        shown = show("usr", user)
        tx.emit(via.event(event, subject=shown))
        tx.enqueue(Job("mail", {"template": "password_changed", "user": shown, "at": tx.now}))

    def _ask_reset(self, tx: Tx, user: bytes | None, via: Via, typed: str | None, actor: str | None) -> None:
        shown = show("usr", user) if user else None
        tx.emit(via.event("password.reset_asked", subject=shown, actor=actor, identifier=typed))
        tx.enqueue(Job("mail", {"template": "reset", "user": shown}))

    def _demand(self, new: str, account: Account | None) -> None:
        username, email = (account.username, account.email) if account else (None, None)
        self.new_password.demand(new, username=username, email=email)
