"""API keys and tickets against the shipped suites: several processes, the real engines."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from admit.stores.sql.database import open_database
from admit.testing.clock import ManualClock
from admit.testing.key_suite import KeyRaces, add_key, add_owner, keys_of
from admit.testing.store_racers import Order, Racers
from admit.testing.ticket_suite import TicketRaces, kit_on

RACE = pytest.mark.proof("ASVS-15.4.2", "ASVS-2.3.4")
WRONG = "tests.contract.wrong_credentials"


async def migrated(url: str) -> str:
    database = open_database(url, ManualClock(), secrets.token_bytes)
    await database.migrate()
    await database.close()
    return url


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    with Racers(4) as running:
        yield running


class OnSQLite:
    @pytest.fixture
    async def url(self, tmp_path: Path) -> str:
        return await migrated(f"sqlite:///{tmp_path / 'admit.sqlite3'}")


class OnPostgreSQL:
    @pytest.fixture
    async def url(self, pg_database: str) -> str:
        return await migrated(pg_database)


@RACE
class TestTicketsOnSQLite(OnSQLite, TicketRaces):
    pass


@RACE
class TestTicketsOnPostgreSQL(OnPostgreSQL, TicketRaces):
    pass


@RACE
class TestKeysOnSQLite(OnSQLite, KeyRaces):
    pass


@RACE
class TestKeysOnPostgreSQL(OnPostgreSQL, KeyRaces):
    pass


class TakenWrong(TicketRaces):
    TAKE = f"{WRONG}:take"


class RotatedWrong(KeyRaces):
    ROTATE = f"{WRONG}:rotate"


class _TheSuitesCatchWhatReadsChecksAndWrites:
    async def test_a_ticket(self, url: str, racers: Racers) -> None:
        suite = TakenWrong()
        with pytest.raises(AssertionError, match=r"racers took one ticket|Extra items in the left set"):
            await suite.test_one_of_forty_racers_takes_it_and_the_others_learn_what_came_of_it(url, racers)

    async def test_a_rotation(self, url: str, racers: Racers) -> None:
        with pytest.raises(AssertionError, match="secrets work"):
            await RotatedWrong().test_rotations_at_once_end_with_two_live_secrets(url, racers)


class TestWrongOnSQLite(OnSQLite, _TheSuitesCatchWhatReadsChecksAndWrites):
    pass


class TestWrongOnPostgreSQL(OnPostgreSQL, _TheSuitesCatchWhatReadsChecksAndWrites):
    pass


class _AfterAKill:
    async def test_only_what_came_after_the_last_batch_is_lost(self, url: str) -> None:
        async with kit_on(url) as kit:
            owner = await add_owner(kit)
            key = (await add_key(kit, owner)).row.id
            with Racers(1) as racers:
                racers.open(url)
                racers.run(Order("admit.testing.key_suite:count", {"keys": [key.hex()]}, times=2))
                racers.run(Order(f"{WRONG}:note_only", {"key": key.hex()}))
                racers.kill()
            row = await kit.work.read(lambda tx: keys_of(kit).get(tx, owner, key))
        assert row is not None
        assert row.uses == 6


class TestKilledOnSQLite(OnSQLite, _AfterAKill):
    pass


class TestKilledOnPostgreSQL(OnPostgreSQL, _AfterAKill):
    pass
