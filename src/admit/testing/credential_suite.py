"""What sessions and grants promise on every engine, as a test class to inherit (pytest-asyncio).

`CredentialContract` needs the fixtures `rooms`: open `CredentialRooms`, and `clock`: the `ManualClock` they go by.
"""
# ruff: noqa: S101 (asserts are what a suite is made of)

from __future__ import annotations

from datetime import timedelta

from admit.credentials.methods import read as proofs
from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.ground.principal import Facts, Method
from admit.stores.sql import grants, sessions
from admit.testing.clock import ManualClock
from admit.testing.credential_rooms import CredentialRooms
from admit.testing.refresh_suite import exchange

TICK = timedelta(microseconds=1)


async def ask(rooms: CredentialRooms, text: str) -> Facts | str:
    """The facts of a session, or the reason why it is refused."""
    try:
        return await rooms.live.facts("session", text)
    except Refusal as refusal:
        return refusal.reason


class CredentialContract:
    """The life of sessions and grants."""

    async def test_a_session_from_its_start_to_its_end(self, rooms: CredentialRooms) -> None:
        user, stranger = await rooms.add_person(), await rooms.add_person()
        text = await rooms.start_session(user)
        facts = await ask(rooms, text)
        assert isinstance(facts, Facts)
        assert (facts.owner, [method.name for method in facts.methods]) == (user, ["pwd"])
        session = facts.credential_id
        write = rooms.database.write
        assert await write(lambda tx: rooms.sessions.end(tx, stranger, session, Via())) is False
        assert await write(lambda tx: rooms.sessions.end(tx, user, session, Via())) is True
        assert await write(lambda tx: rooms.sessions.end(tx, user, session, Via())) is False
        assert await ask(rooms, text) == "session.ended"
        assert await write(lambda tx: rooms.sessions.rotate(tx, user, session, (), Via())) is None

    async def test_a_new_secret_kills_the_old_one_and_moves_no_limit(
        self, rooms: CredentialRooms, clock: ManualClock
    ) -> None:
        user = await rooms.add_person()
        old = await rooms.start_session(user)
        facts = await ask(rooms, old)
        assert isinstance(facts, Facts)
        clock.advance(timedelta(hours=1))
        methods = (Method("pwd", clock.now()), Method("otp", clock.now()))
        rotated = await rooms.database.write(
            lambda tx: rooms.sessions.rotate(tx, user, facts.credential_id, methods, Via())
        )
        assert rotated is not None
        assert await ask(rooms, old) == "session.unknown"
        renewed = await ask(rooms, rotated.token)
        assert isinstance(renewed, Facts)
        assert (renewed.credential_id, renewed.methods) == (facts.credential_id, methods)
        left = rooms.settings.sessions.absolute - timedelta(hours=1)
        assert rotated.lives == left // timedelta(seconds=1)

    async def test_all_sessions_but_one_end(self, rooms: CredentialRooms) -> None:
        user = await rooms.add_person()
        texts = [await rooms.start_session(user) for _ in range(3)]
        kept = await ask(rooms, texts[1])
        assert isinstance(kept, Facts)
        ended = await rooms.database.write(lambda tx: rooms.delivery.end_all(tx, user, Via(), kept.credential_id))
        assert ended == 2
        assert [isinstance(await ask(rooms, text), Facts) for text in texts] == [False, True, False]
        assert [row.id for row in await rooms.sessions.live(user)] == [kept.credential_id]

    async def test_use_prolongs_idleness_never_the_absolute_end_and_never_revives(
        self, rooms: CredentialRooms, clock: ManualClock
    ) -> None:
        user, limits = await rooms.add_person(), rooms.settings.sessions
        text = await rooms.start_session(user)
        facts = await ask(rooms, text)
        assert isinstance(facts, Facts)
        started = clock.now()
        for _ in range(limits.absolute // limits.idle):
            clock.advance(limits.idle - TICK)
            assert isinstance(await ask(rooms, text), Facts)
            at = [(facts.credential_id, clock.now())]
            await rooms.database.write(lambda tx, at=at: sessions.seen(tx, at))  # type: ignore[misc]
            # a batch that comes late never moves the last use back
            await rooms.database.write(lambda tx: sessions.seen(tx, [(facts.credential_id, started)]))
        clock.advance(timedelta(seconds=1))
        assert await ask(rooms, text) == "session.expired"
        idle = await rooms.start_session(user)
        resting = await ask(rooms, idle)
        assert isinstance(resting, Facts)
        clock.advance(limits.idle)
        await rooms.database.write(lambda tx: sessions.seen(tx, [(resting.credential_id, clock.now())]))
        assert await ask(rooms, idle) == "session.idle"

    async def test_a_grant_ends_for_its_owner_only_and_takes_its_family_along(self, rooms: CredentialRooms) -> None:
        user, stranger = await rooms.add_person(), await rooms.add_person()
        signed_in = await rooms.sign_in(user)
        write = rooms.database.write
        assert await write(lambda tx: rooms.grants.end(tx, stranger, signed_in.grant, Via())) is False
        assert await write(lambda tx: rooms.grants.end(tx, user, signed_in.grant, Via())) is True
        assert await rooms.grants.live(user) == []
        assert await exchange(rooms, signed_in.refresh_token) == "refresh.family_ended"

    async def test_a_fresh_proof_is_seen_at_the_next_use(self, rooms: CredentialRooms, clock: ManualClock) -> None:
        user = await rooms.add_person()
        signed_in = await rooms.sign_in(user)
        await rooms.live.facts("access_token", signed_in.access_token)
        clock.advance(timedelta(minutes=5))
        newest = Method("pwd", clock.now())
        assert await rooms.database.write(lambda tx: rooms.grants.renew(tx, user, signed_in.grant, newest)) is True
        facts = await rooms.live.facts("access_token", signed_in.access_token)
        assert max(method.at for method in facts.methods) == clock.now()
        kept = await rooms.database.read(lambda tx: grants.methods_of(tx, user, signed_in.grant))
        assert newest in proofs(kept or "")

    async def test_what_ended_long_ago_is_forgotten(self, rooms: CredentialRooms, clock: ManualClock) -> None:
        user = await rooms.add_person()
        await rooms.start_session(user)
        await rooms.sign_in(user)
        clock.advance(timedelta(days=365))
        for forget in (sessions.forget, grants.forget):
            assert await rooms.database.write(lambda tx, forget=forget: forget(tx, tx.now)) == 1  # type: ignore[misc]
            assert await rooms.database.write(lambda tx, forget=forget: forget(tx, tx.now)) == 0  # type: ignore[misc]
