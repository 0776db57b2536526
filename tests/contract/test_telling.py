"""The feed as it is told to services without our database, on both engines."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from admit.credentials.live.telling import CURSOR, Teller
from admit.ground.clock import SECOND
from admit.ground.kit import Kit
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.settings import Settings
from admit.stores.sql import feed as rows
from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock

GRANT, SESSION, USER = Tie("grant", b"g" * 16), Tie("session", b"s" * 16), Tie("user", b"u" * 16)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def database(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    here = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'admit.sqlite3'}" if here else request.getfixturevalue("pg_empty")
    opened = open_database(url, clock, secrets.token_bytes)
    await opened.migrate()
    yield opened
    await opened.close()


@pytest.fixture
def teller(database: Database, clock: ManualClock) -> Teller:
    return Teller(Kit(database, clock), Settings.model_validate({}))


async def void(database: Database, *ties: Tie, version: int = 2) -> None:
    def body(tx: Tx) -> None:
        for tie in ties:
            tx.void(tie, version)

    await database.write(body)


async def test_each_void_is_told_once_and_sessions_never(
    database: Database, teller: Teller, clock: ManualClock
) -> None:
    first = await teller.since(None)
    assert re.match(CURSOR, first.cursor)
    assert not first.reset
    await void(database, GRANT, SESSION)
    then = await teller.since(first.cursor)
    assert then.voids == [(GRANT, 2)]
    assert then.now == clock.now()
    assert (await teller.since(then.cursor)).voids == []
    await void(database, USER)
    assert [void.tie for void in (await teller.since(then.cursor)).voids] == [USER]
    # a beginner hears of all that may still matter, and of nothing that cannot
    assert {void.tie for void in (await teller.since(None)).voids} == {GRANT, USER}
    assert then.keep == 20 * 60 * SECOND
    clock.advance(timedelta(minutes=21))
    assert (await teller.since(None)).voids == []


async def test_a_cursor_of_another_database_begins_anew_and_says_so(database: Database, teller: Teller) -> None:
    await void(database, GRANT)
    before = await teller.since(None)
    await database.write(lambda tx: rows.identify(tx, "after a fence"))
    after = await teller.since(before.cursor)
    assert after.reset
    assert [void.tie for void in after.voids] == [GRANT]
    assert not (await teller.since(after.cursor)).reset
    assert (await teller.since(f"{'0' * 16}.999999999999999999")).reset
