"""The life of a key and of a ticket on each engine: the same answers from SQLite's file, its memory and PostgreSQL."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from admit.credentials.api_keys import Changes, Created, KeyRow
from admit.credentials.tickets import TicketRow, Tickets, TicketUsed
from admit.credentials.usage import Usage
from admit.ground.errors import Refused
from admit.ground.kit import Kit
from admit.ground.principal import Facts, Tie
from admit.settings import Settings
from admit.stores.sql import claims
from admit.stores.sql.database import open_database
from admit.testing.clock import ManualClock
from admit.testing.key_suite import ALL, add_key, add_owner, keys_of

HOUR = timedelta(hours=1)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def _kit(url: str, clock: ManualClock) -> AsyncIterator[Kit]:
    database = open_database(url, clock, secrets.token_bytes)
    await database.migrate()
    yield Kit(database, clock)
    await database.close()


class Life:
    async def test_a_key_from_its_creation_to_its_last_trace(self, kit: Kit, clock: ManualClock) -> None:
        keys, work = keys_of(kit), kit.work
        person = await add_owner(kit, "writer")
        robot = await add_owner(kit, "editor", "service", person)
        created = await add_key(kit, robot, "read:posts", "write:posts")
        key = created.row.id
        facts = await keys.verify(created.key)
        assert isinstance(facts, Facts)
        assert facts.scopes == {"read:posts", "write:posts"}
        assert dict(facts.ties)[Tie("user", person)] == 1

        changes = Changes("renamed", frozenset({"read:posts"}), clock.now() + 10**12, (9, 10**6), disabled=False)
        changed = await work.write(lambda tx: keys.change(tx, robot, key, changes, ALL))
        assert isinstance(changed, KeyRow)
        assert changed == (await work.read(lambda tx: keys.list(tx, robot)))[0]
        assert (changed.name, changed.scopes, changed.limit) == ("renamed", "read:posts", (9, 10**6))
        assert changed.version == 2

        rotated = await work.write(lambda tx: keys.rotate(tx, robot, key, ALL, HOUR))
        assert isinstance(rotated, Created)
        assert rotated.row.old_until == clock.now() + 3_600_000_000
        for text in (created.key, rotated.key):
            assert isinstance(await keys.verify(text), Facts)

        usage = Usage(work, clock)
        usage.note(key, "2001:db8::1")
        await usage.flush()
        usage.note(key, None)
        usage.note(kit.new_id(), None)
        await usage.close()
        row = await work.read(lambda tx: keys.get(tx, robot, key))
        assert row is not None
        assert (row.uses, row.last_used_at, row.last_address) == (2, clock.now(), None)

        assert isinstance(await work.write(lambda tx: keys.revoke(tx, robot, key, ALL)), KeyRow)
        assert await keys.verify(rotated.key) == Refused("api_key.revoked")
        clock.advance(timedelta(days=91))
        assert await work.write(keys.forget) == 2
        assert await keys.verify(rotated.key) == Refused("api_key.unknown")
        assert await work.read(lambda tx: keys.list(tx, robot, revoked=True)) == []

    async def test_a_ticket_from_its_issue_to_its_last_trace(self, kit: Kit, clock: ManualClock) -> None:
        tickets, work = Tickets(kit, Settings()), kit.work
        user, grant = await add_owner(kit), kit.new_id()
        data = {"nested": [1, None, "ä\u0001"]}
        old = await work.write(lambda tx: tickets.issue(tx, "reset", user, data, HOUR))
        assert await work.write(lambda tx: tickets.void_all(tx, "reset", user)) == 1
        text = await work.write(lambda tx: tickets.issue(tx, "reset", user, data, HOUR))
        seen = await work.read(lambda tx: tickets.peek(tx, "reset", text))
        taken = await work.write(lambda tx: tickets.take(tx, "reset", text, grant))
        assert isinstance(seen, TicketRow)
        assert (seen.data, seen.user_id) == (data, user)
        assert taken == seen._replace(taken_at=clock.now(), taken_for=grant)
        assert await work.write(lambda tx: tickets.take(tx, "reset", text, None)) == TicketUsed(
            "ticket.used", taken_for=grant
        )
        assert await work.write(lambda tx: tickets.take(tx, "reset", old)) == Refused("ticket.expired")
        clock.advance(timedelta(days=2))
        assert await work.write(tickets.forget) == 2

    async def test_a_claim(self, kit: Kit, clock: ManualClock) -> None:
        until = clock.now()
        got = [await kit.work.write(lambda tx: claims.claim(tx, "jti", until)) for _ in range(2)]
        clock.advance(timedelta(microseconds=1))
        got.append(await kit.work.write(lambda tx: claims.claim(tx, "jti", until)))
        assert got == [True, False, True]
        assert await kit.work.write(claims.forget) == 1


class TestSQLite(Life):
    @pytest.fixture
    async def kit(self, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Kit]:
        async for kit in _kit(f"sqlite:///{tmp_path / 'admit.sqlite3'}", clock):
            yield kit


class TestSQLiteInMemory(Life):
    @pytest.fixture
    async def kit(self, clock: ManualClock) -> AsyncIterator[Kit]:
        async for kit in _kit("sqlite://", clock):
            yield kit


class TestPostgreSQL(Life):
    @pytest.fixture
    async def kit(self, pg_database: str, clock: ManualClock) -> AsyncIterator[Kit]:
        async for kit in _kit(pg_database, clock):
            yield kit
