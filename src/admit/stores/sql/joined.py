"""A unit of work on somebody else's connection: account verbs inside the application's own transaction.

Nothing is committed here. Events, voids and jobs are written with the body, so they exist exactly when the application
commits; every process, this one included, hears of the voids with its next poll (within half a second).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from admit.ground.errors import AdmitError
from admit.ground.work import Tx
from admit.stores.sql.scribe import Scribe

T = TypeVar("T")


class Joined:
    """Runs bodies on `connection`, sync or async, which must be of the database that Admit uses.

    Errors of the database are SQLAlchemy's own, as for any statement of the application: its transaction, its retry.
    """

    def __init__(self, scribe: Scribe, dialect: str, connection: Connection | AsyncConnection) -> None:
        if connection.dialect.name != dialect:
            raise AdmitError(
                f"joined: the connection is to {connection.dialect.name}, and the accounts are in {dialect}"
            )
        if _options(connection).get("isolation_level") == "AUTOCOMMIT":
            raise AdmitError("joined: a connection in AUTOCOMMIT has no transaction to join")
        self._scribe = scribe
        self._connection = connection

    async def write(self, body: Callable[[Tx], T]) -> T:
        """Runs `body` inside the open transaction; a body that raises leaves it to the application to roll back."""
        connection = self._connection
        if isinstance(connection, AsyncConnection):
            return await connection.run_sync(lambda sync: self._run(sync, body))
        return self._run(connection, body)

    async def read(self, body: Callable[[Tx], T]) -> T:
        """The same; what the application has written but not committed is seen."""
        return await self.write(body)

    def _run(self, connection: Connection, body: Callable[[Tx], T]) -> T:
        if connection.dialect.name == "sqlite":
            _begin(connection)
        return self._scribe.run(connection, body)[0]


def _options(connection: Connection | AsyncConnection) -> Mapping[str, Any]:
    sync = connection.sync_connection if isinstance(connection, AsyncConnection) else connection
    return {} if sync is None else sync.get_execution_options()


def _begin(connection: Connection) -> None:
    """Python's sqlite3 begins a transaction with the first INSERT and not before. A savepoint would then be the
    outermost one, whose release commits: what the application rolls back later would be there for good.
    """
    if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
        # at once with the write lock: one that is upgraded later fails when somebody else has written meanwhile
        connection.exec_driver_sql("BEGIN IMMEDIATE")
