"""Revocation, point by point: what one process has ended is dead in this one, at once or before its lease runs out.

Two `CredentialRooms` on one database stand for two processes: with one run directory on one host, with two on two.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from admit.credentials.live.feed import LEASE
from admit.credentials.live.hint import SharedHint
from admit.credentials.live.live import _MARK
from admit.credentials.live.voids import REMEMBER
from admit.ground.errors import Refusal, Unavailable
from admit.ground.events import Via
from admit.ground.principal import Facts, Tie
from admit.ground.work import Tx
from admit.settings import Settings, TokenSettings
from admit.stores.sql import accounts, feed, schema, sessions
from admit.testing.clock import ManualClock
from admit.testing.credential_rooms import CredentialRooms, rooms_on
from tests.parts.looking import pause
from tests.parts.postgres import TempPostgres
from tests.parts.stores import migrate

DEAD = pytest.mark.proof("ASVS-7.4.1", "ASVS-7.4.2")
CLOSED = pytest.mark.proof("ASVS-16.5.2", "ASVS-16.5.3")
TICK = timedelta(microseconds=1)
LEASED = timedelta(seconds=LEASE)


@pytest.fixture(scope="session")
def pg_template(postgres: TempPostgres) -> str:
    return postgres.template("migrated_revocation", migrate)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("pg_database")
        return found
    made = f"sqlite:///{tmp_path / 'admit.sqlite3'}"
    migrate(made)
    return made


@asynccontextmanager
async def process(url: str, clock: ManualClock, host: Path, **more: Any) -> AsyncIterator[CredentialRooms]:
    """One process on a host; its feed beats only when a request makes it."""
    hint = SharedHint(host / "feed", secrets.token_bytes)
    async with rooms_on(url, clock, hint=hint, **more) as rooms:
        rooms.feed.start = lambda: None  # type: ignore[method-assign]
        yield rooms


@pytest.fixture
async def here(url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[CredentialRooms]:
    async with process(url, clock, tmp_path / "host") as rooms:
        yield rooms


@pytest.fixture
async def beside(url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[CredentialRooms]:
    """The command line, or another worker, on the same host."""
    async with process(url, clock, tmp_path / "host") as rooms:
        yield rooms


@pytest.fixture
async def elsewhere(url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[CredentialRooms]:
    """A process on another host."""
    async with process(url, clock, tmp_path / "another host") as rooms:
        yield rooms


def known(rooms: CredentialRooms, kind: Any, text: str) -> Facts | None:
    """What may be served without asking anybody."""
    return rooms.live.at_hand(_MARK[kind], text.encode(), rooms.clock.now())


async def ask(rooms: CredentialRooms, kind: Any, text: str) -> Facts | str:
    """As the resolver does: what is at hand, or the truth; the reason when it is dead."""
    at_hand = known(rooms, kind, text)
    try:
        return at_hand if at_hand is not None else await rooms.live.facts(kind, text)
    except Refusal as refusal:
        return refusal.reason


async def lives(rooms: CredentialRooms, kind: Any, text: str) -> Facts:
    got = await ask(rooms, kind, text)
    assert isinstance(got, Facts), got
    return got


@contextmanager
def counted(*, only: str = "SELECT") -> Iterator[list[str]]:
    """The statements of every store that begin with a word."""
    said: list[str] = []

    def hear(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith(only):
            said.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", hear)


def end_session(rooms: CredentialRooms, user: bytes) -> Callable[[Tx], int]:
    return lambda tx: rooms.sessions.end_all(tx, user, Via())


def change(user: bytes, **values: Any) -> Callable[[Tx], None]:
    def body(tx: Tx) -> None:
        version = accounts.change(tx, user, **values)
        assert version is not None
        tx.void(Tie("user", user), version)

    return body


# -- 1, 2, 4: one statement, death is a join, each row has its version ----------------------------------------------


async def test_a_miss_costs_one_statement_and_a_hit_none(here: CredentialRooms) -> None:
    user = await here.add_person()
    signed_in, session = await here.sign_in(user), await here.start_session(user)
    for kind, text in (("session", session), ("access_token", signed_in.access_token)):
        with counted() as said:
            await lives(here, kind, text)
        assert len(said) == 1
        with counted(only="") as said:
            await lives(here, kind, text)
        assert said == []


@DEAD
async def test_one_row_of_a_person_kills_every_credential_of_theirs(
    here: CredentialRooms, beside: CredentialRooms
) -> None:
    user = await here.add_person()
    signed_in, session = await here.sign_in(user), await here.start_session(user)
    for rooms in (here, beside):
        await lives(rooms, "session", session)
        await lives(rooms, "access_token", signed_in.access_token)
    await beside.database.write(change(user, disabled_at=1))
    for rooms in (here, beside):
        assert await ask(rooms, "session", session) == "session.subject_disabled"
        assert await ask(rooms, "access_token", signed_in.access_token) == "access.subject_disabled"
    # no negative cache: whoever is enabled again is back at once
    await beside.database.write(change(user, disabled_at=None))
    for rooms in (here, beside):
        await lives(rooms, "session", session)


async def test_each_credential_hangs_on_all_that_it_depends_on(here: CredentialRooms) -> None:
    user = await here.add_person()
    session = await lives(here, "session", await here.start_session(user))
    token = await lives(here, "access_token", (await here.sign_in(user)).access_token)
    assert {tie.kind for tie, _ in session.ties} == {"session", "user", "tenant"}
    assert {tie.kind for tie, _ in token.ties} == {"grant", "user", "client", "kid", "tenant"}


# -- 3: a void decides nothing --------------------------------------------------------------------------------------


async def test_a_lost_role_costs_a_query_and_no_login(here: CredentialRooms, beside: CredentialRooms) -> None:
    user = await here.add_person("editor")
    session, signed_in = await here.start_session(user), await here.sign_in(user)
    assert len((await lives(here, "session", session)).scopes) == 3
    assert len((await lives(here, "access_token", signed_in.access_token)).scopes) == 3
    await beside.database.write(change(user, roles="reader"))
    assert (await lives(here, "session", session)).scopes == {"read:posts"}
    assert (await lives(here, "access_token", signed_in.access_token)).scopes == {"read:posts"}


async def test_doubled_late_and_wrong_voids_do_no_harm(here: CredentialRooms) -> None:
    user = await here.add_person()
    session = await here.start_session(user)
    facts = await lives(here, "session", session)
    generation = here.feed.generation
    here.feed.apply([(tie, version) for tie, version in facts.ties] * 2)
    here.feed.apply([(Tie("user", user), 0)])
    with counted() as said:
        assert await lives(here, "session", session) == facts
    assert said == []
    assert here.feed.generation == generation + 1
    here.feed.apply([(Tie("user", user), 99)])
    assert await lives(here, "session", session) == facts
    here.feed.apply([(Tie("user", b"somebody else!!!"), 99)])
    assert await lives(here, "session", session) == facts


# -- 5: the order of commits ----------------------------------------------------------------------------------------


@DEAD
@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_what_commits_late_is_not_missed(
    url: str, here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    """A long transaction takes its number first and commits last; a cursor over numbers would have passed it."""
    user, others = await here.add_person(), [await here.add_person() for _ in range(3)]
    session = await here.start_session(user)
    await lives(here, "session", session)
    engine = sa.ext.asyncio.create_async_engine(sa.make_url(url).set(drivername="postgresql+asyncpg"))
    async with engine.connect() as lock:
        await lock.execute(sa.text("SELECT pg_advisory_lock(7)"))

        def slow(tx: Tx) -> None:
            for identifier, version in sessions.end(tx, user, None, None):
                feed.insert(tx, [(Tie("session", identifier), version)], tx.now + 10**12)
            tx.connection.execute(sa.text("SELECT pg_advisory_xact_lock(7)"))

        ending = asyncio.create_task(elsewhere.database.write(slow))
        waits = sa.text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
        for _ in range(500):
            if await here.database.read(lambda tx: tx.connection.execute(waits).scalar()):
                break
            await pause()
        for other in others:
            await elsewhere.database.write(change(other, roles="reader"))
            await here.feed.poll()
        assert isinstance(await ask(here, "session", session), Facts)
        await lock.execute(sa.text("SELECT pg_advisory_unlock(7)"))
    await ending
    await engine.dispose()
    clock.advance(LEASED)
    assert await ask(here, "session", session) == "session.ended"


# -- 6: bootstrap ---------------------------------------------------------------------------------------------------


class Broken:
    """A database whose watcher fails as long as the test wants."""

    def __init__(self, rooms: CredentialRooms) -> None:
        self.down, self.polls = True, 0
        self._watch = rooms.database.watch
        rooms.database.watch = self  # type: ignore[method-assign, assignment]

    async def __call__(self, body: Callable[[Tx], Any]) -> tuple[Any, int]:
        self.polls += 1
        await asyncio.sleep(0)
        if self.down:
            raise Unavailable("database")
        return await self._watch(body)


@CLOSED
async def test_after_a_failed_poll_every_live_void_is_read_again(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    user = await here.add_person()
    session = await here.start_session(user)
    await lives(here, "session", session)
    broken = Broken(here)
    clock.advance(LEASED)
    # SQLite asks first whether anything has changed: then the poll has something to fail at
    await elsewhere.database.write(end_session(elsewhere, user))
    with pytest.raises(Unavailable):
        await ask(here, "session", session)
    assert known(here, "session", session) is None
    broken.down = False
    assert await ask(here, "session", session) == "session.ended"


async def test_another_database_empties_the_cache(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    """A restored database has lower versions: what is known of the one before says nothing about it."""
    user = await here.add_person()
    session = await here.start_session(user)
    for _ in range(3):
        await here.database.write(change(user, roles="reader"))
    await lives(here, "session", session)

    def restore(tx: Tx) -> None:
        where = schema.users.c.id == user
        tx.connection.execute(sa.update(schema.users).where(where).values(version=1, disabled_at=1))
        feed.identify(tx, "restored")

    await elsewhere.database.write(restore)
    heard: list[str] = []
    here.feed.watch([Tie("user", user)], lambda: heard.append("told"))
    clock.advance(LEASED)
    assert await ask(here, "session", session) == "session.subject_disabled"
    # and voids of the new one count, although their versions are lower than those of the old one
    await elsewhere.database.write(change(user, disabled_at=None))
    await here.feed.poll()
    await lives(here, "session", session)
    await elsewhere.database.write(change(user, disabled_at=1))
    clock.advance(LEASED)
    assert await ask(here, "session", session) == "session.subject_disabled"


# -- 7, 8, 10: poll and lease ---------------------------------------------------------------------------------------


@DEAD
async def test_on_another_host_the_end_of_the_lease_is_the_bound(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    user = await here.add_person()
    session = await here.start_session(user)
    await here.feed.poll()
    await lives(here, "session", session)
    await elsewhere.database.write(end_session(elsewhere, user))
    assert await ask(elsewhere, "session", session) == "session.ended"
    clock.advance(LEASED - TICK)
    assert known(here, "session", session) is not None
    clock.advance(TICK)
    assert known(here, "session", session) is None
    assert await ask(here, "session", session) == "session.ended"


@CLOSED
async def test_a_lease_that_ran_out_refuses_everybody_and_asks_once(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    user = await here.add_person()
    texts = [await here.start_session(user) for _ in range(20)]
    for text in texts:
        await lives(here, "session", text)
    broken = Broken(here)
    clock.advance(timedelta(hours=1))
    await elsewhere.add_person()
    got = await asyncio.gather(*(ask(here, "session", text) for text in texts), return_exceptions=True)
    assert {type(error) for error in got} == {Unavailable}
    assert broken.polls == 1
    broken.down = False
    with counted() as said:
        got = await asyncio.gather(*(ask(here, "session", text) for text in texts))
    assert all(isinstance(facts, Facts) for facts in got)
    assert broken.polls == 2
    # the facts are an hour old: each is read again once, and the feed once
    assert len([statement for statement in said if "admit_voids" in statement]) == 1
    assert len([statement for statement in said if "admit_sessions" in statement]) == len(texts)


@CLOSED
async def test_a_poll_that_hangs_is_waited_for_by_all_and_by_nobody_for_long(
    here: CredentialRooms, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    from admit.credentials.live import feed as module

    monkeypatch.setattr(module, "PATIENCE", 0.05)
    session = await here.start_session(await here.add_person())
    await lives(here, "session", session)
    polls = 0
    go = asyncio.Event()
    poll = here.feed.poll

    async def slow() -> None:
        nonlocal polls
        polls += 1
        await go.wait()
        await poll()

    monkeypatch.setattr(here.feed, "poll", slow)
    clock.advance(LEASED)
    got = await asyncio.gather(*(ask(here, "session", session) for _ in range(30)), return_exceptions=True)
    assert {type(error) for error in got} == {Unavailable}
    assert polls == 1
    go.set()
    await lives(here, "session", session)
    assert polls == 1


# -- 9, 13: what a hit asks -----------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-7.3.1", "ASVS-9.2.1")
async def test_a_hit_looks_at_the_clock(here: CredentialRooms, clock: ManualClock) -> None:
    user = await here.add_person()
    short = here.settings.tokens.access_for
    signed_in = await here.sign_in(user)
    clock.advance(short - timedelta(seconds=1))
    await lives(here, "access_token", signed_in.access_token)
    clock.advance(timedelta(seconds=1) + here.settings.tokens.leeway)
    assert await ask(here, "access_token", signed_in.access_token) == "jwt.expired"
    session = await here.start_session(user)
    clock.advance(here.settings.sessions.idle - timedelta(seconds=1))
    await lives(here, "session", session)
    clock.advance(timedelta(seconds=1))
    assert await ask(here, "session", session) == "session.idle"


async def test_after_five_minutes_the_truth_is_read_again(here: CredentialRooms, clock: ManualClock) -> None:
    session = await here.start_session(await here.add_person())
    await lives(here, "session", session)
    for step, reads in ((timedelta(minutes=5) - TICK, 0), (TICK, 1)):
        clock.advance(step)
        await here.feed.poll()
        with counted() as said:
            await lives(here, "session", session)
        assert len(said) == reads


async def test_without_the_cache_every_request_reads(url: str, clock: ManualClock, tmp_path: Path) -> None:
    settings = Settings(tokens=TokenSettings(cache=False))
    async with process(url, clock, tmp_path / "host", settings=settings) as here:
        user = await here.add_person()
        session = await here.start_session(user)
        await here.feed.poll()
        with counted() as said:
            for _ in range(3):
                await lives(here, "session", session)
        assert len(said) == 3
        assert len(here.live.cache) == 0
        # even a change that nobody voided
        ended = sa.update(schema.sessions).values(ended_at=1)
        await here.database.write(lambda tx: tx.connection.execute(ended).rowcount)
        assert await ask(here, "session", session) == "session.ended"


# -- 11: no stale fill ----------------------------------------------------------------------------------------------


@DEAD
async def test_a_void_between_the_read_and_the_insert_is_not_lost(
    here: CredentialRooms, beside: CredentialRooms
) -> None:
    user = await here.add_person()
    session = await here.start_session(user)
    read: Callable[[str], Awaitable[Facts]] = here.live._read["session"]
    first = True

    async def overtaken(text: str) -> Facts:
        nonlocal first
        facts = await read(text)
        if first:
            first = False
            await beside.database.write(end_session(beside, user))
            await here.feed.poll()
        return facts

    here.live._read["session"] = overtaken
    assert await ask(here, "session", session) == "session.ended"
    assert known(here, "session", session) is None


@DEAD
async def test_whoever_comes_after_the_end_is_not_answered_by_a_read_from_before(here: CredentialRooms) -> None:
    """Requests share one read of the truth; one that begins after the revocation must not share an older one."""
    user = await here.add_person()
    session = await here.start_session(user)
    read = here.live._read["session"]
    have_read, go = asyncio.Event(), asyncio.Event()

    async def slow(text: str) -> Facts:
        facts = await read(text)
        have_read.set()
        await go.wait()
        return facts

    here.live._read["session"] = slow
    before = asyncio.create_task(ask(here, "session", session))
    await asyncio.wait_for(have_read.wait(), 20)
    await here.database.write(end_session(here, user))
    after = asyncio.create_task(ask(here, "session", session))
    await asyncio.sleep(0)
    go.set()
    assert await after == "session.ended"
    assert await before == "session.ended"


async def test_many_requests_with_one_credential_cost_one_read(here: CredentialRooms) -> None:
    session = await here.start_session(await here.add_person())
    await here.feed.poll()
    with counted() as said:
        got = await asyncio.gather(*(ask(here, "session", session) for _ in range(50)))
    assert all(isinstance(facts, Facts) for facts in got)
    assert len(said) == 1


@DEAD
async def test_facts_do_not_outlive_a_void_that_is_forgotten(
    here: CredentialRooms, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts are kept by the wall clock, voids by the monotonic one; were the wall clock set back, facts live longer."""
    user = await here.add_person()
    session = await here.start_session(user)
    await lives(here, "session", session)
    await here.database.write(end_session(here, user))
    here.feed.apply([(Tie("grant", number.to_bytes(16, "big")), 2) for number in range(1000)])
    clock.advance(timedelta(seconds=REMEMBER + 1))
    await here.feed.poll()
    monkeypatch.setattr(clock, "offset", -int((REMEMBER + 1) * 1_000_000))
    await here.feed.poll()
    assert await ask(here, "session", session) == "session.ended"


