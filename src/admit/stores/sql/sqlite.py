"""SQLite: one writer thread with one connection, read-only readers, group commit.

BEGIN IMMEDIATE always: a deferred transaction that upgrades fails at once when another process writes, whatever
busy_timeout says. Each body has its own SAVEPOINT, so one that raises takes only itself back.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from admit.ground.errors import AdmitError, Unavailable
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.stores.sql.scribe import AfterCommit, Scribe

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection

    from admit.stores.sql.joined import Joined

T = TypeVar("T")
QUEUE = 2000
GROUP = 64
READERS = 4
BUSY = 5.0  # seconds to wait for another process's write

Body = Callable[[Tx], Any]
Group = list[tuple[Body, Future[Any]]]


class Outcome(NamedTuple):
    """What became of one body: its result and voids, or what it raised."""

    result: Any = None
    voids: Sequence[tuple[Tie, int]] = ()
    error: BaseException | None = None


class SQLite:
    """One file, any number of processes on one host (write-ahead log), every commit on disk before its answer."""

    dialect = "sqlite"

    def __init__(self, url: str, scribe: Scribe) -> None:
        self.url = url
        self._scribe = scribe
        self._path = url.removeprefix("sqlite://").removeprefix("/") if url != "sqlite://" else ""
        self._memory = self._path in ("", ":memory:")
        if not self._memory:
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
        self._bodies: queue.Queue[tuple[Body, Future[Any]] | None] = queue.Queue(QUEUE)
        self._engine = self._make_engine()
        self._readers = ThreadPoolExecutor(READERS, "admit-sqlite-read")
        # a thread of its own: the feed must not wait behind a crowd of readers, or their crowd would be a 503 for all
        self._watcher = ThreadPoolExecutor(1, "admit-sqlite-watch")
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()
        self._reading = 0
        self._closed = False

    def on_commit(self, hear: AfterCommit) -> None:
        self._scribe.listen(hear)

    async def write(self, body: Callable[[Tx], T]) -> T:
        # the shield: a client that goes away must not leave the caller's view and the database disagreeing
        return await asyncio.shield(asyncio.wrap_future(self._submit(body)))

    async def read(self, body: Callable[[Tx], T]) -> T:
        if self._memory:
            return await self.write(body)
        with self._lock:
            if self._closed or self._reading >= QUEUE:
                raise Unavailable("database")
            self._reading += 1
            reading = self._readers.submit(self._read, body)
        try:
            return await asyncio.wrap_future(reading)
        finally:
            with self._lock:
                self._reading -= 1

    async def migrate(self) -> None:
        from admit.stores.sql.migrations import upgrade

        def run(tx: Tx) -> None:
            upgrade(tx.connection)

        await asyncio.wrap_future(self._submit(run))

    async def changes(self) -> int | None:
        if self._memory:
            return None
        return await asyncio.wrap_future(self._submit_watch(self._data_version))

    async def watch(self, body: Callable[[Tx], T]) -> tuple[T, int]:
        if self._memory:
            return await self.write(body), 0
        return await asyncio.wrap_future(self._submit_watch(lambda: self._read(body))), 0

    def joined(self, connection: Connection | AsyncConnection) -> Joined:
        if self._memory:
            raise AdmitError("joined: a database in memory has one connection, and it is ours")
        # SQLAlchemy's asynchronous side is loaded where it is used: a start on SQLite needs none of it
        from admit.stores.sql.joined import Joined

        return Joined(self._scribe, self.dialect, connection)

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    # -- the writer ------------------------------------------------------------------------------------------------

    def _submit(self, body: Callable[[Tx], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise Unavailable("database")
            if self._writer is None:
                self._writer = threading.Thread(target=self._write_loop, name="admit-sqlite-write", daemon=True)
                self._writer.start()
            try:
                self._bodies.put_nowait((body, future))
            except queue.Full:
                raise Unavailable("database") from None
        return future

    def _write_loop(self) -> None:
        connection: Connection | None = None
        while (first := self._bodies.get()) is not None:
            group = [first, *self._more()]
            bodies = [entry for entry in group if entry is not None]
            try:
                connection = connection or self._engine.connect()
                outcomes = self._write_group(connection, bodies)
            except Exception as error:
                # a database in memory lives as long as its connection
                connection = connection if self._memory else self._drop(connection)
                self._fail(bodies, error)
            else:
                self._committed(bodies, outcomes)
            if None in group:
                break
        if connection is not None:
            connection.close()

    def _more(self) -> list[tuple[Body, Future[Any]] | None]:
        group: list[tuple[Body, Future[Any]] | None] = []
        while len(group) < GROUP - 1:
            try:
                group.append(self._bodies.get_nowait())
            except queue.Empty:
                break
            if group[-1] is None:
                break
        return group

    def _write_group(self, connection: Connection, group: Group) -> list[Outcome]:
        with connection.begin():
            return [self._write_one(connection, body) for body, _ in group]

    def _write_one(self, connection: Connection, body: Body) -> Outcome:
        try:
            with connection.begin_nested():
                result, tx = self._scribe.run(connection, body)
        except BaseException as error:
            # after some failures SQLite has rolled back everything: what follows would run outside any transaction
            if _is_store_failure(error) or not _in_transaction(connection):
                raise
            return Outcome(error=error)
        return Outcome(result, tx.voids)

    def _committed(self, group: Group, outcomes: list[Outcome]) -> None:
        self._scribe.committed([void for outcome in outcomes for void in outcome.voids])
        for (_, future), outcome in zip(group, outcomes, strict=True):
            _settle(future, outcome)

    @staticmethod
    def _drop(connection: Connection | None) -> None:
        if connection is not None:
            connection.invalidate()
            connection.close()

    @staticmethod
    def _fail(group: Group, error: Exception) -> None:
        for _, future in group:
            unavailable = Unavailable("database")
            unavailable.__cause__ = error
            _settle(future, Outcome(error=unavailable))

    # -- readers ---------------------------------------------------------------------------------------------------

    def _read(self, body: Callable[[Tx], T]) -> T:
        connection: Connection | None = getattr(self._local, "connection", None)
        try:
            if connection is None:
                connection = self._local.connection = self._engine.connect()
                connection.exec_driver_sql("PRAGMA query_only=ON")
                connection.commit()
                self._opened.append(connection)
            with connection.begin():
                return self._scribe.run(connection, body)[0]
        except sa.exc.DBAPIError as error:
            if not _is_store_failure(error):
                raise
            self._local.connection = self._drop(connection)
            raise Unavailable("database") from error

    def _data_version(self) -> int:
        # in a transaction of its own: one that is open already sees no change
        return self._read(lambda tx: int(tx.connection.exec_driver_sql("PRAGMA data_version").scalar_one()))

    def _submit_watch(self, ask: Callable[[], T]) -> Future[T]:
        with self._lock:
            if self._closed:
                raise Unavailable("database")
            return self._watcher.submit(ask)

    def _close(self) -> None:
        with self._lock:
            already, self._closed = self._closed, True
        if already:
            return
        if self._writer is not None:
            self._bodies.put(None)
            self._writer.join()
        for pool in (self._readers, self._watcher):
            pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        self._engine.dispose()

    # -- connections -----------------------------------------------------------------------------------------------

    def _make_engine(self) -> Engine:
        engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=NullPool)

        @sa.event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            # readers are query_only: BEGIN IMMEDIATE there would take the write lock
            reading = getattr(self._local, "connection", None) is connection
            connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

        return engine

    def _connect(self) -> sqlite3.Connection:
        raw = sqlite3.connect(
            ":memory:" if self._memory else self._path,
            timeout=BUSY, isolation_level=None, check_same_thread=False, cached_statements=512,
        )  # fmt: skip
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY"):
            raw.execute(f"PRAGMA {pragma}")
        return raw


#: result codes of SQLite that say nothing about the statement, only about the file, the disk or other processes
_STORE_FAILURES = frozenset({
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_NOTADB,
})  # fmt: skip


def _is_store_failure(error: BaseException) -> bool:
    # the low byte is the primary code; extended ones such as SQLITE_BUSY_SNAPSHOT add to it
    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code is not None and code & 0xFF in _STORE_FAILURES


def _in_transaction(connection: Connection) -> bool:
    return bool(getattr(connection.connection.dbapi_connection, "in_transaction", False))


def _settle(future: Future[Any], outcome: Outcome) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.result)
