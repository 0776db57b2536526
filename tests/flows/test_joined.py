"""Account verbs inside the application's own transaction, on both engines, and its tables beside ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from admit import Admit, AdmitError, Refusal
from admit.audit.reading import list_events
from admit.flows.joined import JoinedAccounts, NewPerson
from admit.ground.events import Via
from admit.stores.sql import schema
from admit.stores.sql.migrations import VERSION_TABLE, current, head, include_name, include_object
from tests.flows.stand import PASSWORD, RIGHTS, Mailbox

ALICE = NewPerson("alice", "alice@example.test", PASSWORD)
OWN = sa.MetaData()
#: the application's own: a row for each customer, who is one of our accounts
CUSTOMERS = sa.Table(
    "customers",
    OWN,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.Integer, nullable=False, default=1),
    sa.Column("account", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(["tenant", "account"], ["admit_users.tenant", "admit_users.id"], ondelete="CASCADE"),
)
# for metadata of the application's own the referenced table is a name
sa.Table(
    "admit_users",
    OWN,
    sa.Column("tenant", sa.Integer, primary_key=True),
    sa.Column("id", sa.LargeBinary, primary_key=True),
)


class Shop:
    """An application with its own engine on the database of its Admit."""

    def __init__(self, auth: Admit, engine: sa.Engine | AsyncEngine) -> None:
        self.auth = auth
        self.engine = engine

    async def inside(self, work: Callable[[JoinedAccounts, Any], Any]) -> Any:
        """`work(accounts, run)` in one transaction of the application; `run` executes its own statement."""
        if isinstance(self.engine, AsyncEngine):
            async with self.engine.begin() as connection:
                return await work(self.auth.joined(connection), connection.execute)
        with self.engine.begin() as connection:

            async def run(statement: Any, *more: Any) -> Any:
                return connection.execute(statement, *more)

            return await work(self.auth.joined(connection), run)

    async def outside(self, statement: Any) -> list[Any]:
        """What is committed."""
        if isinstance(self.engine, AsyncEngine):
            async with self.engine.connect() as connection:
                return list((await connection.execute(statement)).all())
        with self.engine.connect() as connection:
            return list(connection.execute(statement).all())

    async def setup(self, make: Callable[[Connection], Any]) -> Any:
        """Something on a plain connection, committed."""
        if isinstance(self.engine, AsyncEngine):
            async with self.engine.begin() as connection:
                return await connection.run_sync(make)
        with self.engine.begin() as connection:
            return make(connection)


def admit(url: str, folder: Path, **options: Any) -> Admit:
    return Admit(
        database=url, run_directory=folder, passwords={"hash": "cheap"}, mailer=Mailbox(), **{**RIGHTS, **options}
    )


@contextlib.asynccontextmanager
async def shop(url: str, folder: Path) -> AsyncIterator[Shop]:
    engine: sa.Engine | AsyncEngine
    if url.startswith("sqlite"):
        engine = sa.create_engine(url)
    else:
        engine = create_async_engine(make_url(url).set(drivername="postgresql+asyncpg"))
    auth = admit(url, folder)
    async with auth.lifespan():
        running = Shop(auth, engine)
        await running.setup(CUSTOMERS.create)
        try:
            yield running
        finally:
            await engine.dispose() if isinstance(engine, AsyncEngine) else engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
async def running(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    """The application, with a sync connection to SQLite or an async one to PostgreSQL."""
    here = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'shop.sqlite3'}" if here else request.getfixturevalue("pg_empty")
    async with shop(url, tmp_path / "run") as opened:
        yield opened


def customer(account: bytes, plan: str = "small") -> sa.Insert:
    return sa.insert(CUSTOMERS).values(tenant=1, account=account, plan=plan)


async def counted(running: Shop) -> dict[str, int]:
    """Rows that are committed: accounts, the application's own, jobs, and events of registrations."""
    tables = {"accounts": schema.users, "customers": CUSTOMERS, "jobs": schema.jobs}
    found = {
        name: (await running.outside(sa.select(sa.func.count()).select_from(table)))[0][0]
        for name, table in tables.items()
    }
    page = await list_events(running.auth.rooms.kit.work, limit=200)
    return found | {"events": len([row for row in page.events if row.type == "account.registered"])}