# -- 12: one host ---------------------------------------------------------------------------------------------------


@DEAD
async def test_on_one_host_it_is_dead_at_the_very_next_request(here: CredentialRooms, beside: CredentialRooms) -> None:
    user = await here.add_person()
    signed_in, session = await here.sign_in(user), await here.start_session(user)
    await lives(here, "session", session)
    await lives(here, "access_token", signed_in.access_token)
    await beside.database.write(lambda tx: beside.delivery.end_all(tx, user, Via()))
    # no time has passed, and nobody has polled
    assert await ask(here, "session", session) == "session.ended"
    assert await ask(here, "access_token", signed_in.access_token) == "access.grant_ended"


async def test_a_lost_hint_costs_time_and_a_forged_one_a_query(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock, tmp_path: Path
) -> None:
    user = await here.add_person()
    session = await here.start_session(user)
    await here.feed.poll()
    await lives(here, "session", session)
    forger = SharedHint(tmp_path / "host" / "feed", secrets.token_bytes)
    forger.bump()
    assert known(here, "session", session) is None
    await lives(here, "session", session)
    (tmp_path / "host" / "feed").unlink()
    await elsewhere.database.write(end_session(elsewhere, user))
    clock.advance(LEASED)
    assert await ask(here, "session", session) == "session.ended"
    forger.close()


