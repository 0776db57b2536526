"""The shipped suites of the store, on SQLite's file, its memory and PostgreSQL, alone and among processes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock
from admit.testing.store_racers import Racers
from admit.testing.store_suite import StoreContract, StoreRaces

WHOLE = pytest.mark.proof("ASVS-2.3.3")
RACE = pytest.mark.proof("ASVS-15.4.2", "ASVS-2.3.4")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def _opened(url: str, clock: ManualClock) -> AsyncIterator[Database]:
    database = open_database(url, clock, secrets.token_bytes)
    await database.migrate()
    yield database
    await database.close()


@WHOLE
class TestSQLite(StoreContract):
    @pytest.fixture
    async def database(self, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
        async for opened in _opened(f"sqlite:///{tmp_path / 'admit.sqlite3'}", clock):
            yield opened


@WHOLE
class TestSQLiteInMemory(StoreContract):
    @pytest.fixture
    async def database(self, clock: ManualClock) -> AsyncIterator[Database]:
        async for opened in _opened("sqlite://", clock):
            yield opened


@WHOLE
class TestPostgreSQL(StoreContract):
    @pytest.fixture
    async def database(self, pg_database: str, clock: ManualClock) -> AsyncIterator[Database]:
        async for opened in _opened(pg_database, clock):
            yield opened


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    with Racers(4) as running:
        yield running


async def migrated(url: str) -> str:
    async for _ in _opened(url, ManualClock()):
        pass
    return url


class OnSQLite:
    @pytest.fixture
    async def url(self, tmp_path: Path) -> str:
        return await migrated(f"sqlite:///{tmp_path / 'admit.sqlite3'}")


class OnPostgreSQL:
    @pytest.fixture
    async def url(self, pg_database: str) -> str:
        return await migrated(pg_database)


@RACE
class TestSQLiteRaces(OnSQLite, StoreRaces):
    pass


@RACE
class TestPostgreSQLRaces(OnPostgreSQL, StoreRaces):
    pass


class LedWrong(StoreRaces):
    LEAD = "tests.contract.wrong_store:lead"


class _TheSuiteCatchesWhatReadsChecksAndWrites:
    async def test_a_leader(self, url: str, racers: Racers) -> None:
        # on PostgreSQL the second insert may also break the primary key: that ends the racer's order with an error
        with pytest.raises((AssertionError, RuntimeError, sa.exc.IntegrityError)):
            await LedWrong().test_one_of_many_leads(url, racers)


class TestWrongOnSQLite(OnSQLite, _TheSuiteCatchesWhatReadsChecksAndWrites):
    pass
