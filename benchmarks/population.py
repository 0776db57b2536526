"""An Admit with many live credentials, put there in bulk: what takes an hour one by one takes a second."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import Any, Literal

import sqlalchemy as sa

from admit import Admit
from admit.credentials.grants import SIGN_IN, SIGN_IN_ID
from admit.credentials.mint import Access, Mint
from admit.crypto.opaque import KeyParts, SessionParts, api_key_format, session_format, sha256
from admit.ground.principal import Method
from admit.ground.work import Tx
from admit.stores.sql import schema

Kind = Literal["session", "access_token", "api_key"]
KINDS: tuple[Kind, ...] = ("access_token", "session", "api_key")
SCOPES = {"read:posts": "Read posts", "write:posts": "Write posts"}
ROLES = {"member": ("read:posts", "write:posts")}
_BATCH = 5000
_YEAR = 365 * 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class People:
    """`user` owns every credential; `texts` are the credentials of each kind."""

    user: bytes
    texts: dict[Kind, list[str]]


def quick_admit(database: str = "sqlite://", **options: Any) -> Admit:
    """Settings of the benchmarks: limits in memory and far away, so that they are counted but never met."""
    doors = dict.fromkeys(("login", "login_address", "register", "forgot", "waits_from"), 10**6)
    limits = {"store": "memory", **doors}
    given: dict[str, Any] = {
        "scopes": SCOPES,
        "roles": ROLES,
        "default_roles": ("member",),
        "limits": limits,
        "api_keys": {"limit": 10**6, "max_per_owner": 10**8},
    }
    return Admit(database=database, **{**given, **options})


async def populate(auth: Admit, count: int, kinds: Sequence[Kind] = KINDS) -> People:
    """`count` live credentials of each kind, all of one new person."""
    await auth.open()
    user = auth.rooms.kit.new_id()
    await auth.rooms.kit.work.write(lambda tx: _insert(tx, schema.users, [_person(tx, user)]))
    return People(user, {kind: await _credentials(auth, user, kind, count) for kind in kinds})


async def accounts(auth: Admit, names: Sequence[str], password: str) -> None:
    """Accounts with a username and an address of each name, all with one password."""
    await auth.open()
    stored = await auth.rooms.pool.hash(password)

    def body(tx: Tx) -> None:
        people = [(auth.rooms.kit.new_id(), name) for name in names]
        _insert(tx, schema.users, [_person(tx, user) for user, _ in people])
        rows = [(user, kind, value) for user, name in people for kind, value in _identifiers(name)]
        _insert(
            tx,
            schema.identifiers,
            [
                {
                    "user_id": user,
                    "kind": kind,
                    "value": value,
                    "shown": value,
                    "created_at": tx.now,
                    "verified_at": tx.now,
                }
                for user, kind, value in rows
            ],
        )
        _insert(tx, schema.passwords, [{"user_id": user, "hash": stored, "changed_at": tx.now} for user, _ in people])

    await auth.rooms.kit.work.write(body)


def _identifiers(name: str) -> tuple[tuple[str, str], tuple[str, str]]:
    return ("username", name), ("email", f"{name}@example.com")


async def _credentials(auth: Admit, user: bytes, kind: Kind, count: int) -> list[str]:
    texts: list[str] = []
    while len(texts) < count:
        wanted = min(_BATCH, count - len(texts))
        if kind == "access_token":
            grants = await auth.rooms.kit.work.write(partial(_grants, auth, user, wanted))
            texts += [await _token(auth, user, grant) for grant in grants]
        else:
            make = _sessions if kind == "session" else _keys
            texts += await auth.rooms.kit.work.write(partial(make, auth, user, wanted))
    return texts


def _person(tx: Tx, user: bytes) -> dict[str, Any]:
    return {"id": user, "kind": "user", "name": "Ann", "roles": "member", "profile": {}, "created_at": tx.now}


def _sessions(auth: Admit, user: bytes, count: int, tx: Tx) -> list[str]:
    shape = session_format(auth.settings.brand)
    rows, texts = [], []
    for identifier, secret in _fresh(auth, count):
        rows.append(_lives(tx) | {"id": identifier, "user_id": user, "digest": sha256(secret), "idle": _YEAR})
        texts.append(shape.issue(SessionParts(tx.tenant, identifier, secret).pack()))
    _insert(tx, schema.sessions, rows)
    return texts


def _keys(auth: Admit, user: bytes, count: int, tx: Tx) -> list[str]:
    shape = api_key_format(auth.settings.brand, "p", auth.settings.api_keys.environment)
    keys, digests, texts = [], [], []
    for identifier, secret in _fresh(auth, count):
        text = shape.issue(KeyParts(tx.tenant, identifier, secret).pack())
        fixed = {"name": "CI/CD", "environment": auth.settings.api_keys.environment, "scopes": "read:posts"}
        keys.append({"id": identifier, "user_id": user, "hint": text[-4:], "created_at": tx.now} | fixed)
        digests.append({"digest": sha256(secret), "key_id": identifier, "created_at": tx.now})
        texts.append(text)
    _insert(tx, schema.api_keys, keys)
    _insert(tx, schema.api_key_secrets, digests)
    return texts


def _grants(auth: Admit, user: bytes, count: int, tx: Tx) -> list[bytes]:
    identifiers = [identifier for identifier, _ in _fresh(auth, count)]
    fixed = {"user_id": user, "client_id": SIGN_IN, "kind": "login"}
    _insert(tx, schema.grants, [_lives(tx) | fixed | {"id": identifier} for identifier in identifiers])
    return identifiers


async def _token(auth: Admit, user: bytes, grant: bytes) -> str:
    now = auth.rooms.kit.clock.now()
    access = Access(
        "user", user, grant, SIGN_IN_ID, frozenset(SCOPES), (Method("pwd", now),), now, secrets.token_hex(11)
    )
    return await Mint(auth.settings, auth.rooms.signing_keys).access_token(access)


def _lives(tx: Tx) -> dict[str, Any]:
    return {"created_at": tx.now, "seen_at": tx.now, "expires_at": tx.now + _YEAR, "methods": f"pwd@{tx.now}"}


def _fresh(auth: Admit, count: int) -> Iterator[tuple[bytes, bytes]]:
    kit = auth.rooms.kit
    return islice(iter(lambda: (kit.new_id(), kit.random(32)), None), count)


def _insert(tx: Tx, table: sa.Table, rows: list[dict[str, Any]]) -> None:
    tx.connection.execute(sa.insert(table), [{"tenant": tx.tenant} | row for row in rows])


#: an access token must outlive the run
LONG_TOKENS: dict[str, Any] = {"tokens": {"access_for": timedelta(hours=6)}}