async def test_a_commit_after_the_feed_was_closed_is_still_acknowledged(here: CredentialRooms) -> None:
    user = await here.add_person()
    session = await here.start_session(user)
    await here.feed.close()
    assert await here.database.write(end_session(here, user)) == 1
    assert known(here, "session", session) is None


# -- 15, 19, 20 -----------------------------------------------------------------------------------------------------


async def test_another_table_of_roles_counts_for_what_was_issued_before(
    url: str, here: CredentialRooms, clock: ManualClock, tmp_path: Path
) -> None:
    user = await here.add_person("editor")
    signed_in, session = await here.sign_in(user), await here.start_session(user)
    narrower = {"editor": ("read:posts",), "reader": ("read:posts",)}
    async with process(url, clock, tmp_path / "host", roles=narrower) as restarted:
        assert (await lives(restarted, "session", session)).scopes == {"read:posts"}
        assert (await lives(restarted, "access_token", signed_in.access_token)).scopes == {"read:posts"}


async def test_who_watches_a_tie_is_told_when_it_moves_anywhere(
    here: CredentialRooms, elsewhere: CredentialRooms
) -> None:
    user = await here.add_person()
    heard: list[str] = []
    here.feed._loop = asyncio.get_running_loop()
    stop = here.feed.watch([Tie("user", user)], lambda: heard.append("moved"))
    await elsewhere.database.write(change(user, roles="reader"))
    await here.feed.poll()
    await asyncio.sleep(0)
    assert heard == ["moved"]
    stop()
    await here.database.write(change(user, roles="editor"))
    await asyncio.sleep(0)
    assert heard == ["moved"]


@DEAD
async def test_a_fence_ends_all_that_was_issued_and_nothing_that_comes_after(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    user = await here.add_person()
    signed_in, session = await here.sign_in(user), await here.start_session(user)
    await lives(here, "session", session)
    await lives(here, "access_token", signed_in.access_token)
    raised = await elsewhere.fence.raise_now(Via(), "operator")
    clock.advance(LEASED)
    assert await ask(here, "session", session) == "session.fenced"
    assert await ask(here, "access_token", signed_in.access_token) in ("jwt.key_revoked", "access.fenced")
    assert here.signing_keys.active().kid == raised.active
    assert len(raised.revoked) == 1
    again, after = await here.sign_in(user), await here.start_session(user)
    await lives(here, "access_token", again.access_token)
    await lives(elsewhere, "session", after)
    told = sa.select(schema.events.c.type, schema.events.c.actor).where(schema.events.c.type == "fence.raised")
    assert await here.database.read(lambda tx: tx.connection.execute(told).all()) == [("fence.raised", "operator")]
