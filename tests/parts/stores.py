"""Stores for tests: a migrated database of each engine, and stand-ins that are down or that meet at a barrier."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from admit.ground.clock import Clock, SystemClock
from admit.ground.errors import Unavailable
from admit.ground.work import Tx, Work
from admit.stores.sql.database import Database, open_database

T = TypeVar("T")


def migrate(url: str) -> None:
    """Brings a database to the present schema, for `TempPostgres.template`."""

    async def run() -> None:
        database = open_database(url, SystemClock(), secrets.token_bytes)
        try:
            await database.migrate()
        finally:
            await database.close()

    asyncio.run(run())


async def opened(url: str, clock: Clock, random: Callable[[int], bytes] = secrets.token_bytes) -> Database:
    """A store; an SQLite one is migrated here."""
    database = open_database(url, clock, random)
    if database.dialect == "sqlite":
        await database.migrate()
    return database


class Switch:
    """A unit of work that can be switched off: then it raises `Unavailable`."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.down = False
        self.writes = 0

    async def write(self, body: Callable[[Tx], T]) -> T:
        if self.down:
            raise Unavailable("database")
        self.writes += 1
        return await self.work.write(body)

    async def read(self, body: Callable[[Tx], T]) -> T:
        if self.down:
            raise Unavailable("database")
        return await self.work.read(body)


class Meeting:
    """A unit of work whose first write waits until `parties` of them have come that far: all have read the same."""

    def __init__(self, work: Work, barrier: asyncio.Barrier) -> None:
        self.work = work
        self._barrier = barrier
        self._met = False

    async def write(self, body: Callable[[Tx], T]) -> T:
        if not self._met:
            self._met = True
            await self._barrier.wait()
        return await self.work.write(body)

    async def read(self, body: Callable[[Tx], T]) -> T:
        return await self.work.read(body)


class Turns:
    """A pause that lasts until the test says `go`: each wait of the loop is one turn."""

    def __init__(self) -> None:
        self.waits: list[float] = []
        self._waiting = asyncio.Event()
        self._go = asyncio.Event()

    async def __call__(self, wake: asyncio.Event, seconds: float) -> None:
        self.waits.append(seconds)
        self._go.clear()
        self._waiting.set()
        either = [asyncio.ensure_future(event.wait()) for event in (self._go, wake)]
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiter in either:
                waiter.cancel()

    async def reached(self) -> None:
        """Until the loop waits."""
        await self._waiting.wait()

    async def go(self) -> None:
        """Lets the loop make one round, and returns when it waits again."""
        await self.reached()
        self._waiting.clear()
        self._go.set()
        await self.reached()


def rows(tx: Tx, statement: Any) -> list[Any]:
    """All rows of a statement."""
    return list(tx.connection.execute(statement).all())
