"""Stored passwords, the count of failures in a row, and known devices."""

from __future__ import annotations

from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql.schema import decoys, devices, identifiers, passwords, users
from admit.stores.sql.upsert import insert_for


class LoginRow(NamedTuple):
    """What a login needs to know of an account.

    `verified`: it has a proved address. `device`: the device that was named is known for it.
    """

    user_id: bytes
    kind: str
    user_disabled_at: int | None
    hash: str | None
    password_disabled_at: int | None
    verified: bool
    device: bool


def find(tx: Tx, kind: str, value: str, device: bytes) -> LoginRow | None:
    """The account of an identifier with its password, in one statement; `device` is the digest of a device's secret."""
    row = tx.connection.execute(
        _FIND, {"tenant": tx.tenant, "kind": kind, "value": value, "device": device, "now": tx.now}
    ).one_or_none()
    return None if row is None else _login_row(*row)


def of_user(tx: Tx, user: bytes) -> LoginRow | None:
    """The same for an account that is known already; `device` is False."""
    row = tx.connection.execute(_OF_USER, {"tenant": tx.tenant, "user": user}).one_or_none()
    return None if row is None else _login_row(*row, False)


def fail(tx: Tx, user: bytes, disable_after: int) -> bool:
    """Counts a failure in a row; True when this one disabled the password.

    One conditional UPDATE: reading the counter first would let parallel guesses share a count (CVE-2019-5421).
    """
    failures = passwords.c.failures + 1
    disabled = tx.connection.execute(
        sa.update(passwords)
        .where(passwords.c.tenant == tx.tenant, passwords.c.user_id == user, passwords.c.disabled_at.is_(None))
        .values(failures=failures, disabled_at=sa.case((failures >= disable_after, tx.now)))
        .returning(passwords.c.disabled_at)
    ).scalar_one_or_none()
    return disabled is not None


def fail_nobody(tx: Tx, slot: int) -> None:
    """What `fail` costs, for an account that does not exist; the count means nothing."""
    mine = sa.and_(decoys.c.tenant == tx.tenant, decoys.c.slot == slot)
    touched = sa.update(decoys).where(mine).values(failures=decoys.c.failures + 1, disabled_at=None)
    if tx.connection.execute(touched.returning(decoys.c.failures)).one_or_none() is None:
        insert = insert_for(tx.dialect)
        first = insert(decoys).values(tenant=tx.tenant, slot=slot, failures=1).on_conflict_do_nothing()
        tx.connection.execute(first)


def succeed(tx: Tx, user: bytes, verified: str, upgraded: str | None) -> bool:
    """Ends the row of failures, and stores the upgraded hash if there is one.

    False when `verified` is no longer the stored hash or the password was disabled meanwhile: whoever proved the old
    password while it was being reset must not get in after the reset ended every session.
    """
    done = tx.connection.execute(
        sa.update(passwords)
        .where(passwords.c.tenant == tx.tenant, passwords.c.user_id == user)
        .where(passwords.c.hash == verified, passwords.c.disabled_at.is_(None))
        .values(failures=0, hash=upgraded or verified)
    )
    return bool(done.rowcount)


def replace(tx: Tx, user: bytes, hash_: str) -> None:
    """A new password: enabled, no failures. Forgets the devices that knew the old one."""
    fields = {"hash": hash_, "changed_at": tx.now, "failures": 0, "disabled_at": None}
    mine = sa.and_(passwords.c.tenant == tx.tenant, passwords.c.user_id == user)
    if not tx.connection.execute(sa.update(passwords).where(mine).values(**fields)).rowcount:
        tx.connection.execute(sa.insert(passwords).values(tenant=tx.tenant, user_id=user, **fields))
    tx.connection.execute(sa.delete(devices).where(devices.c.tenant == tx.tenant, devices.c.user_id == user))


def keep_device(tx: Tx, digest: bytes, user: bytes, until: int) -> None:
    """Lets a known device be known until `until` (microseconds)."""
    tx.connection.execute(
        sa.update(devices)
        .where(devices.c.tenant == tx.tenant, devices.c.digest == digest, devices.c.user_id == user)
        .values(seen_at=tx.now, expires_at=until)
    )


def add_device(tx: Tx, digest: bytes, user: bytes, until: int, agent: str | None) -> None:
    """Remembers a device of an account."""
    fields = {"created_at": tx.now, "seen_at": tx.now, "expires_at": until, "agent": (agent or "")[:400] or None}
    tx.connection.execute(sa.insert(devices).values(tenant=tx.tenant, digest=digest, user_id=user, **fields))


def forget_devices(tx: Tx, limit: int = 1000) -> int:
    """Deletes up to `limit` devices that are not known any more; how many."""
    old = sa.select(devices.c.digest).where(devices.c.tenant == tx.tenant, devices.c.expires_at < tx.now).limit(limit)
    gone = sa.delete(devices).where(devices.c.tenant == tx.tenant, devices.c.digest.in_(old))
    return tx.connection.execute(gone).rowcount


def _login_row(*columns: Any) -> LoginRow:
    user, kind, user_disabled, hash_, password_disabled, verified, device = columns
    return LoginRow(user, kind, user_disabled, hash_, password_disabled, bool(verified), bool(device))


_proved = identifiers.alias("proved")
_VERIFIED = sa.exists(
    sa.select(_proved.c.value)
    .where(_proved.c.tenant == users.c.tenant, _proved.c.user_id == users.c.id)
    .where(_proved.c.kind == "email", _proved.c.verified_at.is_not(None))
).label("verified")
_STATE = [users.c.id, users.c.kind, users.c.disabled_at, passwords.c.hash, passwords.c.disabled_at, _VERIFIED]
_PASSWORD = sa.and_(passwords.c.tenant == users.c.tenant, passwords.c.user_id == users.c.id)
_KNOWN = sa.exists(
    sa.select(devices.c.digest)
    .where(devices.c.tenant == users.c.tenant, devices.c.user_id == users.c.id)
    .where(devices.c.digest == sa.bindparam("device"), devices.c.expires_at > sa.bindparam("now"))
).label("device")

_FIND = (
    sa.select(*_STATE, _KNOWN)
    .select_from(identifiers)
    .join(users, sa.and_(users.c.tenant == identifiers.c.tenant, users.c.id == identifiers.c.user_id))
    .outerjoin(passwords, _PASSWORD)
    .where(identifiers.c.tenant == sa.bindparam("tenant"))
    .where(identifiers.c.kind == sa.bindparam("kind"), identifiers.c.value == sa.bindparam("value"))
)
_OF_USER = (
    sa.select(*_STATE)
    .outerjoin(passwords, _PASSWORD)
    .where(users.c.tenant == sa.bindparam("tenant"), users.c.id == sa.bindparam("user"))
)
