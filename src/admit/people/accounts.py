"""The life of accounts: created whole or not at all, changed under a version, never without an administrator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.people.account import Account, NewAccount, Taken
from admit.people.identifiers import IdentifierKind
from admit.people.profile import Profile
from admit.rights import Rights, join
from admit.stores.sql import accounts as rows
from admit.stores.sql.accounts import IdentifierRow, UserRow

PAGE = 50
LONGEST_NAME = 100
ADMIN_SCOPE = "admit:admin"


class Page(NamedTuple):
    """Some accounts, newest first. `next` continues after them; None when these were the last."""

    accounts: list[Account]
    next: bytes | None


class Accounts:
    """Every verb works inside a unit of work of its caller; a "no" is a returned `Refused`, raised after the commit.

    `actor` is the public identifier of whoever does it to someone else; None: the person, or the command line.
    """

    def __init__(self, kit: Kit, rights: Rights, profile: Profile) -> None:
        self._kit = kit
        self._rights = rights
        self.profile = profile
        self._admin_roles = {role for role, scopes in rights.roles.items() if ADMIN_SCOPE in scopes}

    def create(
        self, tx: Tx, new: NewAccount, via: Via, *, event: str = "account.registered", actor: str | None = None
    ) -> Account | Taken:
        """Stores an account; `Taken` when another has one of its identifiers. Emits `event`."""
        row = UserRow(
            self._kit.new_id(), new.kind, 1, new.name, join(new.roles), dict(new.profile), new.owner, tx.now, None
        )  # fmt: skip
        proved = tx.now if new.verified else None
        names = [IdentifierRow(row.id, name.kind, name.value, name.shown, proved) for name in new.identifiers]
        if taken := rows.insert(tx, row, new.hash, names):
            return Taken(frozenset(_kind(kind) for kind in taken))
        tx.emit(via.event(event, subject=show("usr", row.id), actor=actor))
        return Account.of(row, names)

    def create_service(
        self, tx: Tx, owner: bytes, name: str, roles: Iterable[str], via: Via, *, actor: str | None = None
    ) -> Account | Refused:  # fmt: skip
        """A service account (no password): owned by a person, with some of that person's roles at most.

        Refuses `invalid_input` (raised): a name of 1 to 100 printable characters, roles that exist.
        """
        _check_name(name)
        person = rows.get(tx, owner, lock=True)
        if person is None or person.kind != "user":
            return Refused("people.not_found")
        wanted = self._rights.roles_known(roles)
        if not wanted <= set(person.roles.split()):
            return Refused("people.role_not_held")
        new = NewAccount(kind="service", name=name, owner=owner, roles=wanted)
        made = self.create(tx, new, via, event="service_account.created", actor=actor or show("usr", owner))
        assert isinstance(made, Account)  # noqa: S101 (without identifiers nothing can be taken)
        return made

    def load(self, tx: Tx, user: bytes) -> Account | None:
        """The account with that id, disabled or not."""
        row = rows.get(tx, user)
        return None if row is None else Account.of(row, rows.identifiers_of(tx, [user]))

    def named(self, tx: Tx, kind: IdentifierKind, value: str) -> Account | None:
        """The account with that canonical identifier."""
        user = rows.owner_of(tx, kind, value)
        return None if user is None else self.load(tx, user)

    def page(
        self, tx: Tx, *, after: bytes | None = None, limit: int = PAGE, kind: str | None = None,
        search: str | None = None,
    ) -> Page:  # fmt: skip
        """`limit` accounts after the cursor; `search`: the beginning of an identifier, or a part of the name."""
        if search is not None and not search.isprintable():
            return Page([], None)  # no name holds such a character, and PostgreSQL takes no NUL
        found = rows.page(tx, before=after, limit=limit + 1, kind=kind, search=search)
        shown = found[:limit]
        names = rows.identifiers_of(tx, [row.id for row in shown])
        return Page([Account.of(row, names) for row in shown], shown[-1].id if len(found) > limit else None)

    def services_of(self, tx: Tx, owner: bytes) -> list[Account]:
        """The service accounts that this person answers for."""
        return [Account.of(row, ()) for row in rows.owned_by(tx, owner)]

    def disable(self, tx: Tx, user: bytes, via: Via, *, actor: str | None = None) -> Account | Refused:
        """Ends every way in until `enable`; sessions, tokens and keys are refused from the commit on."""
        return self._change(tx, user, via, "account.disabled", actor, admin=False, disabled_at=tx.now)

    def enable(self, tx: Tx, user: bytes, via: Via, *, actor: str | None = None) -> Account | Refused:
        """Undoes `disable`."""
        return self._change(tx, user, via, "account.enabled", actor, disabled_at=None)

    def grant(
        self, tx: Tx, user: bytes, roles: Iterable[str], via: Via, *, actor: str | None = None
    ) -> Account | Refused:  # fmt: skip
        """Adds roles; a service account gets none that its owner lacks."""
        wanted = self._rights.roles_known(roles)
        row = rows.get(tx, user, lock=True)
        if row is None:
            return Refused("people.not_found")
        if row.owner_id is not None:
            owner = rows.get(tx, row.owner_id)
            if owner is None or not wanted <= set(owner.roles.split()):
                return Refused("people.role_not_held")
        held = join({*row.roles.split(), *wanted})
        return self._change(tx, user, via, "account.roles_changed", actor, roles=held)

    def revoke(
        self, tx: Tx, user: bytes, roles: Iterable[str], via: Via, *, actor: str | None = None
    ) -> Account | Refused:  # fmt: skip
        """Takes roles away; never the last administrator's.

        Their service accounts keep the word and lose the right: what a key may do is cut to what its owner may do now.
        """
        lost = set(roles)
        self._lock(tx)
        row = rows.get(tx, user, lock=True)
        if row is None:
            return Refused("people.not_found")
        held = set(row.roles.split())
        left = held - lost
        if left == held:
            # nothing to tell anybody, and no credential to look at again
            return self.load(tx, user) or Refused("people.not_found")
        admin = bool(left & self._admin_roles)
        return self._change(tx, user, via, "account.roles_changed", actor, admin=admin, roles=join(left))

    def change_profile(self, tx: Tx, user: bytes, changes: Mapping[str, Any], via: Via) -> Account | Refused:
        """Puts `changes` into the profile; refuses (`people.profile`) what the application's model refuses."""
        row = rows.get(tx, user, lock=True)
        if row is None:
            return Refused("people.not_found")
        profile = self.profile.change(row.profile, changes)
        return self._change(tx, user, via, "account.profile_changed", None, profile=profile)

    def rename(self, tx: Tx, user: bytes, name: str | None, via: Via) -> Account | Refused:
        """Sets the display name: 1 to 100 printable characters, or none. Refuses `invalid_input` (raised)."""
        if name is not None:
            _check_name(name)
        return self._change(tx, user, via, "account.profile_changed", None, name=name)

    def delete(self, tx: Tx, user: bytes, via: Via, *, actor: str | None = None) -> Refused | None:
        """Deletes the account with all that hangs on it: service accounts, credentials, identifiers."""
        self._lock(tx)
        row = rows.get(tx, user, lock=True)
        if row is None:
            return Refused("people.not_found")
        if self._last_admin(tx, row):
            return Refused("people.last_admin")
        for doomed in (*rows.owned_by(tx, user), row):
            version = rows.delete(tx, doomed.id)
            if version is not None:
                tx.void(Tie("user", doomed.id), version)
                tx.emit(via.event("account.deleted", subject=show("usr", doomed.id), actor=actor))
        return None

    def _change(
        self, tx: Tx, user: bytes, via: Via, event: str, actor: str | None, *, admin: bool = True, **values: Any
    ) -> Account | Refused:  # fmt: skip
        """One change of a user's row. `admin` False: afterwards it is no administrator any more."""
        if not admin:
            self._lock(tx)
            row = rows.get(tx, user, lock=True)
            if row is not None and self._last_admin(tx, row):
                return Refused("people.last_admin")
        version = rows.change(tx, user, **values)
        if version is None:
            return Refused("people.not_found")
        tx.void(Tie("user", user), version)
        tx.emit(via.event(event, subject=show("usr", user), actor=actor, data=_told(values)))
        account = self.load(tx, user)
        assert account is not None  # noqa: S101 (its row was changed a moment ago, in this transaction)
        return account

    def _last_admin(self, tx: Tx, row: UserRow) -> bool:
        if row.kind != "user" or row.disabled_at is not None or not self._admin_roles & set(row.roles.split()):
            return False
        return not rows.others_with_role(tx, sorted(self._admin_roles), row.id)

    @staticmethod
    def _lock(tx: Tx) -> None:
        # two administrators who demote each other at once would each still see the other one
        rows.lock_tenant(tx)


def _check_name(name: str) -> None:
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        message = f"1 to {LONGEST_NAME} printable characters"
        raise Refusal("people.profile", fields={"errors": [{"field": "name", "message": message}]})


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """What of a change the log may hold: roles; of a profile, that it changed."""
    return {"roles": values["roles"].split()} if "roles" in values else {}


def _kind(kind: str) -> IdentifierKind:
    return "email" if kind == "email" else "username"
