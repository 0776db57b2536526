"""What tickets promise to callers in several processes at once, as a test class to inherit (pytest-asyncio).

`TicketRaces` needs the fixtures `url`: an empty, migrated database that several processes share, and `racers`: four
`Racers` that run. A subclass that names other racers holds another implementation to the same promise.
"""
# ruff: noqa: S101 (asserts are what a suite is made of)

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from admit.credentials.tickets import Tickets, TicketUsed
from admit.ground.errors import Refused
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.settings import Settings
from admit.stores.sql import accounts, claims
from admit.stores.sql.database import open_database
from admit.testing.clock import ManualClock
from admit.testing.store_racers import Order, Racers

PURPOSE = "race"


@asynccontextmanager
async def kit_on(url: str) -> AsyncIterator[Kit]:
    """A kit on the (migrated) database, at the moment at which the racers' clocks stand still."""
    clock = ManualClock()
    database = open_database(url, clock, secrets.token_bytes)
    try:
        yield Kit(database, clock)
    finally:
        await database.close()


async def take(kit: Kit, arguments: dict[str, Any]) -> list[str | None]:
    """Takes the ticket for something of its own: what it got and for whom it was taken."""
    mine = kit.new_id()
    got = await kit.work.write(lambda tx: Tickets(kit, Settings()).take(tx, PURPOSE, arguments["text"], mine))
    if isinstance(got, TicketUsed):
        return [got.reason, (got.taken_for or b"").hex()]
    return [got.reason, None] if isinstance(got, Refused) else ["taken", mine.hex()]


async def renew(kit: Kit, arguments: dict[str, Any]) -> str:
    """Ends the person's tickets and issues a new one, as a second "forgot my password" does."""
    tickets, user = Tickets(kit, Settings()), bytes.fromhex(arguments["user"])

    def body(tx: Tx) -> str:
        tickets.void_all(tx, PURPOSE, user)
        return tickets.issue(tx, PURPOSE, user, {}, timedelta(minutes=30))

    return await kit.work.write(body)


async def claim(kit: Kit, arguments: dict[str, Any]) -> bool:
    """Claims one key."""
    return await kit.work.write(lambda tx: claims.claim(tx, arguments["key"], tx.now + 1_000_000))


class TicketRaces:
    """A ticket that reads, checks and then writes fails here."""

    TAKE = f"{__name__}:take"

    async def test_one_of_forty_racers_takes_it_and_the_others_learn_what_came_of_it(
        self, url: str, racers: Racers
    ) -> None:
        async with kit_on(url) as kit:
            tickets = Tickets(kit, Settings())
            lasts = timedelta(minutes=1)
            texts = [await kit.work.write(lambda tx: tickets.issue(tx, PURPOSE, None, {}, lasts)) for _ in range(3)]
        racers.open(url)
        for text in texts:
            got = racers.run(Order(self.TAKE, {"text": text}, times=10))
            taken = [for_ for what, for_ in got if what == "taken"]
            assert len(taken) == 1, f"{len(taken)} of {len(got)} racers took one ticket"
            assert Counter(what for what, _ in got) == {"taken": 1, "ticket.used": 39}
            assert {for_ for _, for_ in got} == set(taken)

    async def test_links_asked_for_at_once_leave_one_that_works(self, url: str, racers: Racers) -> None:
        async with kit_on(url) as kit:
            user = accounts.UserRow(kit.new_id(), "user", 1, None, "", {}, None, kit.clock.now(), None)
            await kit.work.write(lambda tx: accounts.insert(tx, user, None, []))
            racers.open(url)
            texts = racers.run(Order(f"{__name__}:renew", {"user": user.id.hex()}, times=5))
            assert len(set(texts)) == 20
            tickets = Tickets(kit, Settings())
            got = await kit.work.read(lambda tx: [tickets.peek(tx, PURPOSE, text) for text in texts])
        open_ = [row for row in got if not isinstance(row, Refused)]
        assert len(open_) == 1, f"{len(open_)} links work"
        assert {row.reason for row in got if isinstance(row, Refused)} == {"ticket.expired"}

    def test_one_of_forty_racers_makes_a_claim(self, url: str, racers: Racers) -> None:
        racers.open(url)
        for key in ("jti:a", "jti:b"):
            assert sum(racers.run(Order(f"{__name__}:claim", {"key": key}, times=10))) == 1
