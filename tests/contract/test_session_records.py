"""The scripts of sessions in Valkey: whatever order they come in, the newest version stands and nothing is revived."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from itertools import permutations

import pytest

from admit.credentials.session_store import Begun, ValkeySessions
from admit.ground.clock import SECOND
from admit.ground.errors import Unavailable
from admit.ground.ids import show
from admit.ground.principal import Tie
from admit.stores.sql.database import Database, open_database
from admit.stores.valkey import Valkey
from admit.stores.valkey.sessions import PAGE, SessionRecords, SessionUse
from admit.testing.clock import ManualClock

ONE, TWO = b"1" * 16, b"2" * 16
IDLE, LIFE = 100 * SECOND, 86_400


@pytest.fixture
async def client(valkey_url: str) -> AsyncIterator[Valkey]:
    opened = Valkey(valkey_url)
    yield opened
    await opened.close()


@pytest.fixture
def records(client: Valkey) -> SessionRecords:
    return SessionRecords(client)


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    opened = open_database("sqlite://", ManualClock(), secrets.token_bytes)
    await opened.migrate()
    yield opened
    await opened.close()


async def test_what_is_kept_is_found(records: SessionRecords) -> None:
    await records.keep(ONE, SessionUse(3, 7), IDLE, LIFE)
    assert await records.find([TWO, ONE]) == [None, SessionUse(3, 7)]
    assert await records.find([]) == []


@pytest.mark.parametrize("order", [*permutations((1, 2, 3))])
async def test_a_late_writer_does_not_undo_a_newer_secret(records: SessionRecords, order: tuple[int, ...]) -> None:
    for version in order:
        await records.keep(ONE, SessionUse(version, version), IDLE, LIFE)
    assert await records.find([ONE]) == [SessionUse(3, 3)]


async def test_a_use_moves_forward_only_and_revives_nothing(records: SessionRecords) -> None:
    await records.keep(ONE, SessionUse(1, 50 * SECOND), IDLE, LIFE)
    for moment, expected in ((60, 60), (55, 60), (159, 159), (259, 159), (999, 159)):
        await records.seen([(ONE, moment * SECOND), (TWO, moment * SECOND)])
        assert await records.find([ONE, TWO]) == [SessionUse(1, expected * SECOND), None], moment


async def test_a_use_does_not_lengthen_the_life(records: SessionRecords, client: Valkey) -> None:
    await records.keep(ONE, SessionUse(1, 50 * SECOND), IDLE, 500)
    await records.seen([(ONE, 60 * SECOND)])
    assert 400 < await client.redis.ttl(f"admit:session:{show('ses', ONE)}") <= 500
    await records.keep(ONE, SessionUse(2, 60 * SECOND), IDLE, 0)  # less than a second is left
    assert await client.redis.ttl(f"admit:session:{show('ses', ONE)}") == 1


async def test_what_is_older_than_its_end_goes(records: SessionRecords) -> None:
    for identifier in (ONE, TWO):
        await records.keep(identifier, SessionUse(2, 1), IDLE, LIFE)
    await records.drop([(ONE, 3), (TWO, 2), (b"3" * 16, 9)])
    # the void of a rotation names the version that it made: that one stays
    assert await records.find([ONE, TWO]) == [None, SessionUse(2, 1)]


async def test_more_sessions_than_fit_in_one_script(records: SessionRecords) -> None:
    many = [number.to_bytes(16) for number in range(PAGE + 1)]
    await records.keep(many[0], SessionUse(1, 1), IDLE, LIFE)
    await records.keep(many[-1], SessionUse(1, 1), IDLE, LIFE)
    await records.seen([(identifier, 5) for identifier in many])
    assert await records.find([many[0], many[-1]]) == [SessionUse(1, 5)] * 2
    await records.drop([(identifier, 2) for identifier in many])
    assert await records.find([many[0], many[-1]]) == [None, None]


async def test_a_key_of_another_shape_is_no_session(records: SessionRecords, client: Valkey) -> None:
    name = f"admit:session:{show('ses', ONE)}"
    await client.redis.hset(name, "version", "1")
    assert await records.find([ONE]) == [None]
    await client.redis.hset(name, "seen_at", "soon")
    for value in ("hash", "text"):
        if value == "text":
            await client.redis.set(name, "text")
        with pytest.raises(Unavailable) as caught:
            await records.find([ONE])
        assert caught.value.part == "sessions"


@pytest.mark.parametrize("served", [True, False], ids=["server", "command line"])
async def test_the_keys_of_what_a_process_ended_are_gone_when_it_closes(
    valkey_url: str, records: SessionRecords, database: Database, served: bool
) -> None:
    await records.keep(ONE, SessionUse(1, 1), IDLE, LIFE)
    uses = ValkeySessions(Valkey(valkey_url), database)
    if served:
        await uses.keep(Begun(TWO, 1, 1, IDLE, LIFE))
    await database.write(lambda tx: tx.void(Tie("session", ONE), 2))
    await database.write(lambda tx: tx.void(Tie("user", TWO), 2))
    await uses.close()
    assert await records.find([ONE, TWO]) == [None, SessionUse(1, 1) if served else None]
