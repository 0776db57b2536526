"""API keys and their secrets. Two secrets may live under one id; the truth read joins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema

api_keys = schema.api_keys
secrets = schema.api_key_secrets
usage = schema.api_key_usage
users = schema.users
answerable = schema.users.alias("answerable")  # who answers for a service account
tenants = schema.tenants


class KeyRow(NamedTuple):
    """A key as its owner sees it. `hint` is the prefix and the last four letters of its newest text. Times are
    microseconds; `old_until` is when the secret before the newest one stops working, None when there is none alive.
    """

    id: bytes
    user_id: bytes
    name: str
    environment: str
    scopes: str
    hint: str
    version: int
    created_at: int
    expires_at: int | None
    disabled_at: int | None
    revoked_at: int | None
    limit_hits: int | None
    limit_per: int | None
    last_used_at: int | None
    uses: int | None
    last_address: str | None
    old_until: int | None

    @property
    def limit(self) -> tuple[int, int] | None:
        """The key's own limit (hits, per microseconds); None when the default holds."""
        return None if self.limit_hits is None or self.limit_per is None else (self.limit_hits, self.limit_per)


class OwnerRow(NamedTuple):
    """Whose keys these are. The last three are of the person who answers for a service account, None for people."""

    user_id: bytes
    user_kind: str
    roles: str
    user_disabled_at: int | None
    owner_id: bytes | None
    owner_version: int | None
    owner_roles: str | None
    owner_disabled_at: int | None


class KeyTruth(NamedTuple):
    """All that is known about a presented secret, from one statement. Times are microseconds."""

    tenant: int
    id: bytes
    name: str
    environment: str
    scopes: str
    version: int
    expires_at: int | None
    disabled_at: int | None
    revoked_at: int | None
    limit_hits: int | None
    limit_per: int | None
    secret_created_at: int
    retires_at: int | None
    user_id: bytes
    user_kind: str
    user_version: int
    roles: str
    user_disabled_at: int | None
    owner_id: bytes | None
    owner_version: int | None
    owner_roles: str | None
    owner_disabled_at: int | None
    tenant_version: int
    fenced_at: int | None


_ANSWERS = (
    users.c.owner_id,
    answerable.c.version.label("owner_version"),
    answerable.c.roles.label("owner_roles"),
    answerable.c.disabled_at.label("owner_disabled_at"),
)
_IS_ANSWERABLE = sa.and_(answerable.c.tenant == users.c.tenant, answerable.c.id == users.c.owner_id)

_TRUTH = (
    sa.select(
        api_keys.c.tenant, api_keys.c.id, api_keys.c.name, api_keys.c.environment, api_keys.c.scopes,
        api_keys.c.version, api_keys.c.expires_at, api_keys.c.disabled_at, api_keys.c.revoked_at,
        api_keys.c.limit_hits, api_keys.c.limit_per,
        secrets.c.created_at.label("secret_created_at"), secrets.c.retires_at,
        users.c.id.label("user_id"), users.c.kind, users.c.version.label("user_version"), users.c.roles,
        users.c.disabled_at.label("user_disabled_at"), *_ANSWERS,
        tenants.c.version.label("tenant_version"), tenants.c.fenced_at,
    )
    .select_from(secrets)
    .join(api_keys, sa.and_(api_keys.c.tenant == secrets.c.tenant, api_keys.c.id == secrets.c.key_id))
    .join(users, sa.and_(users.c.tenant == api_keys.c.tenant, users.c.id == api_keys.c.user_id))
    .join(tenants, tenants.c.id == secrets.c.tenant)
    .outerjoin(answerable, _IS_ANSWERABLE)
    .where(secrets.c.tenant == sa.bindparam("tenant"), secrets.c.digest == sa.bindparam("digest"))
)  # fmt: skip


def truth(tx: Tx, digest: bytes) -> KeyTruth | None:
    """What is known of the key whose secret has this SHA-256; None when no key has it. One indexed statement.

    The lookup compares digests: what its timing could tell is the digest of a guess, which the guesser has anyway.
    """
    row = tx.connection.execute(_TRUTH, {"tenant": tx.tenant, "digest": digest}).one_or_none()
    return None if row is None else KeyTruth._make(row)


def owner(tx: Tx, user: bytes, *, lock: bool = False) -> OwnerRow | None:
    """The account that a key is for. With `lock` its keys cannot be added to by anyone else until the commit: two
    creations at once would each count the keys without the other's.
    """
    statement = (
        sa.select(users.c.id, users.c.kind, users.c.roles, users.c.disabled_at, *_ANSWERS)
        .select_from(users)
        .outerjoin(answerable, _IS_ANSWERABLE)
        .where(users.c.tenant == tx.tenant, users.c.id == user)
    )
    if lock:
        statement = statement.with_for_update(of=users, key_share=True)
    row = tx.connection.execute(statement).one_or_none()
    return None if row is None else OwnerRow(*row)


