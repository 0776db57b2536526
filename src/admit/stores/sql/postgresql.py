"""PostgreSQL: READ COMMITTED, one transaction per unit of work, retried once where the server asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from admit.ground.errors import Unavailable
from admit.ground.work import Tx
from admit.stores.sql.scribe import AfterCommit, Scribe

T = TypeVar("T")
POOL = 10
OVERFLOW = 10
WAIT = 2.0  # seconds to wait for a free connection before 503
STATEMENT = 5000  # milliseconds that one statement may take
RETRY = frozenset({"40001", "40P01"})  # serialization failure, deadlock


class PostgreSQL:
    """One primary; replicas are never read, since a replica may not know yet what has been revoked."""

    dialect = "postgresql"

    def __init__(self, url: str, scribe: Scribe) -> None:
        self.url = url
        self._scribe = scribe
        self._hear: list[AfterCommit] = []
        self._engine = _engine(url)

    def on_commit(self, hear: AfterCommit) -> None:
        self._hear.append(hear)

    async def write(self, body: Callable[[Tx], T]) -> T:
        # the shield: a client that goes away must not cut the transaction, nor lose its after-commit step
        return await asyncio.shield(asyncio.ensure_future(self._write(body)))

    async def read(self, body: Callable[[Tx], T]) -> T:
        result, _ = await self._run(body)
        return result

    async def migrate(self) -> None:
        from admit.stores.sql.migrations import upgrade

        def run(tx: Tx) -> None:
            tx.connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": 0x61646D6974})
            upgrade(tx.connection)

        await self._write(run)

    async def changes(self) -> int | None:
        return None

    async def close(self) -> None:
        await self._engine.dispose()

    async def _write(self, body: Callable[[Tx], T]) -> T:
        result, tx = await self._run(body)
        if tx.voids:
            for hear in self._hear:
                hear(tx.voids)
        return result

    async def _run(self, body: Callable[[Tx], T]) -> tuple[T, Tx]:
        try:
            return await self._once(body)
        except sa.exc.DBAPIError as error:
            if _state(error) not in RETRY:
                raise
        return await self._once(body)

    async def _once(self, body: Callable[[Tx], T]) -> tuple[T, Tx]:
        def run(connection: Connection) -> tuple[T, Tx]:
            return self._scribe.run(connection, body)

        try:
            async with self._engine.begin() as connection:
                return await connection.run_sync(run)
        except sa.exc.DBAPIError as error:
            if _is_store_failure(error):
                raise Unavailable("database") from error
            raise
        except (sa.exc.TimeoutError, OSError, TimeoutError) as error:
            raise Unavailable("database") from error


def _engine(url: str) -> AsyncEngine:
    return create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"),
        isolation_level="READ COMMITTED",
        pool_size=POOL,
        max_overflow=OVERFLOW,
        pool_timeout=WAIT,
        pool_pre_ping=False,
        connect_args={
            "timeout": WAIT,
            "server_settings": {
                "application_name": "admit", "statement_timeout": str(STATEMENT), "timezone": "UTC",
                "synchronous_commit": "on",
            },
        },
    )  # fmt: skip


def _state(error: sa.exc.DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None) or "")


def _is_store_failure(error: sa.exc.DBAPIError) -> bool:
    state = _state(error)
    # 08 connection, 53 out of resources, 57 shutdown or timeout, 58 system, 25006 a standby answered
    return error.connection_invalidated or not state or state[:2] in {"08", "53", "57", "58"} or state == "25006"
