"""Tickets: taken once, for their purpose, in time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from admit.credentials.tickets import TicketRow, Tickets, TicketUsed
from admit.crypto.opaque import TicketParts, ticket_format
from admit.ground.errors import REASONS, Refused
from admit.ground.kit import Kit
from admit.settings import Settings
from admit.stores.sql import claims, schema
from admit.testing.clock import ManualClock
from admit.testing.key_suite import add_owner

HOUR = timedelta(hours=1)
FORM = ticket_format("admit")


@pytest.fixture
def tickets(kit: Kit) -> Tickets:
    return Tickets(kit, Settings())


async def issue(kit: Kit, purpose: str = "reset", user: bytes | None = None, **data: Any) -> str:
    return await kit.work.write(lambda tx: Tickets(kit, Settings()).issue(tx, purpose, user, data, HOUR))


async def take(kit: Kit, text: str, purpose: str = "reset", taken_for: bytes | None = None) -> TicketRow | Refused:
    return await kit.work.write(lambda tx: Tickets(kit, Settings()).take(tx, purpose, text, taken_for))


async def peek(kit: Kit, text: str, purpose: str = "reset") -> TicketRow | Refused:
    return await kit.work.read(lambda tx: Tickets(kit, Settings()).peek(tx, purpose, text))


def reason(got: TicketRow | Refused) -> str:
    assert isinstance(got, Refused), got
    assert got.reason in REASONS
    return got.reason


@pytest.mark.proof("ASVS-2.3.4")
async def test_a_ticket_is_taken_once(kit: Kit) -> None:
    user, grant = kit.new_id(), kit.new_id()
    text = await issue(kit, user=user, email="maria@example.org")
    seen = await peek(kit, text)
    assert isinstance(seen, TicketRow)
    assert (seen.user_id, seen.data, seen.taken_at) == (user, {"email": "maria@example.org"}, None)
    taken = await take(kit, text, taken_for=grant)
    assert taken == seen._replace(taken_at=kit.clock.now(), taken_for=grant)
    for again in (await take(kit, text, taken_for=kit.new_id()), await peek(kit, text)):
        assert again == TicketUsed("ticket.used", taken_for=grant)
        assert isinstance(again, Refused)


@pytest.mark.proof("ASVS-11.5.1")
async def test_only_a_digest_is_kept(kit: Kit) -> None:
    text = await issue(kit)
    payload = FORM.parse(text)
    assert payload is not None
    secret = TicketParts.unpack(payload).secret
    stored = await kit.work.read(lambda tx: repr(tx.connection.execute(sa.select(schema.tickets)).all()))
    assert text not in stored
    assert repr(secret) not in stored
    assert len(secret) == 32


@pytest.mark.proof("ASVS-2.3.1")
async def test_another_purpose_does_not_burn_it(kit: Kit) -> None:
    text = await issue(kit, "verify")
    assert reason(await take(kit, text, "reset")) == "ticket.purpose"
    assert reason(await peek(kit, text, "reset")) == "ticket.purpose"
    assert isinstance(await take(kit, text, "verify"), TicketRow)


@pytest.mark.proof("NIST-4.2.1.2")
async def test_it_ends_when_its_time_has_come_and_not_before(kit: Kit, clock: ManualClock) -> None:
    first, second = await issue(kit), await issue(kit)
    clock.advance(HOUR - timedelta(microseconds=1))
    assert isinstance(await take(kit, first), TicketRow)
    clock.advance(timedelta(microseconds=1))
    assert reason(await take(kit, second)) == "ticket.expired"
    assert reason(await peek(kit, second)) == "ticket.expired"
    assert reason(await take(kit, first)) == "ticket.used"


async def test_what_no_ticket_can_be(kit: Kit) -> None:
    text = await issue(kit)
    for junk in ("", text[:-1], text + "a", text.replace("_t_", "_s_"), "x" * 10**6, "\ud800", text[:-1] + "ä"):
        assert reason(await take(kit, junk)) == "ticket.malformed"
        assert reason(await peek(kit, junk)) == "ticket.malformed"


async def test_the_id_opens_nothing_and_tells_nothing(kit: Kit) -> None:
    text = await issue(kit)
    payload = FORM.parse(text)
    assert payload is not None
    parts = TicketParts.unpack(payload)
    guesses = [
        TicketParts(1, parts.id, bytes(32)),
        TicketParts(1, kit.new_id(), parts.secret),
        TicketParts(2, parts.id, parts.secret),
    ]
    for _ in range(2):  # the second time the ticket is used
        for guess in guesses:
            assert reason(await take(kit, FORM.issue(guess.pack()))) == "ticket.unknown"
            assert reason(await peek(kit, FORM.issue(guess.pack()))) == "ticket.unknown"
        await take(kit, text)


async def test_a_new_link_ends_the_older_ones_of_that_person_and_purpose(kit: Kit, tickets: Tickets) -> None:
    maria, piet = await add_owner(kit), await add_owner(kit)
    old, used = await issue(kit, user=maria), await issue(kit, user=maria)
    await take(kit, used)
    kept = [(await issue(kit, "verify", maria), "verify"), (await issue(kit, user=piet), "reset")]
    assert await kit.work.write(lambda tx: tickets.void_all(tx, "reset", maria)) == 1
    fresh = await issue(kit, user=maria)
    assert reason(await take(kit, old)) == "ticket.expired"
    assert reason(await take(kit, used)) == "ticket.used"
    for text, purpose in [*kept, (fresh, "reset")]:
        assert isinstance(await take(kit, text, purpose), TicketRow)


async def test_a_ticket_that_is_dead_at_birth_is_a_mistake_of_the_caller(kit: Kit, tickets: Tickets) -> None:
    for purpose, lasts in (("reset", timedelta(0)), ("reset", -HOUR), ("", HOUR)):
        with pytest.raises(ValueError, match="purpose and a time"):
            await kit.work.write(lambda tx, p=purpose, t=lasts: tickets.issue(tx, p, None, {}, t))  # type: ignore[misc]


async def test_old_ones_are_forgotten(kit: Kit, clock: ManualClock, tickets: Tickets) -> None:
    old = await issue(kit)
    clock.advance(timedelta(days=1) + HOUR)
    fresh = await issue(kit)
    assert await kit.work.write(tickets.forget) == 0
    clock.advance(timedelta(microseconds=1))
    assert await kit.work.write(tickets.forget) == 1
    assert reason(await take(kit, old)) == "ticket.unknown"
    assert isinstance(await take(kit, fresh), TicketRow)


async def test_a_claim_is_made_once_until_its_time_is_over(kit: Kit, clock: ManualClock) -> None:
    until = clock.now() + 10

    async def claim(key: str) -> bool:
        return await kit.work.write(lambda tx: claims.claim(tx, key, until))

    assert [await claim("a"), await claim("a"), await claim("b")] == [True, False, True]
    clock.advance(timedelta(microseconds=10))
    assert not await claim("a")
    assert await kit.work.write(claims.forget) == 0
    clock.advance(timedelta(microseconds=1))
    assert await claim("a")
    clock.advance(timedelta(microseconds=1))
    assert await kit.work.write(claims.forget) == 2
