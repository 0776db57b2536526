"""Sessions, grants and refreshing against the shipped suites: the decision table on three engines, the races among processes on two."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from admit.stores.sql.database import open_database
from admit.testing.clock import ManualClock
from admit.testing.credential_rooms import CredentialRooms, rooms_on
from admit.testing.credential_suite import CredentialContract
from admit.testing.refresh_suite import RefreshContract, RefreshRaces
from admit.testing.store_racers import Racers
from tests.parts.postgres import TempPostgres
from tests.parts.stores import migrate

ONCE = [pytest.mark.proof("ASVS-2.3.4", "ASVS-15.4.2"), pytest.mark.rfc("RFC 9700 4.14.2")]


@pytest.fixture(scope="session")
def pg_template(postgres: TempPostgres) -> str:
    return postgres.template("migrated_refresh", migrate)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def _migrated(url: str) -> str:
    database = open_database(url, ManualClock(), secrets.token_bytes)
    await database.migrate()
    await database.close()
    return url


class TestSQLite(RefreshContract, CredentialContract):
    pytestmark = ONCE

    @pytest.fixture
    async def rooms(self, tmp_path: Path, clock: ManualClock) -> AsyncIterator[CredentialRooms]:
        async with rooms_on(await _migrated(f"sqlite:///{tmp_path / 'admit.sqlite3'}"), clock) as rooms:
            yield rooms


class TestSQLiteInMemory(RefreshContract, CredentialContract):
    pytestmark = ONCE

    @pytest.fixture
    async def rooms(self, clock: ManualClock) -> AsyncIterator[CredentialRooms]:
        database = open_database("sqlite://", clock, secrets.token_bytes)
        await database.migrate()
        rooms = await CredentialRooms(database, clock).open()
        yield rooms
        await rooms.close()


class TestPostgreSQL(RefreshContract, CredentialContract):
    pytestmark = ONCE

    @pytest.fixture
    async def rooms(self, pg_database: str, clock: ManualClock) -> AsyncIterator[CredentialRooms]:
        async with rooms_on(pg_database, clock) as rooms:
            yield rooms


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    with Racers(4) as running:
        yield running


class OnSQLite:
    @pytest.fixture
    async def url(self, tmp_path: Path) -> str:
        return await _migrated(f"sqlite:///{tmp_path / 'admit.sqlite3'}")


class OnPostgreSQL:
    @pytest.fixture
    def url(self, pg_database: str) -> str:
        return pg_database


class TestSQLiteRaces(OnSQLite, RefreshRaces):
    pytestmark = ONCE


class TestPostgreSQLRaces(OnPostgreSQL, RefreshRaces):
    pytestmark = ONCE


class SwappedWrong(RefreshRaces):
    EXCHANGE = "tests.contract.wrong_refresh:race"


class _TheSuiteCatchesASwapThatReadsChecksAndWrites:
    async def test_it_forks(self, url: str, racers: Racers) -> None:
        with pytest.raises(AssertionError, match=r"successors|somebody was refused"):
            await SwappedWrong().test_a_hundred_exchanges_of_one_token_have_one_successor(url, racers)


class TestWrongOnSQLite(OnSQLite, _TheSuiteCatchesASwapThatReadsChecksAndWrites):
    pass


class TestWrongOnPostgreSQL(OnPostgreSQL, _TheSuiteCatchesASwapThatReadsChecksAndWrites):
    pass
