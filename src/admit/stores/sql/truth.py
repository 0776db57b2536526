"""The truth reads: ONE indexed statement each, on the primary, joining everything a credential's life depends on.

Death is a join, not a cascade: disabling a person writes one row, and no code path can forget to kill a child.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import clients, grants, sessions, signing_keys, tenants, users


class SessionTruth(NamedTuple):
    """A session with its person and tenant."""

    id: bytes
    digest: bytes
    version: int
    methods: str
    created_at: int
    seen_at: int
    expires_at: int
    idle: int
    ended_at: int | None
    user_id: bytes
    user_kind: str
    user_version: int
    user_disabled_at: int | None
    roles: str
    tenant_version: int
    fenced_at: int | None


class GrantTruth(NamedTuple):
    """A grant with its person, client and tenant, and the key that signed: what stands behind an access token."""

    id: bytes
    version: int
    created_at: int
    ended_at: int | None
    expires_at: int
    scopes: str | None
    methods: str
    user_id: bytes
    user_kind: str
    user_version: int
    user_disabled_at: int | None
    roles: str
    client_row: bytes
    client: str
    client_version: int
    client_disabled_at: int | None
    tenant_version: int
    fenced_at: int | None
    claims: Mapping[str, Any] | None
    kid_version: int | None
    kid_revoked_at: int | None


_PERSON = [
    users.c.id.label("user_id"),
    users.c.kind.label("user_kind"),
    users.c.version.label("user_version"),
    users.c.disabled_at.label("user_disabled_at"),
    users.c.roles,
]
_TENANT = [tenants.c.version.label("tenant_version"), tenants.c.fenced_at]

_SESSION = (
    sa.select(
        sessions.c.id, sessions.c.digest, sessions.c.version, sessions.c.methods, sessions.c.created_at,
        sessions.c.seen_at, sessions.c.expires_at, sessions.c.idle, sessions.c.ended_at, *_PERSON, *_TENANT,
    )
    .join(users, sa.and_(users.c.tenant == sessions.c.tenant, users.c.id == sessions.c.user_id))
    .join(tenants, tenants.c.id == sessions.c.tenant)
    .where(sessions.c.tenant == sa.bindparam("tenant"), sessions.c.id == sa.bindparam("session"))
)  # fmt: skip

_GRANT = (
    sa.select(
        grants.c.id, grants.c.version, grants.c.created_at, grants.c.ended_at, grants.c.expires_at,
        grants.c.scopes, grants.c.methods, *_PERSON,
        clients.c.id.label("client_row"), clients.c.client_id.label("client"),
        clients.c.version.label("client_version"), clients.c.disabled_at.label("client_disabled_at"),
        *_TENANT, grants.c.claims,
        signing_keys.c.version.label("kid_version"), signing_keys.c.revoked_at.label("kid_revoked_at"),
    )
    .join(users, sa.and_(users.c.tenant == grants.c.tenant, users.c.id == grants.c.user_id))
    .join(clients, sa.and_(clients.c.tenant == grants.c.tenant, clients.c.id == grants.c.client_id))
    .join(tenants, tenants.c.id == grants.c.tenant)
    .outerjoin(
        signing_keys, sa.and_(signing_keys.c.tenant == grants.c.tenant, signing_keys.c.kid == sa.bindparam("kid"))
    )
    .where(grants.c.tenant == sa.bindparam("tenant"), grants.c.id == sa.bindparam("grant"))
)  # fmt: skip


def session(tx: Tx, identifier: bytes) -> SessionTruth | None:
    """The session with that id, whatever its state."""
    row = tx.connection.execute(_SESSION, {"tenant": tx.tenant, "session": identifier}).one_or_none()
    return None if row is None else SessionTruth._make(row)


def grant(tx: Tx, identifier: bytes, kid: str) -> GrantTruth | None:
    """The grant with that id and the key `kid`, whatever their states; the key's fields are None for HS256."""
    row = tx.connection.execute(_GRANT, {"tenant": tx.tenant, "grant": identifier, "kid": kid}).one_or_none()
    return None if row is None else GrantTruth._make(row)


def fence(tx: Tx) -> int:
    """Declares everything issued so far in this tenant dead; returns the tenant's new version."""
    return int(
        tx.connection.execute(
            sa.update(tenants)
            .where(tenants.c.id == tx.tenant)
            .values(fenced_at=tx.now, version=tenants.c.version + 1)
            .returning(tenants.c.version)
        ).scalar_one()
    )
