"""An application under test with its Admit, and the browsers and programs that call it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast

import httpx2
import uvicorn
from asgi_lifespan import LifespanManager
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from admit import Admit
from admit.audit.reading import event_json, list_events
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.ids import read
from admit.ground.work import Tx
from admit.outbound.mail import Mail
from admit.people.account import Account
from admit.testing.clock import ManualClock
from tests.flows.applications import FRAMEWORKS

PASSWORD = "Correct Horse 1 Battery!"
OTHER_PASSWORD = "Another 2 Staples, please!"
ADDRESS = "203.0.113.7"
RIGHTS: dict[str, Any] = {
    "scopes": {
        "read:posts": "Read posts",
        "write:posts": "Create and edit posts",
        "delete:posts": "Delete posts",
        "read:profile": "Read the profile",
    },
    "roles": {
        "member": ("read:posts", "read:profile"),
        "editor": ("read:posts", "write:posts", "delete:posts"),
        "verifier": ("admit:verify",),
    },
    "default_roles": ("member",),
}
#: more than any test uses up, for tests that are not about limits
WIDE = {"login": 1000, "login_address": 10_000, "register": 1000, "forgot": 1000, "waits_from": 1000}


class Mailbox:
    """Takes mails instead of a mail server."""

    def __init__(self) -> None:
        self.mails: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        """As `Mailer` wants it."""
        self.mails.append(mail)


@dataclass
class Stand:
    """A running application. `base` is where its callers reach it, a path before it included."""

    auth: Admit
    app: ASGIApp
    base: str
    clock: ManualClock
    over_sockets: bool = False
    callers: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def caller(self, address: str = ADDRESS, *, base: str | None = None, **headers: str) -> httpx2.AsyncClient:
        """A client with a cookie jar of its own. `address` is its own in process, and one of 127/8 over sockets."""
        if self.over_sockets:
            transport: httpx2.AsyncBaseTransport = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
        else:
            transport = httpx2.ASGITransport(cast("Any", self.app), client=(address, 4711), raise_app_exceptions=False)
        client = httpx2.AsyncClient(transport=transport, base_url=base or self.base, headers=headers, timeout=30)
        self.callers.push_async_callback(client.aclose)
        return client

    async def person(self, name: str = "alice", *roles: str, password: str = PASSWORD, mail: bool = True) -> str:
        """A registered account with further roles; its id."""
        body = {"username": name, "password": password} | ({"email": f"{name}@example.test"} if mail else {})
        answer = await self.caller().post("/auth/register", json=body)
        assert answer.status_code == 202, answer.text
        account = await self.account(name)
        if roles:
            await self.write(lambda tx: self.auth.rooms.accounts.grant(tx, account.id, roles, Via()))
        return account.shown

    async def account_id(self, name: str, *roles: str) -> bytes:
        """A new account; the 16 bytes of its id."""
        await self.person(name, *roles)
        return (await self.account(name)).id

    async def account(self, name: str) -> Account:
        """The stored account of that username."""
        found = await self.auth.rooms.kit.work.read(lambda tx: self.auth.rooms.accounts.named(tx, "username", name))
        assert found is not None
        return found

    async def write(self, body: Any) -> Any:
        """A unit of work that must not be refused."""

        def checked(tx: Tx) -> Any:
            done = body(tx)
            assert not isinstance(done, Refused), done
            return done

        return await self.auth.rooms.kit.work.write(checked)

    async def signed_in(
        self, name: str = "alice", deliver: str = "tokens", *, password: str = PASSWORD, address: str = ADDRESS
    ) -> httpx2.AsyncClient:
        """A caller that has signed in and sends what it got: bearer, or cookies with the CSRF token."""
        client = self.caller(address)
        answer = await login(client, name, deliver, password=password)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        if deliver in ("tokens", "spa"):
            client.headers["Authorization"] = f"Bearer {body['access_token']}"
        if deliver != "tokens":
            client.headers["X-CSRF-Token"] = body["csrf_token"]
        return client

    async def keyed(self, owner: httpx2.AsyncClient, *scopes: str, **more: Any) -> tuple[str, httpx2.AsyncClient]:
        """A new API key of a signed-in caller: its id, and a program that sends it."""
        answer = await owner.post("/auth/api-keys", json={"name": "Production Server", "scopes": [*scopes], **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"], self.caller(**{"X-API-Key": answer.json()["key"]})

    async def events(self, **wanted: Any) -> list[dict[str, Any]]:
        """The log, newest first, once everything observed was written; those with these values only."""
        await self.auth.rooms.observed.flush()
        page = await list_events(self.auth.rooms.kit.work, limit=2000)
        rows = [event_json(row) for row in page.events]
        return [row for row in rows if all(row[name] == value for name, value in wanted.items())]

    async def disable(self, person: str) -> None:
        """What an administrator does to somebody."""
        user = read("usr", person)
        assert user is not None
        await self.write(lambda tx: self.auth.rooms.accounts.disable(tx, user, Via()))


async def login(
    client: httpx2.AsyncClient, name: str = "alice", deliver: str = "tokens", *, password: str = PASSWORD, **more: Any
) -> httpx2.Response:
    """One sign-in."""
    body = {"identifier": name, "password": password, "deliver": deliver}
    return await client.post("/auth/login", json=body, **more)


def code(answer: httpx2.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def set_cookies(answer: httpx2.Response) -> dict[str, dict[str, str]]:
    """The Set-Cookie headers: name -> attributes, names in lower case, the value under `value`."""
    found: dict[str, dict[str, str]] = {}
    for header in answer.headers.get_list("set-cookie"):
        first, *rest = header.split(";")
        name, _, value = first.partition("=")
        pairs = (part.strip().partition("=") for part in rest)
        found[name] = {"value": value, **{key.lower(): text for key, _, text in pairs}}
    return found


@contextlib.asynccontextmanager
async def in_process(framework: str, auth: Admit, clock: ManualClock, *, cors: bool = False) -> AsyncIterator[Stand]:
    """The application called without a socket."""
    app = FRAMEWORKS[framework](auth, cors=cors)
    async with LifespanManager(cast("Any", app), startup_timeout=60, shutdown_timeout=60) as manager:
        stand = Stand(auth, manager.app, auth.settings.issuer, clock)
        async with stand.callers:
            yield stand


@contextlib.asynccontextmanager
async def behind_proxy(
    framework: str, auth: Admit, clock: ManualClock, port: int, *, mounted: str = ""
) -> AsyncIterator[Stand]:
    """The application served on `port`, where a proxy expects it; `mounted`: below this path of a larger one."""
    app = FRAMEWORKS[framework](auth)
    if mounted:
        app = Starlette(routes=[Mount(mounted, app)], lifespan=auth.lifespan)
    # no proxy_headers: believing forwarding headers is our business here, not the server's
    config = uvicorn.Config(cast("Any", app), log_config=None, lifespan="on", proxy_headers=False, ws="none")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # with the protocol named, asyncio turns Nagle's algorithm off; else every answer waits 40 ms for an ACK
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        await server.startup(sockets=[listening])
        stand = Stand(auth, app, auth.settings.issuer, clock, over_sockets=True)
        try:
            async with stand.callers:
                yield stand
        finally:
            await server.shutdown(sockets=[listening])
