"""What refreshing promises, as test classes to inherit (pytest-asyncio).

`RefreshContract` needs the fixtures `rooms`: open `CredentialRooms`, and `clock`: the `ManualClock` they go by.
`RefreshRaces` needs `url`: a migrated database that several processes share, and `racers`: four `Racers` that run. A
subclass that names another `EXCHANGE` holds another implementation to the same promise.
"""
# ruff: noqa: S101 (asserts are what a suite is made of)

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Set as AbstractSet
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from admit.credentials.grants import SIGN_IN, SIGN_IN_ID
from admit.credentials.refresh import Refreshed
from admit.crypto.opaque import RefreshParts, refresh_format
from admit.ground.clock import micros
from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.stores.sql import accounts, events, grants, schema
from admit.stores.sql.database import Database
from admit.testing.clock import ManualClock
from admit.testing.credential_rooms import CredentialRooms, SignedIn, rooms_on
from admit.testing.store_racers import Order, Racers

GRACE = timedelta(seconds=10)
TICK = timedelta(microseconds=1)
FORMAT = refresh_format("admit")


async def exchange(rooms: CredentialRooms, token: str, client: str = SIGN_IN_ID, **more: Any) -> Refreshed | str:
    """A new pair, or the reason of the refusal."""
    try:
        return await rooms.refresh.exchange(token, client, more.pop("via", Via()), **more)
    except Refusal as refusal:
        return refusal.reason


async def exchanged(rooms: CredentialRooms, token: str, **more: Any) -> Refreshed:
    """A new pair."""
    got = await exchange(rooms, token, **more)
    assert isinstance(got, Refreshed), got
    return got


async def access(rooms: CredentialRooms, token: str) -> str | AbstractSet[str]:
    """The scopes of an access token, or the reason why it is refused."""
    try:
        return (await rooms.live.facts("access_token", token)).scopes
    except Refusal as refusal:
        return refusal.reason


async def told(rooms: CredentialRooms) -> Counter[str]:
    """How many events of each type of refresh there are."""
    found = await rooms.database.read(lambda tx: events.search(tx, {}, (None, None), None, 1000))
    return Counter(row.type for row in found if row.type.startswith("refresh."))


def other(token: str, **parts: Any) -> str:
    """The same token with other parts and a right checksum."""
    payload = FORMAT.parse(token)
    assert payload is not None
    return FORMAT.issue(RefreshParts.unpack(payload)._replace(**parts).pack())


