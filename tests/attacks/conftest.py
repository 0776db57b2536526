"""A running application on each engine, and requests to it that no HTTP client would send."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from admit import Admit
from admit.testing.clock import ManualClock
from tests.attacks.wire import Wire
from tests.flows.stand import RIGHTS, WIDE, Stand, in_process
from tests.parts.postgres import TempPostgres
from tests.parts.stores import migrate

Make = Callable[..., contextlib.AbstractAsyncContextManager[Stand]]


@pytest.fixture
def clock() -> ManualClock:
    """Time that moves when a test says so."""
    return ManualClock()


@pytest.fixture
def make(clock: ManualClock) -> Make:
    """`async with make(…options)`: the application in FastAPI, on a database in memory unless told otherwise."""

    def start(**options: Any) -> contextlib.AbstractAsyncContextManager[Stand]:
        given: dict[str, Any] = {"database": "sqlite://", "passwords": {"hash": "cheap"}, "limits": WIDE, **RIGHTS}
        return in_process("fastapi", Admit(clock=clock, **{**given, **options}), clock)

    return start


@pytest.fixture
async def stand(make: Make) -> AsyncIterator[Stand]:
    """The application with its limits out of the way."""
    async with make() as running:
        yield running


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def wire(request: pytest.FixtureRequest, make: Make) -> AsyncIterator[Wire]:
    """The same on each engine, with raw requests to it and a look at its tables."""
    url = "sqlite://"
    async with contextlib.AsyncExitStack() as stack:
        if request.param == "postgresql":
            postgres: TempPostgres = request.getfixturevalue("postgres")
            template = await asyncio.to_thread(postgres.template, "attacks", migrate)
            url = stack.enter_context(postgres.database(template))
        running = await stack.enter_async_context(make(database=url))
        yield await Wire(running).prepared()
