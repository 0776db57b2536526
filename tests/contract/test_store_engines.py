"""What only one engine can do to us: locks of others, full disks, broken files, lost and silent connections."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from admit.ground.errors import Unavailable
from admit.ground.work import Tx
from admit.stores.sql import feed, postgresql, schema, sqlite
from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock
from admit.testing.store_suite import TIE, leave_traces, names, put
from tests.parts.looking import pause
from tests.parts.postgres import TempPostgres
from tests.parts.processes import children
from tests.parts.stores import migrate

CLOSED = pytest.mark.proof("ASVS-16.5.2", "ASVS-16.5.3")
PATIENCE = 500  # looks, 10 ms apart


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = open_database(url, ManualClock(), secrets.token_bytes)
    try:
        yield database
    finally:
        await database.close()


async def until(ready: Callable[[], bool]) -> None:
    for _ in range(PATIENCE):
        if ready():
            return
        await pause()
    raise AssertionError("it did not come to that")


async def works_again(database: Database, name: str) -> None:
    for _ in range(PATIENCE):
        try:
            await database.write(lambda tx: put(tx, name))
        except Unavailable:
            await pause()
        else:
            break
    assert name in await database.read(names)


# -- SQLite --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "admit.sqlite3"
    async with opened(f"sqlite:///{path}") as database:
        await database.migrate()
    return path


class Held:
    """A body that keeps the writer until it is let go."""

    def __init__(self) -> None:
        self.reached, self.go = threading.Event(), threading.Event()

    def __call__(self, tx: Tx) -> None:
        put(tx, "held")
        self.reached.set()
        assert self.go.wait(20)


async def test_a_reader_sees_what_is_committed_only(file: Path) -> None:
    async with opened(f"sqlite:///{file}") as database:
        held = Held()
        writing = asyncio.create_task(database.write(held))
        await until(held.reached.is_set)
        assert await database.read(names) == set()
        assert (await database.watch(names))[0] == set()
        held.go.set()
        await writing
        assert await database.read(names) == {"held"}


@CLOSED
async def test_a_full_queue_refuses_at_once_and_loses_nobody_who_waits(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "QUEUE", 3)
    async with opened(f"sqlite:///{file}") as database:
        held = Held()
        first = asyncio.create_task(database.write(held))
        await until(held.reached.is_set)
        waiting = [asyncio.create_task(database.write(lambda tx, n=n: put(tx, f"waited {n}"))) for n in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await database.write(lambda tx: put(tx, "one too many"))
        held.go.set()
        await asyncio.gather(first, *waiting)
        assert await database.read(names) == {"held", "waited 0", "waited 1", "waited 2"}


@CLOSED
async def test_a_crowd_of_readers_is_bounded_and_does_not_hold_up_the_feed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "QUEUE", 6)
    async with opened(f"sqlite:///{file}") as database:
        go = threading.Event()
        readers = [asyncio.create_task(database.read(lambda tx: go.wait(20))) for _ in range(6)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await database.read(names)
        assert (await database.watch(names))[0] == set()
        assert await database.changes() is not None
        go.set()
        await asyncio.gather(*readers)
        assert await database.read(names) == set()


@CLOSED
async def test_a_lock_of_another_process_that_outlasts_our_patience_is_unavailable(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY", 0.05)
    async with opened(f"sqlite:///{file}") as database:
        await database.write(lambda tx: put(tx, "before"))
        other = sqlite3.connect(file, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        got = await asyncio.gather(
            *(database.write(lambda tx, n=n: put(tx, f"during {n}")) for n in range(3)), return_exceptions=True
        )
        assert all(isinstance(error, Unavailable) for error in got)
        assert await database.read(names) == {"before"}
        other.execute("ROLLBACK")
        other.close()
        await works_again(database, "after")
        assert await database.read(names) == {"before", "after"}


@CLOSED
@pytest.mark.parametrize("where", ["file", "memory"])
async def test_a_full_disk_takes_the_whole_group_back_and_not_the_store(where: str, file: Path) -> None:
    async with opened("sqlite://" if where == "memory" else f"sqlite:///{file}") as database:
        await database.migrate()
        await database.write(lambda tx: put(tx, "before"))

        def limit(tx: Tx) -> int:
            pages = int(tx.connection.exec_driver_sql("PRAGMA page_count").scalar_one())
            return int(tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 20}").scalar_one())

        await database.write(limit)
        got = await asyncio.gather(
            *(database.write(lambda tx, n=n: put(tx, f"big {n}", "x" * 40_000)) for n in range(8)),
            return_exceptions=True,
        )
        kept = {f"big {n}" for n, error in enumerate(got) if error is None}
        assert kept != {f"big {n}" for n in range(8)}
        assert all(isinstance(error, Unavailable) for error in got if error is not None)
        # what was acknowledged is there, and nothing of what was refused
        assert await database.read(names) == {"before"} | kept
        if where == "memory":
            await database.write(lambda tx: tx.connection.exec_driver_sql("PRAGMA max_page_count=1000000").scalar())
        await works_again(database, "after")


@CLOSED
async def test_a_broken_file_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "admit.sqlite3"
    path.write_bytes(b"this is no database at all" * 1000)
    async with opened(f"sqlite:///{path}") as database:
        for verb in (database.read(names), database.write(names), database.watch(names), database.changes()):
            with pytest.raises(Unavailable):
                await verb


@CLOSED
async def test_a_body_that_ends_the_transaction_itself_is_not_acknowledged(file: Path) -> None:
    """After some failures SQLite has rolled back by itself; the bodies after it must not run unprotected."""
    async with opened(f"sqlite:///{file}") as database:
        held = Held()

        def breaks(tx: Tx) -> None:
            put(tx, "lost")
            tx.connection.exec_driver_sql("ROLLBACK")
            raise ValueError

        first = asyncio.create_task(database.write(held))
        await until(held.reached.is_set)
        others = [asyncio.create_task(database.write(body)) for body in (breaks, lambda tx: put(tx, "after it"))]
        await asyncio.sleep(0)
        held.go.set()
        await first
        assert all(isinstance(error, Unavailable) for error in await asyncio.gather(*others, return_exceptions=True))
        assert await database.read(names) == {"held"}


async def test_closing_waits_for_the_bodies_that_are_queued(file: Path) -> None:
    async with opened(f"sqlite:///{file}") as database:
        held = Held()
        first = asyncio.create_task(database.write(held))
        await until(held.reached.is_set)
        queued = [asyncio.create_task(database.write(lambda tx, n=n: put(tx, str(n)))) for n in range(5)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
        held.go.set()
        await asyncio.gather(first, *queued, closing)
    async with opened(f"sqlite:///{file}") as database:
        assert await database.read(names) == {"held", "0", "1", "2", "3", "4"}


async def test_four_stores_open_one_empty_file_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'admit.sqlite3'}"
    stores = [open_database(url, ManualClock(), secrets.token_bytes) for _ in range(4)]
    await asyncio.gather(*(store.migrate() for store in stores))
    identities = {(await store.watch(lambda tx: feed.poll(tx, 0)))[0].identity for store in stores}
    assert len(identities) == 1
    for store in stores:
        await store.close()


async def test_readers_cannot_write(file: Path) -> None:
    async with opened(f"sqlite:///{file}") as database:
        for read in (database.read, database.watch):
            with pytest.raises((Unavailable, sa.exc.OperationalError)):
                await read(lambda tx: put(tx, "by a reader"))
        assert await database.read(names) == set()


# -- PostgreSQL ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def pg_template(postgres: TempPostgres) -> str:
    return postgres.template("migrated_store", migrate)


def lock(tx: Tx, key: int) -> None:
    tx.connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})


@asynccontextmanager
async def locked(url: str, key: int) -> AsyncIterator[None]:
    """Holds an advisory lock, so that bodies of others can be made to wait."""
    engine = sa.ext.asyncio.create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as connection:
        await connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": key})
        yield
        await connection.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": key})
    await engine.dispose()


async def test_postgresql_a_reader_sees_what_is_committed_only(pg_database: str) -> None:
    async with opened(pg_database) as database:

        def slow(tx: Tx) -> None:
            leave_traces(tx, "held")
            lock(tx, 1)

        async with locked(pg_database, 1):
            writing = asyncio.create_task(database.write(slow))
            assert await database.read(names) == set()
            polled, _ = await database.watch(lambda tx: feed.poll(tx, 0))
            assert list(polled.rows) == []
            assert not writing.done()
        await writing
        assert await database.read(names) == {"held"}


@CLOSED
async def test_postgresql_more_bodies_than_connections_wait_and_then_give_up(
    pg_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("POOL", 1), ("OVERFLOW", 1), ("WAIT", 0.2)):
        monkeypatch.setattr(postgresql, name, value)
    async with opened(pg_database) as database:
        await asyncio.gather(*(database.read(names) for _ in range(2)))
        async with locked(pg_database, 1):
            held = [asyncio.create_task(database.write(lambda tx: lock(tx, 1))) for _ in range(2)]
            await _wait_for_locks(database, 2)
            with pytest.raises(Unavailable):
                await database.write(lambda tx: put(tx, "one too many"))
            # the feed has a connection of its own, so that a crowd does not run the lease out
            await database.watch(names)
        await asyncio.gather(*held)
        assert await database.read(names) == set()


@CLOSED
async def test_postgresql_a_statement_that_takes_too_long_is_unavailable(
    pg_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT", 0.1)
    async with opened(pg_database) as database:

        def slow(tx: Tx) -> None:
            put(tx, "lost")
            lock(tx, 1)

        async with locked(pg_database, 1):
            with pytest.raises(Unavailable):
                await database.write(slow)
        await works_again(database, "after")
        assert await database.read(names) == {"after"}


async def test_postgresql_a_deadlock_is_tried_again_and_both_get_through(pg_database: str) -> None:
    async with opened(pg_database) as database:
        for name in ("a", "b"):
            await database.write(lambda tx, name=name: put(tx, name))
        tries: list[str] = []

        def body(*order: str) -> Callable[[Tx], None]:
            def run(tx: Tx) -> None:
                tries.append("".join(order))
                for number, name in enumerate(order):
                    where = schema.meta.c.name == f"suite:{name}"
                    tx.connection.execute(sa.update(schema.meta).where(where).values(value="".join(order)))
                    if number == 0 and len(tries) <= 2:
                        # each holds its first row before either asks for its second
                        tx.connection.execute(sa.text("SELECT pg_sleep(0.2)"))

            return run

        await asyncio.gather(database.write(body("a", "b")), database.write(body("b", "a")))
        assert len(tries) == 3


@CLOSED
async def test_postgresql_connections_that_were_cut_cost_one_answer(postgres: TempPostgres, pg_database: str) -> None:
    async with opened(pg_database) as database:
        await asyncio.gather(*(database.read(names) for _ in range(4)))
        first = (await database.watch(names))[1]
        postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'admit'")
        await works_again(database, "after")
        for _ in range(3):
            try:
                second = (await database.watch(names))[1]
            except Unavailable:
                continue
            break
        # a poll on another connection says so: it begins anew
        assert second > first


@CLOSED
async def test_postgresql_a_database_that_lets_nobody_in_is_unavailable(
    postgres: TempPostgres, pg_database: str
) -> None:
    name = pg_database.rpartition("/")[2]
    async with opened(pg_database) as database:
        await database.read(names)
        postgres.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            postgres.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'admit'")
            for verb in (database.read, database.write, database.watch) * 2:
                with pytest.raises(Unavailable):
                    await verb(names)
        finally:
            postgres.sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        await works_again(database, "after")


@CLOSED
@pytest.mark.postgres
async def test_postgresql_a_server_that_hangs_is_unavailable_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "STATEMENT", 0.3)
    monkeypatch.setattr(postgresql, "SLACK", 0.3)
    server = TempPostgres().start()
    try:
        await asyncio.to_thread(migrate, server.url())
        async with opened(server.url()) as database:
            await asyncio.gather(database.read(names), database.watch(names))
            processes = [_pid(server), *children(_pid(server))]
            _signal(processes, signal.SIGSTOP)
            try:
                started = asyncio.get_running_loop().time()
                for verb in (database.read(names), database.watch(names)):
                    with pytest.raises(Unavailable):
                        await verb
                assert asyncio.get_running_loop().time() - started < 30
            finally:
                _signal(processes, signal.SIGCONT)
            await works_again(database, "after")
    finally:
        server.stop()


@CLOSED
async def test_postgresql_a_standby_is_never_believed(pg_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_POSTGRESQL", sa.text(feed._POSTGRESQL.text.replace("pg_is_in_recovery()", "true")))
    async with opened(pg_database) as database:
        with pytest.raises(Unavailable):
            await database.watch(lambda tx: feed.poll(tx, 0))


async def test_postgresql_the_poll_misses_nothing_that_commits_late(pg_database: str) -> None:
    """A sequence number alone would: the transaction that took it first commits last."""
    async with opened(pg_database) as database, opened(pg_database) as other:

        def slow(tx: Tx) -> None:
            feed.insert(tx, [(TIE, 5)], tx.now + 10**12)
            lock(tx, 1)

        async with locked(pg_database, 1):
            writing = asyncio.create_task(other.write(slow))
            await _wait_for_locks(database, 1)
            for version in (6, 7):
                later = TIE._replace(id=bytes([version]) * 16)
                await database.write(lambda tx, tie=later, n=version: tx.void(tie, n))
            polled, _ = await database.watch(lambda tx: feed.poll(tx, 0))
            assert sorted(row.version for row in polled.rows) == [6, 7]
        await writing
        then, _ = await database.watch(lambda tx: feed.poll(tx, polled.horizon))
        assert 5 in [row.version for row in then.rows]
        highest = await database.read(
            lambda tx: tx.connection.execute(sa.text("SELECT seq FROM admit_voids ORDER BY xid LIMIT 1")).scalar_one()
        )
        assert highest == 1, "the row that came late did not have the lowest number; the test shows nothing"


async def _wait_for_locks(database: Database, number: int) -> None:
    waits = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    for _ in range(PATIENCE):
        if (await database.watch(lambda tx: tx.connection.execute(waits).scalar()))[0] == number:
            return
        await pause()
    raise AssertionError("nobody waits")


def _pid(server: TempPostgres) -> int:
    return int((server.folder / "data" / "postmaster.pid").read_text().split("\n")[0])


def _signal(processes: list[int], number: signal.Signals) -> None:
    for pid in processes:
        os.kill(pid, number)
