"""What a store promises, as test classes to inherit (pytest-asyncio).

`StoreContract` needs the fixtures `database`: a migrated, open `Database`, and `clock`: the `ManualClock` it was opened
with. `StoreRaces` needs `url`: a migrated database that several processes share, and `racers`: four `Racers` that run.
A subclass that names other racers holds another implementation to the same promise.
"""
# ruff: noqa: S101 (asserts are what a suite is made of)

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from admit.ground.clock import micros
from admit.ground.errors import Refused, Unavailable
from admit.ground.events import Event
from admit.ground.kit import Kit
from admit.ground.principal import Tie
from admit.ground.work import Job, Tx
from admit.stores.sql import events, feed, jobs, leases, schema
from admit.stores.sql.database import Database
from admit.stores.sql.events import Position
from admit.stores.sql.feed import VoidRow
from admit.testing.clock import ManualClock
from admit.testing.store_racers import Order, Racers
from admit.testing.ticket_suite import kit_on

TIE = Tie("user", b"0123456789abcdef")
MINUTE = timedelta(minutes=1)


class Broken(Exception):
    """Raised by bodies of this suite."""


def put(tx: Tx, name: str, value: str = "") -> None:
    """One row that is easy to look for; a second one of the same name breaks the primary key."""
    tx.connection.execute(sa.insert(schema.meta).values(name=f"suite:{name}", value=value))


def names(tx: Tx) -> set[str]:
    """The rows that `put` has left."""
    found = tx.connection.execute(sa.select(schema.meta.c.name).where(schema.meta.c.name.like("suite:%"))).scalars()
    return {name.removeprefix("suite:") for name in found}


def everything(tx: Tx) -> tuple[set[str], int, int, int]:
    """The rows of `put`, and how many events, voids and jobs there are."""
    counted = [
        int(tx.connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())
        for table in (schema.events, schema.voids, schema.jobs)
    ]
    return names(tx), counted[0], counted[1], counted[2]


def leave_traces(tx: Tx, name: str) -> None:
    """A row, an event, a void and a job."""
    put(tx, name)
    tx.emit(Event("session.ended", session=name))
    tx.void(TIE, 2)
    tx.enqueue(Job("suite", {"name": name}))


