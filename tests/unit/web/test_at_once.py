"""The short way of the resolver: whatever it answers, the long way answers as well; in doubt it says nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from admit import Admit, Refusal
from admit.credentials.grants import Person
from admit.ground.events import Via
from admit.ground.principal import Method
from admit.stores.sql import schema
from admit.testing.clock import ManualClock
from admit.web.resolver import Resolved, Resolver

USER, VIA = b"\x01" * 16, Via("test", None, None)
HOST = (b"host", b"localhost:8000")


@dataclass
class Live:
    """A resolver with one live session and one live access token, both in the cache."""

    auth: Admit
    resolver: Resolver
    session: bytes
    token: bytes

    def headers(self, text: str) -> list[tuple[bytes, bytes]]:
        """`text` is one header a line; {session} and {token} stand for the live ones."""
        lines = [line.encode().partition(b": ") for line in text.splitlines()]
        filled = [(name, self._fill(value)) for name, _, value in lines]
        return [*filled] if any(name == b"host" for name, _ in filled) else [HOST, *filled]

    def _fill(self, value: bytes) -> bytes:
        return value.replace(b"{session}", self.session).replace(b"{token}", self.token)


def scope(headers: list[tuple[bytes, bytes]], method: str = "GET") -> dict[str, Any]:
    """A request."""
    return {"type": "http", "method": method, "path": "/", "headers": headers, "client": ("127.0.0.1", 1)}


@pytest.fixture
async def live() -> AsyncIterator[Live]:
    auth = Admit(database="sqlite://", clock=ManualClock(), passwords={"hash": "cheap"})
    await auth.open()
    auth.site()
    gate = auth._door.gate
    assert gate is not None
    session, token = await _deliver(auth, "session"), await _deliver(auth, "tokens")
    found = Live(auth, gate._resolver, session.session_token.encode(), token.access_token.encode())
    await found.resolver.resolve(scope(found.headers("cookie: admit-session={session}")))
    await found.resolver.resolve(scope(found.headers("authorization: Bearer {token}")))
    yield found
    await auth.close()


async def _deliver(auth: Admit, deliver: Any) -> Any:
    def body(tx: Any) -> Any:
        row = {"tenant": 1, "id": USER, "kind": "user", "roles": "", "profile": {}, "created_at": tx.now}
        if deliver == "session":
            tx.connection.execute(schema.users.insert(), [row])
        return auth.rooms.delivery.start(tx, Person(USER, (), (Method("pwd", tx.now),)), deliver, VIA)

    return await auth.rooms.delivery.finish(await auth.rooms.kit.work.write(body))


def short(live: Live, headers: list[tuple[bytes, bytes]], method: str = "GET") -> Resolved | None:
    """What the short way says."""
    return live.resolver.at_once(scope(headers, method), live.auth.rooms.kit.clock.now())


@pytest.mark.parametrize(
    "text",
    [
        "cookie: admit-session={session}",
        "cookie: a=b; admit-session={session}; c=d",
        "cookie: a=b;admit-session={session}",
        "authorization: Bearer {token}",
        "authorization: Bearer {token}\ncookie: admit-session={session}",
    ],
)
async def test_plain_requests_are_answered_as_the_long_way_answers(live: Live, text: str) -> None:
    headers = live.headers(text)
    found, full = short(live, headers), await live.resolver.resolve(scope(headers))
    assert found is not None
    assert (found.facts, found.ambient) == (full.facts, full.ambient)
    assert full.facts is not None


@pytest.mark.parametrize(
    "text",
    [
        "accept: */*",
        "cookie: other=1 admit-session={session}",  # a value that looks like ours is no cookie of ours
        "cookie: xadmit-session={session}",
        'cookie: a="; admit-session={session}',
        "cookie: admit-session={session}; admit-session=planted",
        "cookie: admit-session={session}\ncookie: admit-session=planted",
        "cookie: admit-session=",
        "cookie: admit-session={session}x",
        "cookie: admit-session={token}",  # a token is no session
        "cookie: admit-access={session}",
        "authorization: Bearer {session}",
        "authorization: bearer {token}",
        "authorization: Bearer  {token}",
        "authorization: Bearer {token} ",
        "authorization: Basic {token}",
        "authorization: Bearer {token}\nauthorization: Bearer {token}",
        "authorization: Bearer {token}\nx-api-key: {token}",
        "x-api-key: {token}",
        "authorization: Basic YTpi\ncookie: admit-session={session}",
        "host: evil.example\nauthorization: Bearer {token}",
        "host: localhost\nhost: localhost\nauthorization: Bearer {token}",
    ],
)
async def test_in_doubt_it_says_nothing_that_the_long_way_does_not_say(live: Live, text: str) -> None:
    headers = live.headers(text)
    found = short(live, headers)
    if found is None:
        return
    full = await live.resolver.resolve(scope(headers))
    assert (found.facts, found.ambient) == (full.facts, full.ambient)


async def test_a_cookie_needs_its_token_on_the_short_way_too(live: Live) -> None:
    headers = live.headers("cookie: admit-session={session}")
    for method in ("POST", "DELETE", "PATCH", "PUT"):
        with pytest.raises(Refusal) as refused:
            short(live, headers, method)
        assert refused.value.reason == "csrf.missing"
    assert short(live, headers, "HEAD") is not None


async def test_what_was_voided_is_not_at_hand(live: Live) -> None:
    headers = live.headers("authorization: Bearer {token}")
    assert short(live, headers) is not None
    await live.auth.rooms.kit.work.write(lambda tx: live.auth.rooms.delivery.end_all(tx, USER, VIA))
    assert short(live, headers) is None


async def test_without_a_lease_nothing_is_at_hand(live: Live) -> None:
    headers = live.headers("authorization: Bearer {token}")
    live.auth.rooms.live.feed.fresh_until = 0.0
    assert short(live, headers) is None
