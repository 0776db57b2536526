"""An account as a value, and what a new one needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from admit.ground.clock import iso
from admit.ground.ids import show
from admit.people.identifiers import Identifier, IdentifierKind
from admit.stores.sql.accounts import IdentifierRow, UserRow

AccountKind = Literal["user", "service"]


@dataclass(frozen=True, slots=True)
class Account:
    """A person or a service account. `id` and `owner` are 16 bytes inside; times are microseconds UTC."""

    id: bytes
    kind: str
    name: str | None
    roles: tuple[str, ...]
    profile: Mapping[str, Any]
    identifiers: tuple[IdentifierRow, ...]
    created_at: int
    disabled_at: int | None
    version: int
    owner: bytes | None = None

    @classmethod
    def of(cls, row: UserRow, names: Iterable[IdentifierRow]) -> Account:
        """The account of these rows."""
        mine = tuple(name for name in names if name.user_id == row.id)
        return cls(
            row.id, row.kind, row.name, tuple(row.roles.split()), row.profile, mine,
            row.created_at, row.disabled_at, row.version, row.owner_id,
        )  # fmt: skip

    @property
    def shown(self) -> str:
        """The public identifier, `usr_…`."""
        return show("usr", self.id)

    @property
    def username(self) -> str | None:
        """The username as its owner wrote it."""
        return next((name.shown for name in self.identifiers if name.kind == "username"), None)

    @property
    def address(self) -> IdentifierRow | None:
        """Where mail goes: the oldest proved address, else the oldest one; always the stored one."""
        mails = [name for name in self.identifiers if name.kind == "email"]
        return next((name for name in mails if name.verified_at is not None), mails[0] if mails else None)

    @property
    def email(self) -> str | None:
        """`address` as text."""
        return self.address.shown if self.address else None

    @property
    def email_verified(self) -> bool:
        """Whether `address` is proved."""
        return self.address is not None and self.address.verified_at is not None


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is made of. `hash` is a stored form, never a password; None where there is none.

    `verified` says that whoever creates it answers for the addresses (an operator at the command line).
    """

    identifiers: tuple[Identifier, ...] = ()
    hash: str | None = None
    roles: Iterable[str] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    kind: AccountKind = "user"
    owner: bytes | None = None
    verified: bool = False


class Taken(NamedTuple):
    """The kinds of identifiers that another account has; nothing was stored."""

    kinds: frozenset[IdentifierKind]


def account_json(account: Account) -> dict[str, Any]:
    """An account as its owner and administrators see it."""
    return {
        "id": account.shown,
        "kind": account.kind,
        "username": account.username,
        "email": account.email,
        "email_verified": account.email_verified,
        "name": account.name,
        "roles": list(account.roles),
        "profile": dict(account.profile),
        "created_at": iso(account.created_at),
        "disabled": account.disabled_at is not None,
    }