class StoreContract:
    """Units of work, the feed, the order of events, jobs and leases: the same on every engine."""

    async def test_a_body_is_written_whole_with_its_events_voids_and_jobs(self, database: Database) -> None:
        def body(tx: Tx) -> str:
            leave_traces(tx, "a")
            return "returned"

        assert await database.write(body) == "returned"
        assert await database.read(everything) == ({"a"}, 1, 1, 1)

    async def test_a_body_that_raises_leaves_nothing(self, database: Database) -> None:
        def body(tx: Tx) -> None:
            leave_traces(tx, "a")
            raise Broken

        heard: list[Any] = []
        database.on_commit(heard.append)
        try:
            await database.write(body)
        except Broken:
            pass
        else:
            raise AssertionError("the body's exception was swallowed")
        assert await database.read(everything) == (set(), 0, 0, 0)
        assert heard == []

    async def test_a_refusal_that_is_returned_is_committed(self, database: Database) -> None:
        def body(tx: Tx) -> Refused:
            leave_traces(tx, "family ended")
            return Refused("refresh.reused")

        assert await database.write(body) == Refused("refresh.reused")
        assert await database.read(everything) == ({"family ended"}, 1, 1, 1)

    async def test_one_that_raises_takes_only_itself_back(self, database: Database) -> None:
        """On SQLite these share one transaction: each has a savepoint of its own."""

        def body(number: int) -> Any:
            def run(tx: Tx) -> int:
                leave_traces(tx, str(number))
                if number % 3 == 0:
                    raise Broken
                if number % 3 == 1:
                    put(tx, str(number))
                return number

            return run

        got = await asyncio.gather(*(database.write(body(n)) for n in range(30)), return_exceptions=True)
        assert [n for n, result in enumerate(got) if result == n] == list(range(2, 30, 3))
        assert all(isinstance(result, Broken) for result in got[::3])
        assert all(isinstance(result, sa.exc.IntegrityError) for result in got[1::3])
        kept = {str(n) for n in range(2, 30, 3)}
        assert await database.read(everything) == (kept, 10, 10, 10)

    async def test_what_was_voided_is_told_after_the_commit_and_before_the_answer(self, database: Database) -> None:
        heard: list[Sequence[tuple[Tie, int]]] = []
        database.on_commit(heard.append)
        await database.write(lambda tx: tx.void(TIE, 7))
        assert [list(voids) for voids in heard] == [[(TIE, 7)]]
        await database.write(lambda tx: put(tx, "no void"))
        assert len(heard) == 1

    async def test_a_listener_that_stumbles_does_not_undo_what_is_committed(self, database: Database) -> None:
        def stumble(_voids: object) -> None:
            raise Broken

        heard: list[Any] = []
        database.on_commit(stumble)
        database.on_commit(heard.append)
        await database.write(lambda tx: leave_traces(tx, "a"))
        assert len(heard) == 1
        await database.write(lambda tx: put(tx, "b"))
        assert await database.read(names) == {"a", "b"}

    async def test_a_caller_that_goes_away_does_not_cut_its_transaction(self, database: Database) -> None:
        heard: list[Any] = []
        database.on_commit(heard.append)
        callers = [
            asyncio.create_task(database.write(lambda tx, name=str(n): leave_traces(tx, name)))  # type: ignore[misc]
            for n in range(10)
        ]
        await asyncio.sleep(0)
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        for _ in range(500):
            found = await database.read(everything)
            if found[1] == 10:
                break
            await asyncio.sleep(0.01)
        assert found == ({str(n) for n in range(10)}, 10, 10, 10)
        assert sum(len(voids) for voids in heard) == 10

    async def test_closing_finishes_what_has_begun_and_takes_nothing_more(self, database: Database) -> None:
        told: list[str] = []
        database.on_commit(lambda voids: told.extend(str(version) for _, version in voids))
        callers = [
            asyncio.create_task(database.write(lambda tx, n=n: tx.void(TIE, n)))  # type: ignore[misc]
            for n in range(1, 21)
        ]
        await asyncio.sleep(0)
        await database.close()
        assert await asyncio.gather(*callers) == [None] * 20
        assert len(told) == 20
        for refused in (database.write(names), database.read(names), database.watch(names)):
            try:
                await refused
            except Unavailable:
                continue
            raise AssertionError("a closed store took a body")
        await database.close()

    async def test_time_stands_still_within_a_body(self, database: Database, clock: ManualClock) -> None:
        def body(tx: Tx) -> tuple[int, int, int]:
            before = tx.now
            clock.advance(MINUTE)
            return before, tx.now, tx.tenant

        started = clock.now()
        assert await database.write(body) == (started, started, 1)

    # -- the feed --------------------------------------------------------------------------------------------------

    async def test_the_first_void_of_all_is_seen_by_whoever_polled_before(self, database: Database) -> None:
        first, _ = await database.watch(lambda tx: feed.poll(tx, 0))
        assert list(first.rows) == []
        await database.write(lambda tx: tx.void(TIE, 2))
        then, _ = await database.watch(lambda tx: feed.poll(tx, max(first.horizon, 1)))
        assert list(then.rows) == [VoidRow(TIE, 2)]

    async def test_each_void_is_seen_by_the_next_poll_even_after_a_clean_up(
        self, database: Database, clock: ManualClock
    ) -> None:
        horizon = 0
        for version in range(2, 12):
            await database.write(lambda tx, n=version: tx.void(TIE, n))  # type: ignore[misc]
            polled, _ = await database.watch(lambda tx, at=horizon: feed.poll(tx, at))  # type: ignore[misc]
            assert VoidRow(TIE, version) in polled.rows
            horizon = max(polled.horizon, 1)
            clock.advance(timedelta(days=1))
            await database.write(feed.forget)
        assert (await database.read(everything))[2] == 0

    async def test_a_clock_that_jumps_ahead_between_two_polls_hides_no_void(
        self, database: Database, clock: ManualClock
    ) -> None:
        first, _ = await database.watch(lambda tx: feed.poll(tx, 0))
        await database.write(lambda tx: tx.void(TIE, 2))
        clock.advance(timedelta(days=365))
        then, _ = await database.watch(lambda tx: feed.poll(tx, max(first.horizon, 1)))
        assert VoidRow(TIE, 2) in then.rows

    async def test_a_database_has_a_name_that_a_fence_changes(self, database: Database) -> None:
        polled = [await database.watch(lambda tx: feed.poll(tx, 0)) for _ in range(2)]
        await database.write(lambda tx: feed.identify(tx, "another"))
        polled.append(await database.watch(lambda tx: feed.poll(tx, 0)))
        first, second, third = (poll.identity for poll, _ in polled)
        assert first == second != third

    # -- events, jobs, leases --------------------------------------------------------------------------------------

    async def test_events_are_read_in_the_order_of_their_commits(self, database: Database) -> None:
        for number in range(5):
            await database.write(lambda tx, n=str(number): tx.emit(Event("session.started", session=n)))  # type: ignore[misc]
        page = await database.read(lambda tx: events.page(tx, Position(), 3))
        rest = await database.read(lambda tx: events.page(tx, page.position, 3))
        assert [row.session for row in (*page.rows, *rest.rows)] == ["0", "1", "2", "3", "4"]

    async def test_a_job_is_given_to_one_worker_until_its_lease_ends(
        self, database: Database, clock: ManualClock
    ) -> None:
        def take(tx: Tx) -> list[jobs.Leased]:
            return jobs.lease(tx, tx.now + micros(MINUTE), 5, ["suite"])

        await database.write(lambda tx: tx.enqueue(Job("suite", {"n": 1})))
        (first,) = await database.write(take)
        assert await database.write(take) == []
        clock.advance(MINUTE * 2)
        (second,) = await database.write(take)
        assert (second.seq, second.attempts) == (first.seq, 2)
        # the first one was paused past its lease: it must not mark as done what the second is doing
        assert await database.write(lambda tx: jobs.done(tx, first)) is False
        assert await database.write(lambda tx: jobs.done(tx, second)) is True
        assert await database.read(jobs.waiting) == 0

    async def test_a_lease_has_one_holder_and_a_fence_that_rises(self, database: Database, clock: ManualClock) -> None:
        def take(holder: str) -> Any:
            return lambda tx: leases.acquire(tx, "suite", holder, tx.now + micros(MINUTE))

        assert await database.write(take("a")) == 1
        assert await database.write(take("b")) is None
        assert await database.write(take("a")) == 1
        clock.advance(MINUTE * 2)
        assert await database.write(take("b")) == 2
        assert await database.read(lambda tx: leases.holds(tx, "suite", 2)) is True
        assert await database.write(lambda tx: leases.holds(tx, "suite", 1)) is False