NONE = {"accounts": 0, "customers": 0, "jobs": 0, "events": 0}


@pytest.mark.proof("ASVS-2.3.3", "ASVS-15.4.2")
async def test_the_account_and_the_applications_row_are_there_together_or_not_at_all(running: Shop) -> None:
    # the runner must not take the job before it is counted
    await running.auth.rooms.jobs.close()

    async def order(accounts: JoinedAccounts, run: Any) -> str:
        alice = await accounts.create(ALICE)
        await run(customer(alice.id))
        assert (await accounts.get(alice.shown)).username == "alice"
        return alice.shown

    async def and_fails(accounts: JoinedAccounts, run: Any) -> None:
        await order(accounts, run)
        raise RuntimeError("out of stock")

    with pytest.raises(RuntimeError):
        await running.inside(and_fails)
    assert await counted(running) == NONE
    shown = await running.inside(order)
    assert await counted(running) == {"accounts": 1, "customers": 1, "jobs": 1, "events": 1}
    # the account is one like any other
    principal = await running.auth.verify(await token(running))
    assert principal.subject.id == shown
    assert principal.scopes == {"read:posts", "read:profile"}


async def test_whoever_fails_first_takes_the_account_along(running: Shop) -> None:
    """Also where our verb comes before any statement of the application (see `stores/sql/joined`)."""

    async def twice(accounts: JoinedAccounts, run: Any) -> None:
        alice = await accounts.create(ALICE)
        await run(customer(alice.id))
        await run(customer(alice.id))

    with pytest.raises(sa.exc.IntegrityError):
        await running.inside(twice)
    assert await counted(running) == NONE


async def test_what_is_refused_has_written_nothing_and_the_transaction_goes_on(running: Shop) -> None:
    async def work(accounts: JoinedAccounts, run: Any) -> None:
        alice = await accounts.create(NewPerson("alice", "alice@example.test", verified=True, roles=("editor",)))
        assert (alice.email_verified, alice.roles) == (True, ("editor",))
        for person, code in (
            (NewPerson("alice"), "username_taken"),
            (NewPerson("bob", "alice@example.test"), "conflict"),
            (NewPerson("bob", password="short"), "password_too_short"),
            (NewPerson("not a name"), "invalid_input"),
            (NewPerson(), "invalid_input"),
            (NewPerson("bob", roles=("no-such",)), "invalid_input"),
            (NewPerson("bob", profile={"no_such": 1}), "invalid_input"),
        ):
            with pytest.raises(Refusal) as refused:
                await accounts.create(person)
            assert refused.value.code == code
        for verb in (accounts.get, accounts.disable, accounts.enable):
            for nobody in ("usr_x", "usr_" + 22 * "0"):
                with pytest.raises(Refusal) as refused:
                    await verb(nobody)
                assert refused.value.code == "not_found"
        await run(customer(alice.id))

    await running.inside(work)
    # the address was vouched for: no link to mail
    assert await counted(running) == {"accounts": 1, "customers": 1, "jobs": 0, "events": 1}


@pytest.mark.proof("ASVS-7.4.2")
async def test_a_disabled_account_is_dead_everywhere_once_the_application_commits(running: Shop) -> None:
    shown = await running.inside(lambda accounts, _: created(accounts))
    access = await token(running)
    elsewhere = admit(running.auth.settings.database, running.auth.settings.run_directory)
    async with elsewhere.lifespan():
        for auth in (running.auth, elsewhere):
            assert (await auth.verify(access)).subject.id == shown

        async def disabled_and_not(accounts: JoinedAccounts, _: Any) -> None:
            await accounts.disable(shown)
            raise RuntimeError

        with pytest.raises(RuntimeError):
            await running.inside(disabled_and_not)
        for auth in (running.auth, elsewhere):
            await auth.rooms.live.feed.poll()
            assert (await auth.verify(access)).subject.id == shown
        await running.inside(lambda accounts, _: accounts.disable(shown))
        for auth in (running.auth, elsewhere):
            await refused(auth, access)
        await running.inside(lambda accounts, _: accounts.enable(shown))
        await running.inside(lambda accounts, _: accounts.grant(shown, "editor"))
        for auth in (running.auth, elsewhere):
            await auth.rooms.live.feed.poll()
            assert "delete:posts" not in (await auth.verify(access)).scopes  # what the token was given is less
        again = await token(running)
        assert "delete:posts" in (await running.auth.verify(again)).scopes
        await running.inside(lambda accounts, _: accounts.revoke(shown, "editor"))
        await running.auth.rooms.live.feed.poll()
        assert "delete:posts" not in (await running.auth.verify(again)).scopes


