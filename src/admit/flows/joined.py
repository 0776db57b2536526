"""Account verbs for applications that want them inside their own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from admit.flows.register import Register
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.ids import read
from admit.ground.work import Job, Tx, Work
from admit.people.account import Account, NewAccount, Taken

_BY_APPLICATION = Via()


@dataclass(frozen=True, slots=True)
class NewPerson:
    """An account to be made. `roles` None: the default ones. `verified`: the application answers for the address;
    otherwise the link that proves it is mailed after the commit.
    """

    username: str | None = None
    email: str | None = None
    password: str | None = field(default=None, repr=False)
    roles: tuple[str, ...] | None = None
    profile: Mapping[str, Any] = field(default_factory=dict)
    verified: bool = False


@dataclass(frozen=True, slots=True)
class JoinedAccounts:
    """What can be done to accounts on the application's connection; nothing counts until the application commits.

    `user` is the public identifier (`usr_…`). A verb that refuses has written nothing; an error of the database is
    SQLAlchemy's own. Hashing happens before the first statement, but with the transaction open: begin it late.
    """

    work: Work
    register: Register

    async def create(self, person: NewPerson) -> Account:
        """An account; refuses `password_*`, `invalid_input`, `username_taken` and `conflict` (the address is taken)."""
        register, accounts = self.register, self.register.accounts
        names = register.names(person.username, person.email)
        roles = self._roles(person.roles)
        profile = accounts.profile.read(person.profile)
        hash_ = None
        if person.password is not None:
            by_kind = {name.kind: name.value for name in names}
            register.new_password.demand(person.password, username=by_kind.get("username"), email=by_kind.get("email"))
            hash_ = await register.pool.hash(person.password)
        new = NewAccount(names, hash_, roles, profile, verified=person.verified)

        def body(tx: Tx) -> Account | Refused:
            made = accounts.create(tx, new, _BY_APPLICATION)
            if isinstance(made, Taken):
                return Refused("register.username_taken" if "username" in made.kinds else "email.taken")
            if made.address is not None and not person.verified:
                tx.enqueue(Job("mail", {"template": "verify", "user": made.shown}))
            return made

        return await self._write(body)

    async def get(self, user: str) -> Account:
        """The account as this transaction sees it; refuses `not_found`."""
        identifier = _read(user)
        return await self._write(lambda tx: self.register.accounts.load(tx, identifier) or Refused("people.not_found"))

    async def disable(self, user: str) -> Account:
        """Ends every way in; refuses `not_found`, and `conflict` for the last administrator."""
        identifier = _read(user)
        return await self._write(lambda tx: self.register.accounts.disable(tx, identifier, _BY_APPLICATION))

    async def enable(self, user: str) -> Account:
        """Undoes `disable`; refuses `not_found`."""
        identifier = _read(user)
        return await self._write(lambda tx: self.register.accounts.enable(tx, identifier, _BY_APPLICATION))

    async def grant(self, user: str, *roles: str) -> Account:
        """Adds roles; refuses `not_found`, and `invalid_input` for a role that does not exist."""
        identifier = _read(user)
        return await self._write(lambda tx: self.register.accounts.grant(tx, identifier, roles, _BY_APPLICATION))

    async def revoke(self, user: str, *roles: str) -> Account:
        """Takes roles away; refuses `not_found`, and `conflict` for the last administrator's."""
        identifier = _read(user)
        return await self._write(lambda tx: self.register.accounts.revoke(tx, identifier, roles, _BY_APPLICATION))

    async def change_profile(self, user: str, changes: Mapping[str, Any]) -> Account:
        """Puts `changes` into the profile; refuses `not_found` and what the application's model refuses."""
        identifier = _read(user)
        return await self._write(
            lambda tx: self.register.accounts.change_profile(tx, identifier, changes, _BY_APPLICATION)
        )

    def _roles(self, roles: Iterable[str] | None) -> tuple[str, ...]:
        settings = self.register.settings
        if roles is None:
            return settings.rights.default_roles
        wanted = tuple(roles)
        if unknown := set(wanted) - settings.roles.keys():
            raise Refusal("people.role_unknown", fields={"unknown": sorted(unknown)[:20]})
        return wanted

    async def _write(self, body: Callable[[Tx], Account | Refused]) -> Account:
        done = await self.work.write(body)
        if isinstance(done, Refused):
            raise done.refusal()
        return done


def _read(user: str) -> bytes:
    identifier = read("usr", user)
    if identifier is None:
        raise Refusal("people.not_found")
    return identifier
