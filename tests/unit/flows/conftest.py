"""A house on SQLite in memory and on PostgreSQL: each test of flows and accounts runs on both."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock
from tests.house import House, fill, settings
from tests.parts.postgres import TempPostgres

Build = Callable[..., Awaitable[House]]


@pytest.fixture(scope="session")
def pg_template(postgres: TempPostgres) -> str:
    return postgres.template("migrated", fill)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest) -> str:
    return "sqlite://" if request.param == "sqlite" else str(request.getfixturevalue("pg_database"))


@pytest.fixture
async def database(url: str, clock: ManualClock) -> AsyncIterator[Database]:
    store = open_database(url, clock, secrets.token_bytes)
    if url == "sqlite://":
        await store.migrate()
    yield store
    await store.close()


@pytest.fixture
async def build(database: Database, clock: ManualClock) -> AsyncIterator[Build]:
    """`await build(require_verified=True, parts={"profile": Model})`: a house with these settings."""
    houses: list[House] = []

    async def make(parts: dict[str, Any] | None = None, **overrides: Any) -> House:
        houses.append(House(database, clock, settings(**overrides), **(parts or {})))
        return await houses[-1].open()

    yield make
    for house in houses:
        await house.close()


@pytest.fixture
async def house(build: Build) -> House:
    """A house with the settings as they are."""
    return await build()