# -- among processes -----------------------------------------------------------------------------------------------


async def put_once(kit: Kit, arguments: dict[str, Any]) -> str:
    """Writes a row under a name that only one can have."""
    try:
        await kit.work.write(lambda tx: put(tx, arguments["name"]))
    except sa.exc.IntegrityError:
        return "taken"
    return "mine"


async def lead(kit: Kit, arguments: dict[str, Any]) -> int | None:
    """Asks for a lease in a name of its own; the fence."""
    holder = kit.random(8).hex()
    return await kit.work.write(lambda tx: leases.acquire(tx, arguments["name"], holder, tx.now + micros(MINUTE)))


async def take_job(kit: Kit, _: dict[str, Any]) -> list[int]:
    """Leases three jobs."""
    got = await kit.work.write(lambda tx: jobs.lease(tx, tx.now + micros(MINUTE), 3, ["suite"]))
    return [job.seq for job in got]


async def void_some(kit: Kit, arguments: dict[str, Any]) -> list[str]:
    """Voids ties of its own, a transaction each; their ids."""
    ids = [kit.random(16) for _ in range(arguments["number"])]
    for identifier in ids:
        await kit.work.write(lambda tx, i=identifier: tx.void(Tie("grant", i), 2))  # type: ignore[misc]
    return [identifier.hex() for identifier in ids]


class StoreRaces:
    """What is read, checked and then written fails here."""

    LEAD = f"{__name__}:lead"

    async def test_one_of_many_gets_a_unique_name(self, url: str, racers: Racers) -> None:
        racers.open(url)
        got = racers.run(Order(f"{__name__}:put_once", {"name": "one"}, times=10))
        assert Counter(got) == {"mine": 1, "taken": 39}

    async def test_one_of_many_leads(self, url: str, racers: Racers) -> None:
        racers.open(url)
        leaders = [fence for fence in racers.run(Order(self.LEAD, {"name": "suite"}, times=10)) if fence is not None]
        assert leaders == [1], f"{len(leaders)} leaders at once"

    async def test_no_job_is_given_twice_and_none_is_forgotten(self, url: str, racers: Racers) -> None:
        async with kit_on(url) as kit:
            for _ in range(60):
                await kit.work.write(lambda tx: tx.enqueue(Job("suite", {})))
            racers.open(url)
            got = [seq for seqs in racers.run(Order(f"{__name__}:take_job", times=10)) for seq in seqs]
            assert len(got) == len(set(got)), "a job was given to two workers"
            left = await kit.work.write(lambda tx: jobs.lease(tx, tx.now + micros(MINUTE), 100, ["suite"]))
        assert len(got) + len(left) == 60

    async def test_a_poller_beside_many_writers_misses_no_void(self, url: str, racers: Racers) -> None:
        async with kit_on(url) as kit:
            database: Database = kit.work  # type: ignore[assignment]
            racers.open(url)
            order = Order(f"{__name__}:void_some", {"number": 8}, times=5)
            race = asyncio.create_task(asyncio.to_thread(racers.run, order))
            seen: set[str] = set()
            horizon, rounds = 0, 0
            while True:
                last = race.done()
                polled, _ = await database.watch(lambda tx, at=horizon: feed.poll(tx, at))  # type: ignore[misc]
                seen |= {row.tie.id.hex() for row in polled.rows}
                horizon, rounds = max(polled.horizon, 1), rounds + 1
                if last:
                    break
            voided = {identifier for ids in race.result() for identifier in ids}
        assert len(voided) == 160
        assert voided <= seen, f"{len(voided - seen)} of 160 voids were missed in {rounds} polls"
