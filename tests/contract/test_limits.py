"""Every store of limits against the shipped suites, on the real engines."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from admit.limits import LimitStore, MemoryLimits, SqlLimits, ValkeyLimits
from admit.stores.sql.database import open_database
from admit.stores.valkey import Valkey
from admit.testing.clock import ManualClock
from admit.testing.limit_racers import Opening
from admit.testing.limit_suite import LimitContract, LimitRaces
from tests.contract.wrong_limits import ReadThenWrite

RACE = pytest.mark.proof("ASVS-15.4.2", "ASVS-2.4.1")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


async def _sql(url: str, clock: ManualClock, kind: type[SqlLimits] = SqlLimits) -> AsyncIterator[LimitStore]:
    database = open_database(url, clock, secrets.token_bytes)
    await database.migrate()
    yield kind(database)
    await database.close()


async def _migrated(url: str) -> str:
    async for _ in _sql(url, ManualClock()):
        pass
    return url


def _file(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'limits.sqlite3'}"


class TestSQLite(LimitContract):
    @pytest.fixture
    async def limits(self, tmp_path: Path, clock: ManualClock) -> AsyncIterator[LimitStore]:
        async for store in _sql(_file(tmp_path), clock):
            yield store


class TestSQLiteInMemory(LimitContract):
    @pytest.fixture
    async def limits(self, clock: ManualClock) -> AsyncIterator[LimitStore]:
        async for store in _sql("sqlite://", clock):
            yield store


class TestPostgreSQL(LimitContract):
    @pytest.fixture
    async def limits(self, pg_database: str, clock: ManualClock) -> AsyncIterator[LimitStore]:
        async for store in _sql(pg_database, clock):
            yield store


class TestValkey(LimitContract):
    @pytest.fixture
    async def limits(self, valkey_url: str, clock: ManualClock) -> AsyncIterator[LimitStore]:
        store = ValkeyLimits(Valkey(valkey_url), clock, owned=True)
        yield store
        await store.close()


class TestMemory(LimitContract):
    @pytest.fixture
    def limits(self, clock: ManualClock) -> LimitStore:
        return MemoryLimits(clock)


@RACE
class TestSQLiteRaces(LimitRaces):
    @pytest.fixture
    async def opening(self, tmp_path: Path) -> Opening:
        return Opening("admit.testing.limit_racers:open_sql", (await _migrated(_file(tmp_path)),))


@RACE
class TestPostgreSQLRaces(LimitRaces):
    @pytest.fixture
    async def opening(self, pg_database: str) -> Opening:
        return Opening("admit.testing.limit_racers:open_sql", (await _migrated(pg_database),))


@RACE
class TestValkeyRaces(LimitRaces):
    @pytest.fixture
    def opening(self, valkey_url: str) -> Opening:
        return Opening("admit.testing.limit_racers:open_valkey", (valkey_url,))


class TestTheSuitesCatchAStoreThatReadsChecksAndWrites:
    async def test_among_processes(self, tmp_path: Path) -> None:
        opening = Opening("tests.contract.wrong_limits:open_wrong", (await _migrated(_file(tmp_path)),))
        with pytest.raises(AssertionError, match="hits allowed"):
            LimitRaces().test_processes_together_get_exactly_the_limit(opening)

    async def test_among_tasks_of_one_process(self, tmp_path: Path) -> None:
        async for store in _sql(_file(tmp_path), ManualClock(), ReadThenWrite):
            with pytest.raises(AssertionError):
                await LimitContract().test_tasks_of_one_process_get_exactly_the_limit(store)

    async def test_it_is_right_for_one_caller_at_a_time(self, tmp_path: Path) -> None:
        """So it is the race that the tests above see, and nothing simpler."""
        async for store in _sql(_file(tmp_path), ManualClock(), ReadThenWrite):
            await LimitContract().test_five_a_minute_allows_five_and_refuses_the_sixth(store)
