"""Grants (who allowed what to which client) and the one row of each refresh family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import clients, families, grants, tenants, users


class GrantRow(NamedTuple):
    """A grant. `scopes` None: whatever the person may do now."""

    id: bytes
    user_id: bytes
    client_id: bytes
    session_id: bytes | None
    kind: str
    deliver: str
    scopes: str | None
    claims: Mapping[str, Any] | None
    methods: str
    version: int
    created_at: int
    seen_at: int
    expires_at: int
    ended_at: int | None
    address: str | None
    agent: str | None


class NewFamily(NamedTuple):
    """A fresh refresh family; digests only."""

    id: bytes
    grant_id: bytes
    proof: bytes
    current: bytes
    expires_at: int
    idle_until: int


class FamilyTruth(NamedTuple):
    """All that the refusal of a refresh needs to know, from one statement."""

    proof: bytes
    current: bytes
    previous: bytes | None
    nonce: bytes | None
    rotated_at: int
    expires_at: int
    idle_until: int
    ended_at: int | None
    grant_id: bytes
    user_id: bytes
    user_kind: str
    user_disabled_at: int | None
    roles: str
    client: str
    client_disabled_at: int | None
    scopes: str | None
    claims: Mapping[str, Any] | None
    methods: str
    deliver: str
    grant_ended_at: int | None
    granted_at: int
    fenced_at: int | None


_COLUMNS = [grants.c[name] for name in GrantRow._fields]


def insert(tx: Tx, row: GrantRow, family: NewFamily | None) -> None:
    """Stores a grant and, if it may be refreshed, its family."""
    tx.connection.execute(sa.insert(grants).values(tenant=tx.tenant, **row._asdict()))
    if family is not None:
        tx.connection.execute(sa.insert(families).values(tenant=tx.tenant, rotated_at=tx.now, **family._asdict()))


def end(tx: Tx, user: bytes | None, identifiers: Sequence[bytes] | None, keep: bytes | None) -> list[tuple[bytes, int]]:
    """Ends grants (of `user`; the named ones) but `keep`; id and new version of those it ended.

    The families of an ended grant are dead through the join; they are marked as well, for whoever reads the table.
    """
    wanted = sa.update(grants).where(grants.c.tenant == tx.tenant, grants.c.ended_at.is_(None))
    if user is not None:
        wanted = wanted.where(grants.c.user_id == user)
    if identifiers is not None:
        wanted = wanted.where(grants.c.id.in_(identifiers))
    if keep is not None:
        wanted = wanted.where(grants.c.id != keep)
    ended = [
        (bytes(row.id), row.version)
        for row in tx.connection.execute(
            wanted.values(ended_at=tx.now, version=grants.c.version + 1).returning(grants.c.id, grants.c.version)
        )
    ]
    if ended:
        tx.connection.execute(
            sa.update(families)
            .where(
                families.c.tenant == tx.tenant,
                families.c.grant_id.in_([identifier for identifier, _ in ended]),
            )
            .where(families.c.ended_at.is_(None))
            .values(ended_at=tx.now)
        )
    return ended


def live(tx: Tx, user: bytes) -> list[GrantRow]:
    """The grants of `user` that can still be used, newest first."""
    rows = tx.connection.execute(
        sa.select(*_COLUMNS)
        .where(grants.c.tenant == tx.tenant, grants.c.user_id == user)
        .where(grants.c.ended_at.is_(None), grants.c.expires_at > tx.now)
        .order_by(grants.c.id.desc())
    )
    return [_grant(row._asdict()) for row in rows]


def set_methods(tx: Tx, user: bytes, identifier: bytes, methods: str) -> int | None:
    """Records how the person has proved themselves; the grant's new version, None when it is not alive."""
    return tx.connection.execute(
        sa.update(grants)
        .where(grants.c.tenant == tx.tenant, grants.c.user_id == user, grants.c.id == identifier)
        .where(grants.c.ended_at.is_(None))
        .values(methods=methods, version=grants.c.version + 1)
        .returning(grants.c.version)
    ).scalar()


def methods_of(tx: Tx, user: bytes, identifier: bytes) -> str | None:
    """The recorded methods of a live grant of `user`."""
    return tx.connection.execute(
        sa.select(grants.c.methods)
        .where(grants.c.tenant == tx.tenant, grants.c.user_id == user, grants.c.id == identifier)
        .where(grants.c.ended_at.is_(None))
    ).scalar()


