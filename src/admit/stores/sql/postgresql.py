"""PostgreSQL: READ COMMITTED, one transaction per unit of work, retried once where the server asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from admit.ground.errors import Unavailable
from admit.ground.work import Tx
from admit.stores.sql.joined import Joined
from admit.stores.sql.scribe import AfterCommit, Scribe

T = TypeVar("T")
POOL = 10
OVERFLOW = 10
WAIT = 2.0  # seconds to wait for a free connection before 503
STATEMENT = 5.0  # seconds that one statement may take
WATCH = 0.7  # seconds that a poll may take
SLACK = 1.0  # seconds after which a server that should have given up counts as gone
#: 08 connection, 28 we are not let in, 3D no such database, 53 out of resources, 57 shutdown or timeout, 58 system;
#: beside them 25006: a standby answered, 55000: the database accepts no connections
GONE = frozenset({"08", "28", "3D", "53", "57", "58"})
RETRY = frozenset({"40001", "40P01"})  # serialization failure, deadlock


class PostgreSQL:
    """One primary; replicas are never read, since a replica may not know yet what has been revoked."""

    dialect = "postgresql"

    def __init__(self, url: str, scribe: Scribe) -> None:
        self.url = url
        self._scribe = scribe
        self._engine = _engine(url, STATEMENT, pool_size=POOL, max_overflow=OVERFLOW, pool_timeout=WAIT)
        self._watch_engine = _engine(url, WATCH, pool_size=1, max_overflow=0, pool_timeout=WATCH)
        self._watched_by = 0
        self._closed = False
        self._writing: set[asyncio.Task[Any]] = set()
        sa.event.listen(self._watch_engine.sync_engine, "connect", self._count_connection)

    def on_commit(self, hear: AfterCommit) -> None:
        self._scribe.listen(hear)

    async def write(self, body: Callable[[Tx], T]) -> T:
        if self._closed:
            raise Unavailable("database")
        # the shield: a client that goes away must not cut the transaction, nor lose its after-commit step
        task = asyncio.get_running_loop().create_task(self._write(body), name="admit-write")
        # the loop itself holds tasks weakly: one that nobody awaits any more could vanish half-way
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
        return await asyncio.shield(task)

    async def read(self, body: Callable[[Tx], T]) -> T:
        if self._closed:
            raise Unavailable("database")
        result, _ = await self._run(body)
        return result

    async def watch(self, body: Callable[[Tx], T]) -> tuple[T, int]:
        if self._closed:
            raise Unavailable("database")
        async with _failing_closed(), asyncio.timeout(WATCH + SLACK / 2), self._watch_engine.begin() as connection:
            result, _ = await connection.run_sync(lambda sync: self._scribe.run(sync, body))
        return result, self._watched_by

    async def migrate(self) -> None:
        from admit.stores.sql.migrations import upgrade

        def run(tx: Tx) -> None:
            tx.connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": 0x61646D6974})
            upgrade(tx.connection)

        await self._write(run)

    async def changes(self) -> int | None:
        return None

    def joined(self, connection: Connection | AsyncConnection) -> Joined:
        return Joined(self._scribe, self.dialect, connection)

    async def close(self) -> None:
        self._closed = True
        loop = asyncio.get_running_loop()
        if mine := [task for task in self._writing if task.get_loop() is loop]:
            await asyncio.wait(mine)
        await self._engine.dispose()
        await self._watch_engine.dispose()

    async def _write(self, body: Callable[[Tx], T]) -> T:
        result, tx = await self._run(body)
        self._scribe.committed(tx.voids)
        return result

    async def _run(self, body: Callable[[Tx], T]) -> tuple[T, Tx]:
        try:
            return await self._once(body)
        except sa.exc.DBAPIError as error:
            if _state(error) not in RETRY:
                raise
        try:
            return await self._once(body)
        except sa.exc.DBAPIError as error:
            if _state(error) not in RETRY:
                raise
            raise Unavailable("database") from error

    async def _once(self, body: Callable[[Tx], T]) -> tuple[T, Tx]:
        def run(connection: Connection) -> tuple[T, Tx]:
            return self._scribe.run(connection, body)

        async with _failing_closed(), self._engine.begin() as connection:
            return await connection.run_sync(run)

    def _count_connection(self, *_: object) -> None:
        self._watched_by += 1


@asynccontextmanager
async def _failing_closed() -> AsyncIterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        if _is_store_failure(error):
            raise Unavailable("database") from error
        raise
    # asyncpg's own: what goes wrong while connecting reaches us as the driver raised it
    except (sa.exc.TimeoutError, OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable("database") from error


def _engine(url: str, statement: float, **pool: Any) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        isolation_level="READ COMMITTED",
        pool_pre_ping=False,
        connect_args={
            "timeout": min(WAIT, statement),
            # the server's own timeout comes first; this one is for a server that does not answer at all
            "command_timeout": statement + SLACK,
            "server_settings": {
                "application_name": "admit", "statement_timeout": str(int(statement * 1000)), "timezone": "UTC",
                "synchronous_commit": "on",
            },
        },
        **pool,
    )  # fmt: skip


def _state(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")


def _is_store_failure(error: sa.exc.DBAPIError) -> bool:
    state = _state(error)
    return error.connection_invalidated or not state or state[:2] in GONE or state in {"25006", "55000"}