def count(tx: Tx, user: bytes) -> int:
    """How many keys this account has that are not revoked."""
    living = sa.select(sa.func.count()).where(*_of(tx, user), api_keys.c.revoked_at.is_(None))
    return int(tx.connection.execute(living).scalar_one())


def insert(tx: Tx, row: Mapping[str, Any], digest: bytes) -> None:
    """A new key (columns of `admit_api_keys`) and its first secret."""
    tx.connection.execute(sa.insert(api_keys).values(tenant=tx.tenant, created_at=tx.now, **row))
    add_secret(tx, row["id"], digest)


def add_secret(tx: Tx, key: bytes, digest: bytes) -> None:
    """One more secret that opens this key."""
    values = {"tenant": tx.tenant, "digest": digest, "key_id": key, "created_at": tx.now}
    tx.connection.execute(sa.insert(secrets).values(**values))


def retire_secrets(tx: Tx, key: bytes, until: int) -> None:
    """The newest secret works until `until` (microseconds), every older one stops now. Hold the key's row (`touch`):
    two rotations at once would else each spare the other's secret.
    """
    newest = secrets.c.retires_at.is_(None)
    tx.connection.execute(
        sa.update(secrets)
        .where(secrets.c.tenant == tx.tenant, secrets.c.key_id == key)
        .where(sa.or_(newest, secrets.c.retires_at > tx.now))
        .values(retires_at=sa.case((newest, until), else_=tx.now))
    )


def touch(tx: Tx, user: bytes, key: bytes, values: Mapping[str, Any]) -> int | None:
    """Changes a key of this account that is not revoked, and holds its row until the commit; the new version, or
    None when there is no such key.
    """
    statement = (
        sa.update(api_keys)
        .where(*_of(tx, user), api_keys.c.id == key, api_keys.c.revoked_at.is_(None))
        .values(version=api_keys.c.version + 1, **values)
        .returning(api_keys.c.version)
    )
    return tx.connection.execute(statement).scalar_one_or_none()


def scopes(tx: Tx, user: bytes, key: bytes) -> str | None:
    """What a living key of this account is allowed, its row held until the commit."""
    statement = sa.select(api_keys.c.scopes).where(
        *_of(tx, user), api_keys.c.id == key, api_keys.c.revoked_at.is_(None)
    )
    return tx.connection.execute(statement.with_for_update(key_share=True)).scalar_one_or_none()


def get(tx: Tx, user: bytes, key: bytes) -> KeyRow | None:
    """A key of this account, also a revoked one; None for another's."""
    row = tx.connection.execute(_shown(tx, user).where(api_keys.c.id == key)).one_or_none()
    return None if row is None else KeyRow(*row)


def of(tx: Tx, user: bytes, *, revoked: bool, limit: int) -> Sequence[KeyRow]:
    """The keys of this account, newest first; revoked ones only when asked for."""
    statement = _shown(tx, user).order_by(api_keys.c.id.desc()).limit(limit)
    if not revoked:
        statement = statement.where(api_keys.c.revoked_at.is_(None))
    return [KeyRow(*row) for row in tx.connection.execute(statement)]


def forget(tx: Tx, before: int, limit: int) -> int:
    """Deletes up to `limit` keys that were revoked, and as many secrets that were retired, before `before`
    (microseconds); how many in all. Their digests lead nowhere, so this only changes the private reason.
    """
    old_keys = (
        sa.select(api_keys.c.id).where(api_keys.c.tenant == tx.tenant, api_keys.c.revoked_at < before).limit(limit)
    )
    old_secrets = (
        sa.select(secrets.c.digest).where(secrets.c.tenant == tx.tenant, secrets.c.retires_at < before).limit(limit)
    )
    gone = sa.delete(api_keys).where(api_keys.c.tenant == tx.tenant, api_keys.c.id.in_(old_keys))
    retired = sa.delete(secrets).where(secrets.c.tenant == tx.tenant, secrets.c.digest.in_(old_secrets))
    return sum(tx.connection.execute(statement).rowcount for statement in (retired, gone))


def _of(tx: Tx, user: bytes) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return api_keys.c.tenant == tx.tenant, api_keys.c.user_id == user


def _shown(tx: Tx, user: bytes) -> sa.Select[Any]:
    old = (
        sa.select(sa.func.max(secrets.c.retires_at))
        .where(secrets.c.tenant == api_keys.c.tenant, secrets.c.key_id == api_keys.c.id)
        .where(secrets.c.retires_at > tx.now)
        .scalar_subquery()
    )
    fields = KeyRow._fields[: KeyRow._fields.index("last_used_at")]
    return (
        sa.select(*(api_keys.c[name] for name in fields), usage.c.last_used_at, usage.c.uses, usage.c.last_address, old)
        .select_from(api_keys)
        .outerjoin(usage, sa.and_(usage.c.tenant == api_keys.c.tenant, usage.c.key_id == api_keys.c.id))
        .where(*_of(tx, user))
    )
