"""Accounts: users, their identifiers and roles. Every change of a user's row raises its version."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import identifiers, passwords, tenants, users
from admit.stores.sql.upsert import insert_for


class UserRow(NamedTuple):
    """A person or service account. `roles` is space separated, times are microseconds."""

    id: bytes
    kind: str
    version: int
    name: str | None
    roles: str
    profile: Mapping[str, Any]
    owner_id: bytes | None
    created_at: int
    disabled_at: int | None


class IdentifierRow(NamedTuple):
    """One way to name an account; `value` is canonical, `shown` as typed."""

    user_id: bytes
    kind: str
    value: str
    shown: str
    verified_at: int | None


_USER = [users.c[name] for name in UserRow._fields]
_IDENTIFIER = [identifiers.c[name] for name in IdentifierRow._fields]


def insert(tx: Tx, row: UserRow, hash_: str | None, names: Sequence[IdentifierRow]) -> list[str]:
    """Stores an account whole, or not at all: returns the kinds of identifiers that were taken, [] when it is stored.

    The store's own uniqueness decides; a look-up before the insert would let two at once take one name.
    """
    savepoint = tx.connection.begin_nested()
    tx.connection.execute(sa.insert(users).values(tenant=tx.tenant, **row._asdict()))
    if hash_ is not None:
        fields = {"tenant": tx.tenant, "user_id": row.id, "hash": hash_, "changed_at": tx.now}
        tx.connection.execute(sa.insert(passwords).values(**fields))
    taken = [name.kind for name in names if not add_identifier(tx, name)]
    if taken:
        savepoint.rollback()
    else:
        savepoint.commit()
    return taken


def add_identifier(tx: Tx, row: IdentifierRow) -> bool:
    """Gives an account one more identifier; False when any account has it already."""
    insert = insert_for(tx.dialect)
    statement = (
        insert(identifiers)
        .values(tenant=tx.tenant, created_at=tx.now, **row._asdict())
        .on_conflict_do_nothing(index_elements=["tenant", "kind", "value"])
        .returning(identifiers.c.value)
    )
    return tx.connection.execute(statement).one_or_none() is not None


def get(tx: Tx, user: bytes, *, lock: bool = False) -> UserRow | None:
    """The account; with `lock`, nobody else changes it before this transaction ends."""
    statement = sa.select(*_USER).where(users.c.tenant == tx.tenant, users.c.id == user)
    row = tx.connection.execute(statement.with_for_update() if lock else statement).one_or_none()
    return None if row is None else UserRow(*row)


def identifiers_of(tx: Tx, ids: Iterable[bytes]) -> list[IdentifierRow]:
    """The identifiers of these accounts, oldest first."""
    statement = (
        sa.select(*_IDENTIFIER)
        .where(identifiers.c.tenant == tx.tenant, identifiers.c.user_id.in_(list(ids)))
        .order_by(identifiers.c.created_at, identifiers.c.kind.desc(), identifiers.c.value)
    )
    return [IdentifierRow(*row) for row in tx.connection.execute(statement)]


def remove_identifiers(tx: Tx, user: bytes, kind: str) -> list[IdentifierRow]:
    """Takes an account's identifiers of that kind away; what they were."""
    statement = (
        sa.delete(identifiers)
        .where(identifiers.c.tenant == tx.tenant, identifiers.c.user_id == user, identifiers.c.kind == kind)
        .returning(*_IDENTIFIER)
    )
    return [IdentifierRow(*row) for row in tx.connection.execute(statement)]


def owner_of(tx: Tx, kind: str, value: str) -> bytes | None:
    """Whose identifier that is."""
    return tx.connection.execute(
        sa.select(identifiers.c.user_id).where(
            identifiers.c.tenant == tx.tenant, identifiers.c.kind == kind, identifiers.c.value == value
        )
    ).scalar_one_or_none()


def verify_identifier(tx: Tx, user: bytes, kind: str, value: str) -> bool | None:
    """Marks an identifier of that account as proved; False when it was already, None when it has no such one."""
    of_user = sa.and_(
        identifiers.c.tenant == tx.tenant,
        identifiers.c.kind == kind,
        identifiers.c.value == value,
        identifiers.c.user_id == user,
    )
    first = sa.update(identifiers).where(of_user, identifiers.c.verified_at.is_(None)).values(verified_at=tx.now)
    if tx.connection.execute(first).rowcount:
        return True
    return False if tx.connection.execute(sa.select(identifiers.c.kind).where(of_user)).one_or_none() else None


def change(tx: Tx, user: bytes, **values: Any) -> int | None:
    """Sets columns of an account and raises its version, which is returned; None when there is no such account."""
    return tx.connection.execute(
        sa.update(users)
        .where(users.c.tenant == tx.tenant, users.c.id == user)
        .values(version=users.c.version + 1, **values)
        .returning(users.c.version)
    ).scalar_one_or_none()


def delete(tx: Tx, user: bytes) -> int | None:
    """Deletes an account with everything that hangs on it; the version above its last one, or None."""
    version = tx.connection.execute(
        sa.delete(users).where(users.c.tenant == tx.tenant, users.c.id == user).returning(users.c.version)
    ).scalar_one_or_none()
    return None if version is None else version + 1


def owned_by(tx: Tx, owner: bytes) -> list[UserRow]:
    """The service accounts that this person answers for."""
    rows = sa.select(*_USER).where(users.c.tenant == tx.tenant, users.c.owner_id == owner).order_by(users.c.id)
    return [UserRow(*row) for row in tx.connection.execute(rows)]


def lock_tenant(tx: Tx) -> None:
    """Lets one transaction at a time through here: what counts rows must not count beside another that counts."""
    tx.connection.execute(sa.select(tenants.c.id).where(tenants.c.id == tx.tenant).with_for_update())


def others_with_role(tx: Tx, roles: Iterable[str], but: bytes) -> bool:
    """Whether another enabled person holds one of `roles`."""
    padded = sa.literal(" ").concat(users.c.roles).concat(" ")
    held = sa.or_(sa.false(), *(padded.contains(f" {role} ", autoescape=True) for role in roles))
    statement = (
        sa.select(users.c.id)
        .where(users.c.tenant == tx.tenant, users.c.kind == "user", users.c.disabled_at.is_(None))
        .where(users.c.id != but, held)
        .limit(1)
    )
    return tx.connection.execute(statement).one_or_none() is not None


def page(tx: Tx, *, before: bytes | None, limit: int, kind: str | None, search: str | None) -> list[UserRow]:
    """Accounts, newest first, older than `before`; `search` is the beginning of an identifier or a part of the name."""
    statement = sa.select(*_USER).where(users.c.tenant == tx.tenant).order_by(users.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(users.c.id < before)
    if kind is not None:
        statement = statement.where(users.c.kind == kind)
    if search:
        named = sa.select(identifiers.c.user_id).where(
            identifiers.c.tenant == tx.tenant, identifiers.c.value.startswith(search.lower(), autoescape=True)
        )
        statement = statement.where(sa.or_(users.c.id.in_(named), users.c.name.icontains(search, autoescape=True)))
    return [UserRow(*row) for row in tx.connection.execute(statement)]
