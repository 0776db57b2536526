"""Creating one's own account. That an address has an account already is told to its owner by mail, to nobody else."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from admit.flows.gate import Gate
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.work import Job, Tx
from admit.people import identifiers
from admit.people.account import NewAccount, Taken
from admit.people.accounts import Accounts
from admit.people.identifiers import Identifier
from admit.people.new_password import NewPassword
from admit.people.passwords import HashPool
from admit.settings import Settings
from admit.stores.sql import accounts as rows


class RegistrationRequest(NamedTuple):
    """What an application's `may_register` decides on: canonical identifiers and the checked profile, no password."""

    username: str | None
    email: str | None
    profile: Mapping[str, Any]
    via: Via


#: True: yes; False or a text for the caller: no
MayRegister = Callable[[RegistrationRequest], bool | str | Awaitable[bool | str]]


@dataclass(frozen=True, slots=True)
class Registration:
    """What someone sent to get an account."""

    password: str = field(repr=False)
    username: str | None = None
    email: str | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Register:
    """`may_register` is the application's; it is asked before any look-up, so its answer tells nothing of accounts."""

    kit: Kit
    settings: Settings
    pool: HashPool
    gate: Gate
    accounts: Accounts
    new_password: NewPassword
    may_register: MayRegister | None = None

    async def register(self, asked: Registration, via: Via) -> None:
        """Creates the account and mails the link that proves its address, or mails the owner of that address instead.

        The answer is the same for a new and a known address, and the hash is made in either case. Refuses
        `registration_refused`, `rate_limited`, `invalid_input` and `password_*` with every error in `errors`, and
        `username_taken` (usernames are public).
        """
        if not self.settings.registration:
            raise Refusal("register.closed")
        await self.gate.register(via.address)
        names = self.names(asked.username, asked.email)
        by_kind = {name.kind: name for name in names}
        username, email = by_kind.get("username"), by_kind.get("email")
        profile = self.accounts.profile.read(asked.profile)
        self.new_password.demand(
            asked.password, username=username.value if username else None, email=email.value if email else None
        )
        request = RegistrationRequest(
            username.value if username else None, email.value if email else None, profile, via
        )
        await self._ask(request)
        hash_ = await self.pool.hash(asked.password)
        new = NewAccount(names, hash_, self.settings.rights.default_roles, profile)
        refused = await self.kit.work.write(lambda tx: self._create(tx, new, email, via))
        if refused is not None:
            raise refused.refusal()

    def names(self, username: str | None, email: str | None) -> tuple[Identifier, ...]:
        """The identifiers, canonical; refuses with one error for each that is wrong, missing or not in use here."""
        names: list[Identifier] = []
        errors: list[dict[str, str]] = []
        for kind, text in (("username", username), ("email", email)):
            if text is None:
                continue
            if kind not in self.settings.identifiers:
                errors.append({"field": kind, "message": "Not in use here"})
                continue
            try:
                names.append(identifiers.parse("email" if kind == "email" else "username", text))
            except Refusal as refusal:
                errors += refusal.fields["errors"]
        errors += self._missing(username, email)
        if errors:
            raise Refusal("register.identifier", fields={"errors": errors})
        return tuple(names)

    def _missing(self, username: str | None, email: str | None) -> list[dict[str, str]]:
        if email is None and self.settings.require_verified:
            return [{"field": "email", "message": "Required"}]
        if email is None and username is None:
            first = "email" if "email" in self.settings.identifiers else "username"
            return [{"field": first, "message": "Required"}]
        return []

    async def _ask(self, request: RegistrationRequest) -> None:
        if self.may_register is None:
            return
        answer = self.may_register(request)
        allowed = await answer if inspect.isawaitable(answer) else answer
        if allowed is not True:
            raise Refusal("register.refused", detail=allowed if isinstance(allowed, str) and allowed else None)

    def _create(self, tx: Tx, new: NewAccount, email: Identifier | None, via: Via) -> Refused | None:
        made = self.accounts.create(tx, new, via)
        # asked in either case: what only a known address costs would tell by the clock that it is known
        owner = rows.owner_of(tx, "email", email.value) if email is not None else None
        if not isinstance(made, Taken):
            if email is not None:
                tx.enqueue(Job("mail", {"template": "verify", "user": made.shown}))
            return None
        if "username" in made.kinds or email is None:
            return Refused("register.username_taken")
        shown = show("usr", owner) if owner else None
        tx.emit(via.event("account.register_repeated", outcome="refused", subject=shown, identifier=email.value))
        tx.enqueue(Job("mail", {"template": "exists", "user": shown}))
        return None
