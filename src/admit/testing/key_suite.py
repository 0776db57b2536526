"""What API keys promise to callers in several processes at once, as a test class to inherit (pytest-asyncio).

`KeyRaces` needs the fixtures `url`: an empty, migrated database that several processes share, and `racers`: four
`Racers` that run. A subclass that names other racers holds another implementation to the same promise.
"""
# ruff: noqa: S101 (asserts are what a suite is made of)

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from admit.credentials.api_keys import ApiKeys, By, Created, Terms
from admit.credentials.usage import Usage
from admit.ground.errors import Refused
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.rights import Rights
from admit.settings import KeySettings, Settings
from admit.stores.sql import accounts, schema
from admit.testing.store_racers import Order, Racers
from admit.testing.ticket_suite import kit_on

SCOPES = {"read:posts": "Read posts", "write:posts": "Create and edit posts", "delete:posts": "Delete posts"}
ROLES = {"reader": ("read:posts",), "writer": ("read:posts", "write:posts"), "editor": tuple(SCOPES)}
RIGHTS = Rights(SCOPES, ROLES)
ALL = By(frozenset(SCOPES))
MOST = 5


def keys_of(kit: Kit) -> ApiKeys:
    """API keys under the suite's settings: at most five an owner."""
    return ApiKeys(kit, Settings(api_keys=KeySettings(max_per_owner=MOST)), RIGHTS)


async def add_owner(kit: Kit, roles: str = "editor", kind: str = "user", answers: bytes | None = None) -> bytes:
    """A new account; its id. `answers` is who answers for a service account."""
    row = accounts.UserRow(kit.new_id(), kind, 1, None, roles, {}, answers, kit.clock.now(), None)
    await kit.work.write(lambda tx: accounts.insert(tx, row, None, []))
    return row.id


async def add_key(kit: Kit, owner: bytes, *scopes: str) -> Created:
    """A new key of `owner`."""
    terms = Terms("race", frozenset(scopes or SCOPES))
    created = await kit.work.write(lambda tx: keys_of(kit).create(tx, owner, terms, ALL))
    assert isinstance(created, Created), created
    return created


async def rotate(kit: Kit, arguments: dict[str, Any]) -> str:
    """Rotates one key; its new text."""
    owner, key = bytes.fromhex(arguments["owner"]), bytes.fromhex(arguments["key"])
    rotated = await kit.work.write(lambda tx: keys_of(kit).rotate(tx, owner, key, ALL, timedelta(hours=1)))
    assert isinstance(rotated, Created), rotated
    return rotated.key


async def create(kit: Kit, arguments: dict[str, Any]) -> str:
    """Creates a key; what came of it."""
    terms = Terms("race", frozenset({"read:posts"}))
    got = await kit.work.write(lambda tx: keys_of(kit).create(tx, bytes.fromhex(arguments["owner"]), terms, ALL))
    return got.reason if isinstance(got, Refused) else "created"


async def revoke(kit: Kit, arguments: dict[str, Any]) -> str:
    """Revokes one key; what came of it."""
    owner, key = bytes.fromhex(arguments["owner"]), bytes.fromhex(arguments["key"])
    got = await kit.work.write(lambda tx: keys_of(kit).revoke(tx, owner, key, ALL))
    return got.reason if isinstance(got, Refused) else "revoked"


async def count(kit: Kit, arguments: dict[str, Any]) -> int:
    """Notes three uses of each key and writes them."""
    usage = Usage(kit.work, kit.clock)
    for key in arguments["keys"] * 3:
        usage.note(bytes.fromhex(key), "198.51.100.7")
    return await usage.flush()


class KeyRaces:
    """Keys that are read, checked and then written fail here."""

    ROTATE = f"{__name__}:rotate"

    async def test_rotations_at_once_end_with_two_live_secrets(self, url: str, racers: Racers) -> None:
        async with kit_on(url) as kit:
            owner = await add_owner(kit)
            first = await add_key(kit, owner)
            racers.open(url)
            order = Order(self.ROTATE, {"owner": owner.hex(), "key": first.row.id.hex()}, times=5)
            texts = [first.key, *racers.run(order)]
            got = [await keys_of(kit).verify(text) for text in texts]
            live = [facts for facts in got if not isinstance(facts, Refused)]
            assert len(live) == 2, f"{len(live)} of {len(texts)} secrets work"
            assert Counter(no.reason for no in got if isinstance(no, Refused)) == {"api_key.retired": 19}
            row = await kit.work.read(lambda tx: keys_of(kit).get(tx, owner, first.row.id))
            assert row is not None
            assert row.version == 21

    async def test_creations_at_once_stop_at_the_most_an_owner_may_have(self, url: str, racers: Racers) -> None:
        async with kit_on(url) as kit:
            owner = await add_owner(kit)
        racers.open(url)
        got = racers.run(Order(f"{__name__}:create", {"owner": owner.hex()}, times=5))
        assert Counter(got) == {"created": MOST, "api_key.too_many": 20 - MOST}

    async def test_one_of_many_revokes_a_key(self, url: str, racers: Racers) -> None:
        async with kit_on(url) as kit:
            owner = await add_owner(kit)
            key = (await add_key(kit, owner)).row.id
        racers.open(url)
        got = racers.run(Order(f"{__name__}:revoke", {"owner": owner.hex(), "key": key.hex()}, times=5))
        assert Counter(got) == {"revoked": 1, "api_key.not_found": 19}

    async def test_no_use_is_lost_and_one_racer_sees_a_key_wake_up(self, url: str, racers: Racers) -> None:
        async with kit_on(url) as kit:
            owner = await add_owner(kit)
            keys = [(await add_key(kit, owner)).row.id for _ in range(MOST)]
            await kit.work.write(_make_old)
            racers.open(url)
            racers.run(Order(f"{__name__}:count", {"keys": [key.hex() for key in keys]}, times=5))
            rows = await kit.work.read(lambda tx: keys_of(kit).list(tx, owner))
            woke = await kit.work.read(_woken)
        assert [row.uses for row in rows] == [3 * 20] * MOST
        assert woke == MOST


def _make_old(tx: Tx) -> None:
    tx.connection.execute(sa.update(schema.api_keys).values(created_at=0))


def _woken(tx: Tx) -> int:
    woke = sa.select(sa.func.count()).where(schema.events.c.type == "api_key.woke")
    return int(tx.connection.execute(woke).scalar_one())
