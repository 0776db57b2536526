"""SQLite: one writer thread with one connection, read-only readers, group commit.

BEGIN IMMEDIATE always: a deferred transaction that upgrades fails at once when another process writes, whatever
busy_timeout says. Each body has its own SAVEPOINT, so one that raises takes only itself back.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from admit.ground.errors import Unavailable
from admit.ground.work import Tx
from admit.stores.sql.scribe import AfterCommit, Scribe

T = TypeVar("T")
QUEUE = 2000
GROUP = 64
READERS = 4
BUSY = 5.0  # seconds to wait for another process's write

Body = Callable[[Tx], Any]


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
        self._hear: list[AfterCommit] = []
        self._bodies: queue.Queue[tuple[Body, Future[Any]] | None] = queue.Queue(QUEUE)
        self._engine = self._make_engine()
        self._readers = ThreadPoolExecutor(READERS, "admit-sqlite-read")
        self._local = threading.local()
        self._opened: list[Connection] = []
        self._writer: threading.Thread | None = None
        self._lock = threading.Lock()
        self._closed = False
        self._watch: sqlite3.Connection | None = None

    def on_commit(self, hear: AfterCommit) -> None:
        self._hear.append(hear)

    async def write(self, body: Callable[[Tx], T]) -> T:
        # the shield: a client that goes away must not leave the caller's view and the database disagreeing
        return await asyncio.shield(asyncio.wrap_future(self._submit(body)))

    async def read(self, body: Callable[[Tx], T]) -> T:
        if self._memory:
            return await self.write(body)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read, body)

    async def migrate(self) -> None:
        from admit.stores.sql.migrations import upgrade

        def run(tx: Tx) -> None:
            upgrade(tx.connection)

        await asyncio.wrap_future(self._submit(run))

    async def changes(self) -> int | None:
        if self._memory:
            return None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._data_version)

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
            try:
                connection = connection or self._engine.connect()
                self._write_group(connection, [entry for entry in group if entry is not None])
            except Exception as error:
                connection = self._drop(connection)
                self._fail([entry for entry in group if entry is not None], error)
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

    def _write_group(self, connection: Connection, group: list[tuple[Body, Future[Any]]]) -> None:
        with connection.begin():
            outcomes = [self._write_one(connection, body) for body, _ in group]
        voids = [void for _, tx, error in outcomes if error is None and tx is not None for void in tx.voids]
        if voids:
            for hear in self._hear:
                hear(voids)
        for (_, future), (result, _, error) in zip(group, outcomes, strict=True):
            if error is not None:
                _settle(future, error=error)
            else:
                _settle(future, result=result)

    def _write_one(self, connection: Connection, body: Body) -> tuple[Any, Tx | None, BaseException | None]:
        try:
            with connection.begin_nested():
                result, tx = self._scribe.run(connection, body)
        except sa.exc.OperationalError as error:
            if _is_store_failure(error):
                raise
            return None, None, error
        except BaseException as error:
            return None, None, error
        return result, tx, None

    @staticmethod
    def _drop(connection: Connection | None) -> None:
        if connection is not None:
            connection.invalidate()
            connection.close()

    @staticmethod
    def _fail(group: list[tuple[Body, Future[Any]]], error: Exception) -> None:
        cause = Unavailable("database") if isinstance(error, sa.exc.DBAPIError) else error
        for _, future in group:
            cause.__cause__ = error if cause is not error else None
            _settle(future, error=cause)

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
        except sa.exc.OperationalError as error:
            self._local.connection = self._drop(connection)
            raise Unavailable("database") from error

    def _data_version(self) -> int:
        with self._lock:
            try:
                if self._watch is None:
                    self._watch = sqlite3.connect(self._path, check_same_thread=False)
                return int(self._watch.execute("PRAGMA data_version").fetchone()[0])
            except sqlite3.Error as error:
                raise Unavailable("database") from error

    def _close(self) -> None:
        with self._lock:
            already, self._closed = self._closed, True
        if already:
            return
        if self._writer is not None:
            self._bodies.put(None)
            self._writer.join()
        self._readers.shutdown(wait=True)
        for connection in self._opened:
            connection.close()
        if self._watch is not None:
            self._watch.close()
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


def _is_store_failure(error: sa.exc.OperationalError) -> bool:
    text = str(error.orig)
    return any(word in text for word in ("locked", "disk", "unable to open", "readonly", "malformed", "full"))


def _settle(future: Future[Any], *, result: Any = None, error: BaseException | None = None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
