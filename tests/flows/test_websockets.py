"""WebSockets and streams: refused, admitted, and closed when the credential dies or runs out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import StreamingResponse

from admit import Admit, Principal
from admit.credentials.grants import Person
from admit.ground.events import Via
from admit.ground.principal import Method
from admit.people.account import NewAccount
from admit.people.identifiers import parse
from admit.testing.clock import ManualClock

pytestmark = pytest.mark.proof("ASVS-7.4.1", "ASVS-7.4.2")


class Socket:
    """One WebSocket connection to an ASGI application, spoken directly."""

    def __init__(self, app: Any, headers: dict[str, str], path: str = "/echo") -> None:
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "websocket", "path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "ws",
            "root_path": "", "subprotocols": [], "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8000),
            "headers": [(b"host", b"127.0.0.1:8000"), *((k.encode(), v.encode()) for k, v in headers.items())],
        }  # fmt: skip
        self._in.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(app(scope, self._in.get, self.out.put))

    async def heard(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.out.get(), 10)

    def say(self, text: str) -> None:
        self._in.put_nowait({"type": "websocket.receive", "text": text})

    async def leave(self) -> None:
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, 10)


class Stand:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.auth = Admit(
            database="sqlite://", passwords={"hash": "cheap"}, clock=self.clock, scopes={"talk": "Talk"},
            roles={"member": ("talk",)}, default_roles=("member",), cors={"origins": ("https://ally.test",)},
        )  # fmt: skip
        self.app = FastAPI()
        self.auth.mount(self.app)
        self.ended: list[int] = []

        @self.app.websocket("/echo")
        async def echo(socket: WebSocket, caller: Principal = Depends(self.auth.require("talk"))) -> None:  # noqa: B008
            await socket.accept()
            async for text in socket.iter_text():
                await socket.send_text(f"{caller.credential.kind}:{text}")
            self.ended.append(1)

    async def person(self) -> bytes:
        accounts = self.auth.rooms.accounts
        new = NewAccount((parse("username", "alice"),), None, ("member",))
        return (await self.auth.rooms.kit.work.write(lambda tx: accounts.create(tx, new, Via()))).id  # type: ignore[union-attr]

    async def bearer(self, user: bytes) -> tuple[str, bytes]:
        delivery, clock = self.auth.rooms.delivery, self.clock
        person = Person(user, ("member",), (Method("pwd", clock.now()),))
        started = await self.auth.rooms.kit.work.write(lambda tx: delivery.start(tx, person, "tokens", Via()))
        delivered = await delivery.finish(started)
        assert delivered.access_token
        return delivered.access_token, delivered.binding

    async def session(self, user: bytes) -> tuple[str, bytes]:
        delivery, clock = self.auth.rooms.delivery, self.clock
        person = Person(user, ("member",), (Method("pwd", clock.now()),))
        started = await self.auth.rooms.kit.work.write(lambda tx: delivery.start(tx, person, "session", Via()))
        assert started.session
        return started.session.token, started.session.id


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    async with made.auth.lifespan():
        yield made


async def test_nobody_is_refused_before_the_handshake_is_accepted(stand: Stand) -> None:
    socket = Socket(stand.app, {})
    assert await socket.heard() == {"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}


async def test_a_bearer_is_admitted_and_may_talk(stand: Stand) -> None:
    token, _ = await stand.bearer(await stand.person())
    socket = Socket(stand.app, {"authorization": f"Bearer {token}"})
    assert (await socket.heard())["type"] == "websocket.accept"
    socket.say("hello")
    assert (await socket.heard())["text"] == "access_token:hello"
    await socket.leave()
    assert stand.ended == [1]


@pytest.mark.parametrize(
    ("origin", "accepted"),
    [
        (None, False),
        ("null", False),
        ("https://evil.test", False),
        ("http://127.0.0.1:8000", True),
        ("https://ally.test", True),
    ],
)
@pytest.mark.proof("ASVS-4.4.2")
async def test_a_cookie_needs_an_origin_that_is_ours(stand: Stand, origin: str | None, accepted: bool) -> None:
    token, _ = await stand.session(await stand.person())
    headers = {"cookie": f"admit-session={token}", **({"origin": origin} if origin else {})}
    socket = Socket(stand.app, headers)
    heard = await socket.heard()
    if accepted:
        assert heard["type"] == "websocket.accept"
        await socket.leave()
    else:
        assert heard == {"type": "websocket.close", "code": 4403, "reason": "csrf_cross_site"}


async def test_the_end_of_the_grant_closes_it(stand: Stand) -> None:
    user = await stand.person()
    token, grant = await stand.bearer(user)
    socket = Socket(stand.app, {"authorization": f"Bearer {token}"})
    assert (await socket.heard())["type"] == "websocket.accept"
    await stand.auth.rooms.kit.work.write(lambda tx: stand.auth.rooms.delivery.end(tx, user, grant, Via()))
    heard = await socket.heard()
    assert (heard["type"], heard["code"]) == ("websocket.close", 4401)
    await asyncio.wait_for(socket.task, 10)
    assert stand.ended == [1], "the application hears a disconnect"


async def test_what_happens_to_others_closes_nothing(stand: Stand) -> None:
    user = await stand.person()
    token, _ = await stand.bearer(user)
    _, other = await stand.bearer(user)
    socket = Socket(stand.app, {"authorization": f"Bearer {token}"})
    assert (await socket.heard())["type"] == "websocket.accept"
    await stand.auth.rooms.kit.work.write(lambda tx: stand.auth.rooms.delivery.end(tx, user, other, Via()))
    socket.say("still here")
    assert (await socket.heard())["text"] == "access_token:still here"
    await socket.leave()


async def test_disabling_the_person_closes_a_session_too(stand: Stand) -> None:
    user = await stand.person()
    token, _ = await stand.session(user)
    socket = Socket(stand.app, {"cookie": f"admit-session={token}", "origin": "http://127.0.0.1:8000"})
    assert (await socket.heard())["type"] == "websocket.accept"
    await stand.auth.rooms.kit.work.write(lambda tx: stand.auth.rooms.accounts.disable(tx, user, Via()))
    assert (await socket.heard())["code"] == 4401


async def test_the_deadline_is_checked_and_closes_it(stand: Stand) -> None:
    token, _ = await stand.bearer(await stand.person())
    stand.clock.advance(timedelta(minutes=14, seconds=59.9))
    socket = Socket(stand.app, {"authorization": f"Bearer {token}"})
    assert (await socket.heard())["type"] == "websocket.accept"
    stand.clock.advance(timedelta(seconds=1))
    assert (await socket.heard())["code"] == 4401


async def test_a_lost_right_closes_it(stand: Stand) -> None:
    # the handler asked for the right once, at the handshake
    user = await stand.person()
    token, _ = await stand.bearer(user)
    socket = Socket(stand.app, {"authorization": f"Bearer {token}"})
    assert (await socket.heard())["type"] == "websocket.accept"
    accounts = stand.auth.rooms.accounts
    await stand.auth.rooms.kit.work.write(lambda tx: accounts.revoke(tx, user, ["member"], Via()))
    heard = await socket.heard()
    assert (heard["type"], heard["code"]) == ("websocket.close", 4401)


async def test_one_that_was_accepted_before_it_was_asked_for_is_watched_too(stand: Stand) -> None:
    require = stand.auth.require("talk")

    @stand.app.websocket("/late")
    async def late(socket: WebSocket) -> None:
        await socket.accept()
        await require(socket)
        await socket.send_text("welcome")
        async for text in socket.iter_text():
            await socket.send_text(text)

    user = await stand.person()
    token, grant = await stand.bearer(user)
    socket = Socket(stand.app, {"authorization": f"Bearer {token}"}, "/late")
    assert [(await socket.heard())["type"] for _ in range(2)] == ["websocket.accept", "websocket.send"]
    await stand.auth.rooms.kit.work.write(lambda tx: stand.auth.rooms.delivery.end(tx, user, grant, Via()))
    heard = await socket.heard()
    assert (heard["type"], heard["code"]) == ("websocket.close", 4401)


class Stream:
    """One request to the endless answer, spoken directly."""

    def __init__(self, app: Any, token: str) -> None:
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        scope = {
            "type": "http", "path": "/endless", "raw_path": b"/endless", "query_string": b"", "scheme": "http",
            "root_path": "", "method": "GET", "client": ("127.0.0.1", 5), "server": ("127.0.0.1", 8000),
            "headers": [(b"host", b"127.0.0.1:8000"), (b"authorization", f"Bearer {token}".encode())],
            "asgi": {"version": "3.0", "spec_version": "2.4"},
        }  # fmt: skip
        self._in.put_nowait({"type": "http.request", "body": b"", "more_body": False})
        self.task = asyncio.ensure_future(app(scope, self._in.get, self.out.put))

    async def pieces(self) -> list[dict[str, Any]]:
        """Everything that was sent, once the application is through."""
        await asyncio.wait_for(self.task, 10)
        return [self.out.get_nowait() for _ in range(self.out.qsize())]


def endless(stand: Stand, quiet: asyncio.Event) -> None:
    """A route whose answer never ends by itself: it sends one piece and waits for what does not come."""

    @stand.app.get("/endless")
    async def answer(caller: Principal = Depends(stand.auth.require("talk"))) -> StreamingResponse:  # noqa: B008
        async def pieces() -> AsyncIterator[bytes]:
            yield caller.subject.id.encode()
            await quiet.wait()
            yield b"the end"

        return StreamingResponse(pieces())


async def test_an_answer_in_pieces_breaks_off_when_the_credential_dies(stand: Stand) -> None:
    quiet = asyncio.Event()
    endless(stand, quiet)
    user = await stand.person()
    token, grant = await stand.bearer(user)
    stream = Stream(stand.app, token)
    assert (await asyncio.wait_for(stream.out.get(), 10))["status"] == 200
    assert (await asyncio.wait_for(stream.out.get(), 10))["more_body"] is True
    await stand.auth.rooms.kit.work.write(lambda tx: stand.auth.rooms.delivery.end(tx, user, grant, Via()))
    assert all(piece["more_body"] for piece in await stream.pieces()), "it has no end"


async def test_an_answer_in_pieces_ends_as_it_wants_while_the_credential_lives(stand: Stand) -> None:
    quiet = asyncio.Event()
    endless(stand, quiet)
    user = await stand.person()
    token, _ = await stand.bearer(user)
    _, other = await stand.bearer(user)
    stream = Stream(stand.app, token)
    assert (await asyncio.wait_for(stream.out.get(), 10))["status"] == 200
    await stand.auth.rooms.kit.work.write(lambda tx: stand.auth.rooms.delivery.end(tx, user, other, Via()))
    quiet.set()
    pieces = await stream.pieces()
    assert pieces[-1]["more_body"] is False
    assert b"the end" in b"".join(piece["body"] for piece in pieces)