def swap(tx: Tx, family: bytes, presented: bytes, successor: bytes, nonce: bytes, idle_until: int) -> bool:
    """The rotation, in one conditional statement: of any number of racers with the same token one gets True.

    Nothing here may be split into a read and a write: two readers of the same `current` would fork the family.
    """
    return (
        tx.connection.execute(
            _SWAP,
            {
                "tenant": tx.tenant, "family": family, "presented": presented, "successor": successor,
                "nonce": nonce, "idle_until": idle_until, "now": tx.now,
            },
        ).rowcount
        == 1
    )  # fmt: skip


_SWAP = sa.text(
    """
    UPDATE admit_families SET previous = current, current = :successor, nonce = :nonce, rotated_at = :now,
           idle_until = CASE WHEN :idle_until < expires_at THEN :idle_until ELSE expires_at END
    WHERE tenant = :tenant AND id = :family AND current = :presented AND ended_at IS NULL
      AND expires_at > :now AND idle_until > :now
      AND EXISTS (SELECT 1 FROM admit_grants g
                  JOIN admit_users u ON u.tenant = g.tenant AND u.id = g.user_id AND u.disabled_at IS NULL
                  JOIN admit_clients c ON c.tenant = g.tenant AND c.id = g.client_id AND c.disabled_at IS NULL
                  JOIN admit_tenants t ON t.id = g.tenant AND (t.fenced_at IS NULL OR t.fenced_at < g.created_at)
                  WHERE g.tenant = admit_families.tenant AND g.id = admit_families.grant_id AND g.ended_at IS NULL)
    """
).bindparams(
    sa.bindparam("family", type_=sa.LargeBinary),
    sa.bindparam("presented", type_=sa.LargeBinary),
    sa.bindparam("successor", type_=sa.LargeBinary),
    sa.bindparam("nonce", type_=sa.LargeBinary),
    sa.bindparam("idle_until", type_=sa.BigInteger),
    sa.bindparam("now", type_=sa.BigInteger),
)

_FAMILY = (
    sa.select(
        families.c.proof, families.c.current, families.c.previous, families.c.nonce, families.c.rotated_at,
        families.c.expires_at, families.c.idle_until, families.c.ended_at, families.c.grant_id,
        grants.c.user_id, users.c.kind.label("user_kind"), users.c.disabled_at.label("user_disabled_at"),
        users.c.roles, clients.c.client_id.label("client"), clients.c.disabled_at.label("client_disabled_at"),
        grants.c.scopes, grants.c.claims, grants.c.methods, grants.c.deliver,
        grants.c.ended_at.label("grant_ended_at"), grants.c.created_at.label("granted_at"), tenants.c.fenced_at,
    )
    .join(grants, sa.and_(grants.c.tenant == families.c.tenant, grants.c.id == families.c.grant_id))
    .join(users, sa.and_(users.c.tenant == grants.c.tenant, users.c.id == grants.c.user_id))
    .join(clients, sa.and_(clients.c.tenant == grants.c.tenant, clients.c.id == grants.c.client_id))
    .join(tenants, tenants.c.id == grants.c.tenant)
    .where(families.c.tenant == sa.bindparam("tenant"), families.c.id == sa.bindparam("family"))
)  # fmt: skip


def family(tx: Tx, identifier: bytes) -> FamilyTruth | None:
    """The family with its grant, person and client; None when there is none."""
    row = tx.connection.execute(_FAMILY, {"tenant": tx.tenant, "family": identifier}).one_or_none()
    return None if row is None else FamilyTruth._make(row)


def clean_nonces(tx: Tx, before: int, limit: int = 1000) -> int:
    """Wipes nonces (and the digests before) of rotations older than `before`: after the grace they only endanger."""
    old = (
        sa.select(families.c.id)
        .where(families.c.tenant == tx.tenant, families.c.nonce.is_not(None), families.c.rotated_at < before)
        .limit(limit)
    )
    wipe = sa.update(families).where(families.c.tenant == tx.tenant, families.c.id.in_(old)).values(nonce=None)
    return tx.connection.execute(wipe).rowcount


def forget(tx: Tx, before: int, limit: int = 1000) -> int:
    """Deletes up to `limit` grants (families go with them) whose end lies before `before`; returns how many."""
    old = sa.select(grants.c.id).where(grants.c.tenant == tx.tenant, grants.c.expires_at < before).limit(limit)
    return tx.connection.execute(sa.delete(grants).where(grants.c.tenant == tx.tenant, grants.c.id.in_(old))).rowcount


def _grant(values: dict[str, Any]) -> GrantRow:
    for name in ("id", "user_id", "client_id", "session_id"):
        values[name] = bytes(values[name]) if values[name] is not None else None
    return GrantRow(**values)
