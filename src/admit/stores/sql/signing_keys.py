"""Signing keys (sealed) and the data keys that seal (wrapped by the master secret)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import data_keys, signing_keys, tenants
from admit.stores.sql.upsert import insert_for


class SigningKeyRow(NamedTuple):
    """One signing key; `secret` is sealed. Times in microseconds."""

    kid: str
    alg: str
    secret: bytes
    version: int
    created_at: int
    not_before: int
    active_from: int
    retire_at: int | None
    revoked_at: int | None


class DataKeyRow(NamedTuple):
    """One data key, wrapped by a master secret."""

    purpose: str
    number: int
    wrapped: bytes


def all_keys(tx: Tx) -> list[SigningKeyRow]:
    """Every signing key of the tenant, oldest first."""
    rows = tx.connection.execute(
        sa.select(*(signing_keys.c[name] for name in SigningKeyRow._fields))
        .where(signing_keys.c.tenant == tx.tenant)
        .order_by(signing_keys.c.active_from, signing_keys.c.created_at)
    )
    return [SigningKeyRow(*row) for row in rows]


def lock(tx: Tx) -> None:
    """Lets one transaction at a time change the set of keys."""
    tx.connection.execute(sa.select(tenants.c.id).where(tenants.c.id == tx.tenant).with_for_update())


def ring_version(tx: Tx) -> int:
    """A number that grows with every key added or revoked; under `lock`, so that no two changes share one."""
    total = sa.select(sa.func.coalesce(sa.func.sum(signing_keys.c.version), 0))
    return int(tx.connection.execute(total.where(signing_keys.c.tenant == tx.tenant)).scalar_one())


def insert(tx: Tx, row: SigningKeyRow) -> None:
    """Stores a new key."""
    tx.connection.execute(sa.insert(signing_keys).values(tenant=tx.tenant, **row._asdict()))


def retire(tx: Tx, alg: str, at: int, successor: str) -> None:
    """Lets every key of `alg` but `successor` that has no end yet retire at `at`."""
    tx.connection.execute(
        sa.update(signing_keys)
        .where(signing_keys.c.tenant == tx.tenant, signing_keys.c.alg == alg, signing_keys.c.kid != successor)
        .where(signing_keys.c.retire_at.is_(None))
        # no new version: nothing that was known of a token changes, which is past its end by then
        .values(retire_at=at)
    )


def revoke(tx: Tx, kid: str) -> int | None:
    """Revokes a key; its new version, or None when there is no such key or it was revoked before."""
    return tx.connection.execute(
        sa.update(signing_keys)
        .where(signing_keys.c.tenant == tx.tenant, signing_keys.c.kid == kid, signing_keys.c.revoked_at.is_(None))
        .values(revoked_at=tx.now, version=signing_keys.c.version + 1)
        .returning(signing_keys.c.version)
    ).scalar()


def wrapped(tx: Tx, purpose: str) -> list[DataKeyRow]:
    """The data keys of a purpose, oldest first."""
    rows = tx.connection.execute(
        sa.select(data_keys.c.purpose, data_keys.c.number, data_keys.c.wrapped)
        .where(data_keys.c.tenant == tx.tenant, data_keys.c.purpose == purpose)
        .order_by(data_keys.c.number)
    )
    return [DataKeyRow(*row) for row in rows]


def insert_wrapped(tx: Tx, row: DataKeyRow) -> None:
    """Stores a data key; the first of several processes that start at once wins."""
    insert_ = insert_for(tx.dialect)
    tx.connection.execute(
        insert_(data_keys)
        .values(tenant=tx.tenant, created_at=tx.now, **row._asdict())
        .on_conflict_do_nothing(index_elements=["tenant", "purpose", "number"])
    )


def rewrap(tx: Tx, changed: Iterable[DataKeyRow]) -> None:
    """Replaces the wrapped form of data keys, after the master secret changed."""
    for row in changed:
        tx.connection.execute(
            sa.update(data_keys)
            .where(data_keys.c.tenant == tx.tenant, data_keys.c.purpose == row.purpose)
            .where(data_keys.c.number == row.number)
            .values(wrapped=row.wrapped)
        )
