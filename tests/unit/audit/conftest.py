"""A migrated store of each engine, a manual clock, and a kit over both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from admit.ground.kit import Kit
from admit.stores.sql.database import Database
from admit.testing.clock import ManualClock
from tests.parts.postgres import TempPostgres
from tests.parts.stores import migrate, opened

Open = Callable[[], Awaitable[Database]]


@pytest.fixture(scope="session")
def pg_template(postgres: TempPostgres) -> str:
    return postgres.template("schema", migrate)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'admit.sqlite3'}"
    found: str = request.getfixturevalue("pg_database")
    return found


@pytest.fixture
async def another(url: str, clock: ManualClock) -> AsyncIterator[Open]:
    """Opens the same store once more, as another process would."""
    stores: list[Database] = []

    async def open_one() -> Database:
        stores.append(await opened(url, clock))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


@pytest.fixture
async def database(another: Open) -> Database:
    return await another()


@pytest.fixture
def kit(database: Database, clock: ManualClock) -> Kit:
    return Kit(database, clock)
