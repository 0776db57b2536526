"""What a verifier makes of what it hears, and until when it trusts that."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import cast

import pytest

from admit.credentials.live.written import read_tie, tie_json
from admit.ground.clock import SECOND
from admit.ground.errors import Unavailable
from admit.ground.principal import Tie, TieKind
from admit.testing.clock import ManualClock
from admit.verifier import Issuer, RemoteFeed
from admit.verifier.feed import ANY
from admit.verifier.issuer import News

ALICE, BOB = Tie("user", b"a" * 16), Tie("user", b"b" * 16)
ANY_CLIENT = Tie("client", ANY)
MINUTE = 60 * SECOND
KEEP = 20 * MINUTE


@dataclass
class Outside:
    clock: ManualClock

    def random(self, size: int) -> bytes:
        return secrets.token_bytes(size)


class Told:
    """Stands for the issuer: says what it is given, and remembers how it was asked."""

    def __init__(self) -> None:
        self.next: list[News | Exception] = []
        self.asked: list[tuple[str | None, float]] = []

    async def feed(self, after: str | None, wait: float) -> News:
        self.asked.append((after, wait))
        answer = self.next.pop(0) if self.next else news()
        if isinstance(answer, Exception):
            raise answer
        return answer


def news(*voids: tuple[Tie, int], cursor: str = "c", reset: bool = False) -> News:
    return News(cursor, reset, list(voids), ManualClock().now(), KEEP)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def moved() -> list[str]:
    """One entry for each time that the signing keys were said to have moved."""
    return []


@pytest.fixture
def feed(clock: ManualClock, told: Told, moved: list[str]) -> RemoteFeed:
    return RemoteFeed(Outside(clock), cast("Issuer", told), lambda: moved.append("keys"))


@pytest.mark.proof("ASVS-16.5.3")
async def test_what_was_heard_is_trusted_for_the_lease_and_no_longer(
    feed: RemoteFeed, clock: ManualClock, told: Told
) -> None:
    assert not feed.is_fresh()
    await feed.poll()
    assert feed.is_fresh()
    clock.advance(timedelta(seconds=1.4))
    assert feed.is_fresh()
    clock.advance(timedelta(seconds=0.1))
    assert not feed.is_fresh()
    told.next = [Unavailable("issuer")]
    with pytest.raises(Unavailable):
        await feed.poll()
    assert not feed.is_fresh()


async def test_after_a_failure_everything_is_asked_for_again(feed: RemoteFeed, told: Told) -> None:
    told.next = [news(cursor="1"), news(cursor="2"), Unavailable("issuer"), news(cursor="3"), news(cursor="4")]
    for _ in range(5):
        try:
            await feed.poll()
        except Unavailable:
            continue
    assert [after for after, _ in told.asked] == [None, "1", "2", None, "3"]


async def test_only_who_has_a_lease_waits_for_news(feed: RemoteFeed, clock: ManualClock, told: Told) -> None:
    await feed.poll()
    await feed.poll()
    clock.advance(timedelta(seconds=2))
    await feed.poll()
    waits = [wait for _, wait in told.asked]
    assert waits[0] == waits[2] == 0
    assert 0 < waits[1] < 0.5


async def test_a_token_older_than_a_void_is_asked_about_and_a_younger_one_is_not(
    feed: RemoteFeed, clock: ManualClock, told: Told
) -> None:
    at = clock.now()
    told.next = [news((ALICE, 2))]
    await feed.poll()
    assert feed.moved_since([BOB, ALICE], at - MINUTE)
    assert feed.moved_since([ALICE], at + 29 * SECOND), "so close that it may have been read before"
    assert not feed.moved_since([ALICE], at + MINUTE)
    assert not feed.moved_since([BOB], at - MINUTE)
    assert feed.version(ALICE) == 2
    assert not feed.holds([(ALICE, 1)])
    assert feed.holds([(ALICE, 2), (BOB, 0)])


@pytest.mark.parametrize("kind", ["client", "org", "config"])
async def test_what_a_token_does_not_name_is_taken_for_its_own(
    feed: RemoteFeed, clock: ManualClock, told: Told, kind: TieKind
) -> None:
    tie, unnamed = Tie(kind, b"c" * 16), Tie(kind, ANY)
    told.next = [news((tie, 7)), news((tie, 7)), news((tie, 8))]
    await feed.poll()
    first = feed.version(unnamed)
    assert first > 0
    assert feed.moved_since([unnamed], clock.now() - MINUTE)
    await feed.poll()
    assert feed.version(unnamed) == first, "heard twice is moved once"
    await feed.poll()
    assert not feed.holds([(unnamed, first)])


async def test_another_database_makes_everything_unknown(feed: RemoteFeed, clock: ManualClock, told: Told) -> None:
    emptied: list[str] = []
    feed.on_other_database(lambda: emptied.append("cache"))
    told.next = [news((ALICE, 900)), news((BOB, 2), reset=True)]
    await feed.poll()
    assert not emptied
    await feed.poll()
    assert emptied == ["cache"]
    assert (feed.version(ALICE), feed.version(BOB)) == (0, 2)
    assert not feed.moved_since([ALICE], clock.now())


async def test_a_version_for_any_client_never_goes_back(feed: RemoteFeed, clock: ManualClock, told: Told) -> None:
    """Facts of before, compared with a count that began anew, would look current."""
    told.next = [
        news(*((Tie("client", bytes([n]) * 16), 1) for n in range(3))),
        news(reset=True),
        news((Tie("client", b"x" * 16), 1)),
    ]
    for _ in range(3):
        await feed.poll()
    assert feed.version(ANY_CLIENT) > 3


async def test_signing_keys_that_move_are_fetched_again(
    feed: RemoteFeed, clock: ManualClock, told: Told, moved: list[str]
) -> None:
    told.next = [news((ALICE, 2)), news((Tie("kid", b"ring"), 2))]
    await feed.poll()
    assert moved == []
    await feed.poll()
    assert moved == ["keys"]


async def test_voids_are_forgotten_when_no_token_of_their_time_is_alive(
    feed: RemoteFeed, clock: ManualClock, told: Told
) -> None:
    many = [(Tie("grant", n.to_bytes(16, "big")), 1) for n in range(1500)]
    told.next = [news(*many)]
    await feed.poll()
    issued = clock.now() - MINUTE
    clock.advance(timedelta(minutes=19))
    await feed.poll()
    assert feed.moved_since([many[0][0]], issued)
    clock.advance(timedelta(minutes=2))
    await feed.poll()
    assert not feed.moved_since([many[0][0]], issued)


@pytest.mark.parametrize(
    "tie",
    [
        *(Tie(kind, b"\x07" * 16) for kind in ("grant", "key", "user", "client", "org", "session", "config")),
        Tie("kid", b"ring"), Tie("tenant", b"\0\0\0\1"),
    ],
)  # fmt: skip
def test_a_tie_comes_over_as_it_was(tie: Tie) -> None:
    assert read_tie(tie_json(tie, 3)) == (tie, 3)


@pytest.mark.parametrize(
    "written",
    [
        None, [], {}, "x", {"kind": "user", "id": "usr_x", "version": 1}, {"kind": "x", "id": "x", "version": 1},
        {"kind": "kid", "id": 1, "version": 1}, {"kind": "kid", "id": "x", "version": "1"},
        {"kind": "kid", "id": "x", "version": -1}, {"kind": "kid", "id": "x", "version": True},
        {"kind": "tenant", "id": "-1", "version": 1}, {"kind": "tenant", "id": "9" * 30, "version": 1},
        {"kind": "config", "id": "xyz", "version": 1}, {"kind": ["kid"], "id": "x", "version": 1},
    ],
)  # fmt: skip
def test_half_a_tie_is_none(written: object) -> None:
    with pytest.raises(ValueError, match="tie"):
        read_tie(written)
