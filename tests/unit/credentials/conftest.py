"""A store in memory with a clock that stands still, for whatever a caller presents."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from admit.ground.kit import Kit
from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def database(clock: ManualClock) -> AsyncIterator[Database]:
    opened = open_database("sqlite://", clock, secrets.token_bytes)
    await opened.migrate()
    yield opened
    await opened.close()


@pytest.fixture
def kit(database: Database, clock: ManualClock) -> Kit:
    return Kit(database, clock)