async def refused(auth: Admit, access: str) -> None:
    """The token dies with the next poll, which nobody here asks for."""
    async with asyncio.timeout(2):
        while True:
            try:
                await auth.verify(access)
            except Refusal as refusal:
                reason = refusal.reason
                break
            await asyncio.to_thread(lambda: None)
    assert reason == "access.subject_disabled"


async def created(accounts: JoinedAccounts) -> str:
    return (await accounts.create(ALICE)).shown


async def token(running: Shop, name: str = "alice") -> str:
    signed_in = await running.auth.rooms.login.login(name, PASSWORD, "tokens", Via(address="203.0.113.7"))
    assert signed_in.delivered.access_token is not None
    return signed_in.delivered.access_token


async def test_a_deleted_account_takes_the_applications_row_along(running: Shop) -> None:
    async def order(accounts: JoinedAccounts, run: Any) -> bytes:
        alice = await accounts.create(ALICE)
        await run(customer(alice.id))
        return alice.id

    identifier = await running.inside(order)
    rooms = running.auth.rooms
    await rooms.kit.work.write(lambda tx: rooms.accounts.delete(tx, identifier, Via()))
    assert (await counted(running))["customers"] == 0


# -- the application's own migrations --------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")  # of the careless one below
async def test_the_applications_alembic_lives_beside_ours(running: Shop) -> None:
    target = sa.MetaData()
    for table in OWN.sorted_tables:
        table.to_metadata(target)
    sa.Table("orders", target, sa.Column("id", sa.Integer, primary_key=True))

    def migrate(connection: Connection) -> tuple[set[str], set[str], list[Any], list[Any]]:
        careless = MigrationContext.configure(connection)
        careful = MigrationContext.configure(
            connection, opts={"include_object": include_object, "include_name": include_name}
        )
        dropped = {change[1].name for change in compare_metadata(careless, target) if change[0] == "remove_table"}
        wanted = compare_metadata(careful, target)
        for change in wanted:
            assert change[0] == "add_table"
            change[1].create(connection)
        careful._ensure_version_table()
        connection.execute(sa.text("INSERT INTO alembic_version VALUES ('shop1')"))
        tables = set(sa.inspect(connection).get_table_names())
        return dropped, tables, [change[1].name for change in wanted], [current(connection), head()]

    dropped, tables, added, revisions = await running.setup(migrate)
    assert "admit_sessions" in dropped, "without include_object it would: this test can fail"
    assert added == ["orders"]
    assert {"admit_users", VERSION_TABLE, "alembic_version", "orders", "customers"} <= tables
    assert revisions[0] == revisions[1]
    # and ours goes on as if nobody were there
    await running.auth.rooms.database.migrate()
    assert await running.outside(sa.text("SELECT version_num FROM alembic_version")) == [("shop1",)]


# -- what cannot be joined -------------------------------------------------------------------------------------------


async def test_another_database_is_not_joined(tmp_path: Path) -> None:
    other = sa.create_engine(f"sqlite:///{tmp_path / 'other.sqlite3'}")
    memory = admit("sqlite://", tmp_path)
    far = admit("postgresql://nobody@127.0.0.1:1/nothing", tmp_path / "far")
    with other.connect() as connection:
        with pytest.raises(AdmitError, match="in memory"):
            memory.joined(connection)
        with pytest.raises(AdmitError, match="in postgresql"):
            far.joined(connection)
        here = admit(f"sqlite:///{tmp_path / 'shop.sqlite3'}", tmp_path / "here")
        with pytest.raises(AdmitError, match="AUTOCOMMIT"):
            here.joined(connection.execution_options(isolation_level="AUTOCOMMIT"))
    other.dispose()
    for auth in (memory, far, here):
        await auth.rooms.database.close()