class RefreshContract:
    """The table of decisions, one row a test."""

    async def _signed_in(self, rooms: CredentialRooms, **more: Any) -> SignedIn:
        return await rooms.sign_in(await rooms.add_person(), **more)

    async def test_a_token_is_exchanged_for_a_pair_that_works(self, rooms: CredentialRooms) -> None:
        first = await self._signed_in(rooms)
        second = await exchanged(rooms, first.refresh_token)
        third = await exchanged(rooms, second.refresh_token)
        assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
        for token in (first.access_token, second.access_token, third.access_token):
            assert await access(rooms, token) == {"read:posts", "write:posts", "delete:posts"}
        assert await told(rooms) == {"refresh.rotated": 2}

    # (a) no row, or the proof differs: invalid, and nothing happens

    async def test_a_family_that_does_not_exist(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        assert await exchange(rooms, other(signed_in.refresh_token, family=bytes(16))) == "refresh.unknown"

    async def test_a_wrong_proof_ends_nothing(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        forged = other(signed_in.refresh_token, proof=bytes(16), secret=bytes(32))
        assert await exchange(rooms, forged) == "refresh.proof"
        assert await access(rooms, signed_in.access_token) != "access.grant_ended"
        await exchanged(rooms, signed_in.refresh_token)

    async def test_junk_costs_no_query(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        await rooms.database.close()
        for junk in ("", "x", signed_in.refresh_token[:-1], signed_in.refresh_token + "0", signed_in.access_token):
            assert await exchange(rooms, junk) == "refresh.malformed"

    # (b) ended or expired

    async def test_an_ended_grant(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        second = await exchanged(rooms, signed_in.refresh_token)
        # any token of the family ends it: the one at hand may be the one before
        assert await rooms.refresh.end(signed_in.refresh_token, Via()) is True
        for token in (signed_in.refresh_token, second.refresh_token):
            assert await exchange(rooms, token) == "refresh.family_ended"
        assert await access(rooms, second.access_token) == "access.grant_ended"
        assert "refresh.reused" not in await told(rooms)

    async def test_idle_and_absolute_ends(self, rooms: CredentialRooms, clock: ManualClock) -> None:
        tokens = rooms.settings.tokens
        idle = await self._signed_in(rooms)
        clock.advance(tokens.refresh_idle - TICK)
        pair = await exchanged(rooms, idle.refresh_token)
        clock.advance(tokens.refresh_idle)
        assert await exchange(rooms, pair.refresh_token) == "refresh.idle"
        steady = await self._signed_in(rooms)
        token = steady.refresh_token
        for _ in range(tokens.refresh_for // timedelta(days=5) - 1):
            clock.advance(timedelta(days=5))
            token = (await exchanged(rooms, token)).refresh_token
        clock.advance(timedelta(days=5))
        assert await exchange(rooms, token) == "refresh.expired"
        assert "refresh.reused" not in await told(rooms)

    # (c) the one before, within the grace, its successor unused: the same answer again

    async def test_the_same_answer_again_within_the_grace(self, rooms: CredentialRooms, clock: ManualClock) -> None:
        signed_in = await self._signed_in(rooms)
        clock.advance(timedelta(minutes=3))
        first = await exchanged(rooms, signed_in.refresh_token, via=Via(address="192.0.2.1"))
        for step in (timedelta(seconds=4), GRACE - timedelta(seconds=4)):
            clock.advance(step)
            again = await exchanged(rooms, signed_in.refresh_token, via=Via(address="198.51.100.2"))
            assert again.refresh_token == first.refresh_token
            assert _claims(rooms, again.access_token) == _claims(rooms, first.access_token)
        assert await told(rooms) == {"refresh.rotated": 1, "refresh.repeated": 2}
        rows = await rooms.database.read(lambda tx: events.search(tx, {}, (None, None), None, 100))
        assert {row.address for row in rows if row.type.startswith("refresh.")} == {"192.0.2.1", "198.51.100.2"}
        await exchanged(rooms, first.refresh_token)

    async def test_after_the_grace_it_is_theft(self, rooms: CredentialRooms, clock: ManualClock) -> None:
        signed_in = await self._signed_in(rooms)
        successor = await exchanged(rooms, signed_in.refresh_token)
        clock.advance(GRACE + TICK)
        await self._ended_by(rooms, signed_in.refresh_token, successor)

    async def test_what_the_cleaner_took_cannot_be_repeated(self, rooms: CredentialRooms, clock: ManualClock) -> None:
        signed_in = await self._signed_in(rooms)
        successor = await exchanged(rooms, signed_in.refresh_token)
        clock.advance(GRACE)
        assert await rooms.database.write(lambda tx: grants.clean_nonces(tx, tx.now - micros(GRACE))) == 0
        clock.advance(TICK)
        assert await rooms.database.write(lambda tx: grants.clean_nonces(tx, tx.now - micros(GRACE))) == 1
        await self._ended_by(rooms, signed_in.refresh_token, successor)

    # (d) any other token with a right proof was one of this family, and is used up

    async def test_once_the_successor_was_used_it_is_theft(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        successor = await exchanged(rooms, signed_in.refresh_token)
        third = await exchanged(rooms, successor.refresh_token)
        await self._ended_by(rooms, signed_in.refresh_token, third)

    async def test_a_secret_that_was_never_issued_is_theft(self, rooms: CredentialRooms) -> None:
        """Whoever knows the proof has had a token of this family."""
        signed_in = await self._signed_in(rooms)
        successor = await exchanged(rooms, signed_in.refresh_token)
        await self._ended_by(rooms, other(signed_in.refresh_token, secret=bytes(32)), successor)

    async def test_theft_ends_one_grant_only(self, rooms: CredentialRooms, clock: ManualClock) -> None:
        person = await rooms.add_person()
        stolen, kept = await rooms.sign_in(person), await rooms.sign_in(person)
        await exchanged(rooms, stolen.refresh_token)
        clock.advance(GRACE + TICK)
        assert await exchange(rooms, stolen.refresh_token) == "refresh.reused"
        await exchanged(rooms, kept.refresh_token)
        assert await access(rooms, kept.access_token) != "access.grant_ended"

    async def _ended_by(self, rooms: CredentialRooms, token: str, living: Refreshed) -> None:
        assert isinstance(await access(rooms, living.access_token), frozenset)
        assert await exchange(rooms, token) == "refresh.reused"
        assert await exchange(rooms, living.refresh_token) == "refresh.family_ended"
        assert await exchange(rooms, token) == "refresh.family_ended"
        assert await access(rooms, living.access_token) == "access.grant_ended"
        assert (await told(rooms))["refresh.reused"] == 1

    # a check that fails does not burn the token

    async def test_another_client_does_not_burn_it(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        assert await exchange(rooms, signed_in.refresh_token, "another") == "refresh.client"
        await exchanged(rooms, signed_in.refresh_token)

    async def test_scopes_narrow_the_access_token_and_never_the_grant(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms, scopes=frozenset({"read:posts", "write:posts"}))
        narrow = await exchanged(rooms, signed_in.refresh_token, scopes=frozenset({"read:posts"}))
        assert await access(rooms, narrow.access_token) == {"read:posts"}
        wide = await exchanged(rooms, narrow.refresh_token)
        assert await access(rooms, wide.access_token) == {"read:posts", "write:posts"}

    async def test_more_than_the_grant_is_refused_and_does_not_burn_it(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms, scopes=frozenset({"read:posts"}))
        asked = frozenset({"read:posts", "write:posts"})
        assert await exchange(rooms, signed_in.refresh_token, scopes=asked) == "refresh.scope"
        await exchanged(rooms, signed_in.refresh_token)

    async def test_a_disabled_person_and_a_disabled_client(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        clients = sa.update(schema.clients).where(schema.clients.c.id == SIGN_IN)

        def person(at: int | None) -> Any:
            return lambda tx: accounts.change(tx, signed_in.user, disabled_at=at)

        def client(at: int | None) -> Any:
            return lambda tx: tx.connection.execute(clients.values(disabled_at=at)).rowcount

        for change, reason in ((person, "refresh.subject_disabled"), (client, "refresh.client")):
            await rooms.database.write(change(1))
            assert await exchange(rooms, signed_in.refresh_token) == reason
            await rooms.database.write(change(None))
        await exchanged(rooms, signed_in.refresh_token)

    async def test_a_fence_is_no_theft(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        second = await exchanged(rooms, signed_in.refresh_token)
        await rooms.fence.raise_now(Via())
        for token in (signed_in.refresh_token, second.refresh_token):
            assert await exchange(rooms, token) == "refresh.fenced"
        assert "refresh.reused" not in await told(rooms)

    async def test_a_lost_role_is_lost_at_the_next_exchange(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        await rooms.database.write(lambda tx: accounts.change(tx, signed_in.user, roles="reader"))
        pair = await exchanged(rooms, signed_in.refresh_token)
        assert _claims(rooms, pair.access_token)["scope"] == "read:posts"

    async def test_the_store_holds_nothing_that_could_be_presented(self, rooms: CredentialRooms) -> None:
        signed_in = await self._signed_in(rooms)
        pair = await exchanged(rooms, signed_in.refresh_token)
        secrets = [_parts(token) for token in (signed_in.refresh_token, pair.refresh_token)]
        (row,) = await rooms.database.read(lambda tx: tx.connection.execute(sa.select(schema.families)).all())
        stored = [bytes(value) for value in row if isinstance(value, (bytes, memoryview))]
        assert len(stored) >= 6
        assert not {part for parts in secrets for part in (parts.proof, parts.secret)} & set(stored)


def _parts(token: str) -> RefreshParts:
    payload = FORMAT.parse(token)
    assert payload is not None
    return RefreshParts.unpack(payload)


def _claims(rooms: CredentialRooms, token: str) -> dict[str, Any]:
    from admit.crypto import jwt

    issuer, now = rooms.settings.issuer, rooms.clock.now()
    ring = rooms.signing_keys.ring
    rules = jwt.Rules(lambda kid: ring.claimed(kid, now), issuer, frozenset([issuer]))
    return dict(jwt.verify(token, rules, now).claims)


# -- among processes -----------------------------------------------------------------------------------------------

_OPENED: dict[int, asyncio.Task[CredentialRooms]] = {}


async def rooms_of(kit: Kit) -> CredentialRooms:
    """The rooms on a racer's database, opened once."""
    database: Database = kit.work  # type: ignore[assignment]
    if id(database) not in _OPENED:
        _OPENED.clear()
        _OPENED[id(database)] = asyncio.create_task(CredentialRooms(database, kit.clock).open())
    return await _OPENED[id(database)]


async def race(kit: Kit, arguments: dict[str, Any]) -> list[str]:
    """Exchanges one of the tokens: which one it was, and the new pair or the reason of the refusal."""
    rooms = await rooms_of(kit)
    token = arguments["tokens"][kit.random(1)[0] % len(arguments["tokens"])]
    got = await exchange(rooms, token)
    return [token, got] if isinstance(got, str) else [token, got.refresh_token, got.access_token]


class RefreshRaces:
    """A swap that reads, checks and then writes fails here."""

    EXCHANGE = f"{__name__}:race"

    async def test_a_hundred_exchanges_of_one_token_have_one_successor(self, url: str, racers: Racers) -> None:
        async with rooms_on(url) as rooms:
            signed_in = await rooms.sign_in(await rooms.add_person())
            racers.open(url)
            got = racers.run(Order(self.EXCHANGE, {"tokens": [signed_in.refresh_token]}, times=25))
            assert [answer for answer in got if len(answer) != 3] == [], "somebody was refused"
            successors = {answer[1] for answer in got}
            assert len(successors) == 1, f"{len(successors)} successors"
            assert len({_claims(rooms, answer[2])["jti"] for answer in got}) == 1
            assert await told(rooms) == {"refresh.rotated": 1, "refresh.repeated": 99}
            # one living token: the successor goes on, and after that the first one is a theft
            await exchanged(rooms, successors.pop())
            assert await exchange(rooms, signed_in.refresh_token) == "refresh.reused"

    async def test_a_chain_of_races_never_forks(self, url: str, racers: Racers) -> None:
        async with rooms_on(url) as rooms:
            token = (await rooms.sign_in(await rooms.add_person())).refresh_token
            racers.open(url)
            for _ in range(5):
                got = racers.run(Order(self.EXCHANGE, {"tokens": [token]}, times=3))
                successors = {answer[1] for answer in got}
                assert len(successors) == 1, f"{len(successors)} successors"
                token = successors.pop()
            assert await told(rooms) == {"refresh.rotated": 5, "refresh.repeated": 55}

    async def test_thief_and_owner_at_once_leave_nobody_signed_in(self, url: str, racers: Racers) -> None:
        clock = ManualClock()
        async with rooms_on(url, clock) as rooms:
            signed_in = await rooms.sign_in(await rooms.add_person())
            second = await exchanged(rooms, signed_in.refresh_token)
            third = await exchanged(rooms, second.refresh_token)
            tokens = [signed_in.refresh_token, third.refresh_token]
            racers.open(url)
            got = racers.run(Order(self.EXCHANGE, {"tokens": tokens}, times=10))
            assert any(answer[1] == "refresh.reused" for answer in got)
            for answer in got:
                if len(answer) == 3:
                    assert await exchange(rooms, answer[1]) == "refresh.family_ended"
                    await rooms.feed.poll()
                    assert await access(rooms, answer[2]) == "access.grant_ended"
            assert (await told(rooms))["refresh.reused"] == 1
