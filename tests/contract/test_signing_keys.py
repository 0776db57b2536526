"""Signing keys: rotated while servers run, revoked at once, sealed under a master secret, made once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from admit.credentials.live.confirm import confirm
from admit.credentials.live.feed import LEASE
from admit.credentials.live.hint import SharedHint
from admit.crypto.sealing import generate
from admit.ground.errors import Refusal, SettingsError, Unavailable
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.principal import Facts
from admit.settings import Settings, TokenSettings
from admit.stores.sql import schema
from admit.stores.sql.database import Database
from admit.testing.clock import ManualClock
from admit.testing.credential_rooms import CredentialRooms, rooms_on
from admit.testing.store_racers import Order, Racers
from tests.parts.postgres import TempPostgres
from tests.parts.stores import migrate

LEASED = timedelta(seconds=LEASE)
SEALED = pytest.mark.proof("ASVS-11.2.2")


@pytest.fixture(scope="session")
def pg_template(postgres: TempPostgres) -> str:
    return postgres.template("migrated_signing_keys", migrate)


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


async def process(url: str, clock: ManualClock, host: Path, **more: Any) -> AsyncIterator[CredentialRooms]:
    async with rooms_on(url, clock, hint=SharedHint(host / "feed", secrets.token_bytes), **more) as rooms:
        rooms.feed.start = lambda: None  # type: ignore[method-assign]
        # of two keys of one moment none is the newer
        clock.advance(timedelta(microseconds=1))
        yield rooms


@pytest.fixture
async def here(url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[CredentialRooms]:
    async for rooms in process(url, clock, tmp_path / "host"):
        yield rooms


@pytest.fixture
async def beside(url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[CredentialRooms]:
    """Another process on the same host, which took its first poll after `here` made the first key."""
    async for rooms in process(url, clock, tmp_path / "host"):
        yield rooms


@pytest.fixture
async def elsewhere(url: str, clock: ManualClock, tmp_path: Path) -> AsyncIterator[CredentialRooms]:
    async for rooms in process(url, clock, tmp_path / "another host"):
        yield rooms


async def ask(rooms: CredentialRooms, token: str) -> Facts | str:
    try:
        return await rooms.live.facts("access_token", token)
    except Refusal as refusal:
        return refusal.reason


async def rows(rooms: CredentialRooms, table: sa.Table) -> list[Any]:
    return await rooms.database.read(lambda tx: list(tx.connection.execute(sa.select(table)).all()))


# -- rotation -------------------------------------------------------------------------------------------------------


@SEALED
async def test_another_process_signs_with_the_new_key_before_its_lease_ends(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    user = await here.add_person()
    old = await elsewhere.sign_in(user)
    first = elsewhere.signing_keys.active().kid
    kid = await here.signing_keys.rotate(Via(), at_once=True)
    assert here.signing_keys.active().kid == kid != first
    clock.advance(LEASED)
    assert isinstance(await ask(elsewhere, old.access_token), Facts)
    # that request took a poll, and with the poll came the key
    assert elsewhere.signing_keys.active().kid == kid
    new = await elsewhere.sign_in(user)
    for rooms in (here, elsewhere):
        for token in (old.access_token, new.access_token):
            assert isinstance(await ask(rooms, token), Facts)
    # the old token works to its end, in a process that has it from the cache and in one that has not
    clock.advance(here.settings.tokens.access_for - LEASED - timedelta(seconds=1))
    assert isinstance(await ask(here, old.access_token), Facts)
    clock.advance(timedelta(seconds=1) + here.settings.tokens.leeway)
    assert await ask(here, old.access_token) == "jwt.expired"


async def test_a_planned_key_is_published_before_it_signs(here: CredentialRooms, clock: ManualClock) -> None:
    first = here.signing_keys.active().kid
    kid = await here.signing_keys.rotate(Via())
    published = {key["kid"] for key in here.signing_keys.ring.jwks(clock.now())["keys"]}
    assert published == {first, kid}
    clock.advance(here.settings.tokens.jwks_max_age - timedelta(microseconds=1))
    assert here.signing_keys.active().kid == first
    clock.advance(timedelta(microseconds=1))
    # by the clock alone: no message, no reading
    assert here.signing_keys.active().kid == kid
    clock.advance(here.settings.tokens.access_for + here.settings.tokens.jwks_max_age)
    assert {key["kid"] for key in here.signing_keys.ring.jwks(clock.now())["keys"]} == {kid}


async def test_a_token_of_a_key_made_a_moment_ago_elsewhere_is_understood(
    here: CredentialRooms, elsewhere: CredentialRooms
) -> None:
    user = await here.add_person()
    await here.signing_keys.rotate(Via(), at_once=True)
    token = (await here.sign_in(user)).access_token
    assert isinstance(await ask(elsewhere, token), Facts)


async def test_the_leader_makes_the_successor_in_time_and_two_leaders_make_one(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    tokens = here.settings.tokens
    assert await here.signing_keys.keep_fresh(Via()) is False
    clock.advance(tokens.key_active_for - tokens.jwks_max_age)
    await asyncio.gather(here.signing_keys.keep_fresh(Via()), elsewhere.signing_keys.keep_fresh(Via()))
    assert len(await rows(here, schema.signing_keys)) == 2
    clock.advance(tokens.jwks_max_age)
    assert await here.signing_keys.keep_fresh(Via()) is False
    assert here.signing_keys.active().active_from == clock.now()


async def test_a_rotation_is_no_change_for_callers_who_hold_a_token(here: CredentialRooms) -> None:
    """Verbs that mint look at the versions of what a credential hangs on; a new key is none of theirs."""
    token = (await here.sign_in(await here.add_person())).access_token
    facts = await here.live.facts("access_token", token)
    await here.signing_keys.rotate(Via())
    assert await here.database.write(lambda tx: confirm(tx, facts)) is None
    kid = here.signing_keys.active().kid
    await here.signing_keys.revoke(kid, Via())
    refused = await here.database.write(lambda tx: confirm(tx, facts))
    assert refused is not None
    assert refused.reason == "access.changed"


async def test_a_reading_of_the_keys_that_fails_is_made_up_for_by_the_next_poll(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await elsewhere.feed.poll()
    kid = await here.signing_keys.rotate(Via(), at_once=True)

    async def down(_body: object) -> None:
        raise Unavailable("database")

    with monkeypatch.context() as patch:
        patch.setattr(elsewhere.database, "read", down)
        with pytest.raises(Unavailable):
            await elsewhere.feed.poll()
        clock.advance(LEASED)
        # without the keys there is no lease
        assert not elsewhere.feed.is_fresh()
    await elsewhere.feed.poll()
    assert elsewhere.signing_keys.active().kid == kid


# -- revocation -----------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-7.4.1")
async def test_a_revoked_key_is_dead_at_once_and_a_successor_signs(
    here: CredentialRooms, beside: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    user = await here.add_person()
    tokens = [(await rooms.sign_in(user)).access_token for rooms in (here, beside, elsewhere)]
    for rooms in (here, beside, elsewhere):
        for token in tokens[:2]:
            assert isinstance(await ask(rooms, token), Facts)
    kid = here.signing_keys.active().kid
    assert await here.signing_keys.revoke(kid, Via()) is True
    # the next request on this host, for tokens that were cached and one that was not
    for rooms in (here, beside):
        assert [await ask(rooms, token) for token in tokens] == ["jwt.key_revoked"] * 3
        assert rooms.signing_keys.active().kid != kid
    clock.advance(LEASED)
    assert [await ask(elsewhere, token) for token in tokens] == ["jwt.key_revoked"] * 3
    for rooms in (here, beside, elsewhere):
        again = await rooms.sign_in(user)
        assert isinstance(await ask(here, again.access_token), Facts)
        assert kid not in {key["kid"] for key in rooms.signing_keys.ring.jwks(clock.now())["keys"]}
    assert await here.signing_keys.revoke(kid, Via()) is False
    assert await here.signing_keys.revoke("no such key", Via()) is False


async def test_a_process_that_has_not_read_the_keys_again_asks_the_database(
    here: CredentialRooms, beside: CredentialRooms, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await here.sign_in(await here.add_person())).access_token
    await here.signing_keys.revoke(here.signing_keys.active().kid, Via())

    async def nothing() -> None:
        return

    for follower in beside.feed._followers:
        monkeypatch.setattr(follower, "reread", nothing)
    assert await ask(beside, token) == "jwt.key_revoked"


async def test_two_revocations_at_once_leave_a_key_that_signs(
    here: CredentialRooms, elsewhere: CredentialRooms, clock: ManualClock
) -> None:
    second = await here.signing_keys.rotate(Via(), at_once=True)
    (first,) = {key.kid for key in here.signing_keys.ring.keys} - {second}
    await elsewhere.feed.poll()
    await asyncio.gather(here.signing_keys.revoke(first, Via()), elsewhere.signing_keys.revoke(second, Via()))
    clock.advance(LEASED)
    for rooms in (here, elsewhere):
        await rooms.feed.poll()
        assert rooms.signing_keys.active().kid not in (first, second)
    assert len({rooms.signing_keys.active().kid for rooms in (here, elsewhere)}) == 1


# -- the seal -------------------------------------------------------------------------------------------------------


@SEALED
async def test_a_wrong_master_secret_stops_the_start_and_changes_nothing(
    url: str, here: CredentialRooms, clock: ManualClock
) -> None:
    before = await rows(here, schema.signing_keys), await rows(here, schema.data_keys)
    with pytest.raises(SettingsError) as caught:
        async with rooms_on(url, clock, master=generate()):
            pass
    text = str(caught.value)
    assert "ADMIT_SECRET does not open the keys in this database" in text
    assert "ADMIT_SECRET=2:<new>,1:<old>" in text
    assert (await rows(here, schema.signing_keys), await rows(here, schema.data_keys)) == before


@SEALED
async def test_a_new_master_secret_wraps_a_few_rows_and_the_old_one_can_go(url: str, clock: ManualClock) -> None:
    old, new = generate(), generate()
    async with rooms_on(url, clock, master=f"1:{old}") as rooms:
        kid, token = rooms.signing_keys.active().kid, (await rooms.sign_in(await rooms.add_person())).access_token
        sealed = await rows(rooms, schema.signing_keys)
    async with rooms_on(url, clock, master=f"2:{new},1:{old}") as rooms:
        assert rooms.signing_keys.active().kid == kid
        assert await rows(rooms, schema.signing_keys) == sealed
    async with rooms_on(url, clock, master=f"2:{new}") as rooms:
        assert rooms.signing_keys.active().kid == kid
        assert isinstance(await ask(rooms, token), Facts)
    with pytest.raises(SettingsError):
        async with rooms_on(url, clock, master=f"1:{old}"):
            pass


async def test_the_store_holds_no_private_key(here: CredentialRooms) -> None:
    secret = here.signing_keys.active().secret
    for row in (*await rows(here, schema.signing_keys), *await rows(here, schema.data_keys)):
        assert all(secret not in bytes(value) for value in row if isinstance(value, (bytes, memoryview)))


# -- the first key --------------------------------------------------------------------------------------------------


async def start(kit: Kit, _: dict[str, Any]) -> str:
    """What every process does when it starts; the kid it would sign with."""
    database: Database = kit.work  # type: ignore[assignment]
    rooms = await CredentialRooms(database, kit.clock).open()
    return rooms.signing_keys.active().kid


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    with Racers(4) as running:
        yield running


@pytest.mark.proof("ASVS-15.4.2")
async def test_processes_that_start_at_once_make_one_key(url: str, racers: Racers, clock: ManualClock) -> None:
    racers.open(url)
    kids = racers.run(Order("tests.contract.test_signing_keys:start", times=5))
    assert len(kids) == 20
    assert len(set(kids)) == 1
    async with rooms_on(url, clock) as rooms:
        assert rooms.signing_keys.active().kid == kids[0]
        assert len(await rows(rooms, schema.signing_keys)) == 1
        assert len(await rows(rooms, schema.data_keys)) == 1


async def test_hs256_makes_no_keys_and_a_fence_says_so(url: str, clock: ManualClock) -> None:
    settings = Settings(tokens=TokenSettings(algorithm="HS256", hs256_secret=generate()))
    async with rooms_on(url, clock, settings=settings) as rooms:
        token = (await rooms.sign_in(await rooms.add_person())).access_token
        assert isinstance(await ask(rooms, token), Facts)
        assert await rows(rooms, schema.signing_keys) == []
        raised = await rooms.fence.raise_now(Via())
        assert (raised.active, raised.revoked) == (None, [])
        assert await ask(rooms, token) == "access.fenced"
