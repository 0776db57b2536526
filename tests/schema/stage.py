"""Our own application as the fuzzer sees it: stand-ins in its requests become living credentials and ids.

A case that signs its caller out, or deletes somebody, must not make all later cases meaningless. So the fuzzer sends
`standin-admin` where a token belongs, and ids that stand for something that is there; both are made good here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from admit import Admit
from admit.credentials.api_key_terms import By, Terms
from admit.credentials.grants import Person
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.principal import Method
from admit.people.account import Account, NewAccount
from admit.people.identifiers import parse
from admit.web.middleware import Middleware
from tests.flows.stand import RIGHTS

NOBODY, EDITOR, ADMIN = "nobody", "editor", "admin"
ROLES = {EDITOR: ("editor",), ADMIN: ("admin", "editor", "verifier"), "goat": ("member",)}
#: well-formed ids that stand for something that is there
SOMEBODY, SOME_SIGN_IN = show("usr", bytes(15) + b"\1"), show("ses", bytes(15) + b"\2")
SOME_KEY, OWN_KEY = show("key", bytes(15) + b"\3"), show("key", bytes(15) + b"\4")
OWN_SIGN_IN, OWN_SERVICE = show("ses", bytes(15) + b"\5"), show("usr", bytes(15) + b"\6")
_MANY = 10_000_000


def admit(**options: Any) -> Admit:
    """An Admit whose limits no run uses up."""
    limits = dict.fromkeys(("login", "login_address", "register", "forgot", "waits_from"), _MANY)
    given: dict[str, Any] = {
        "database": "sqlite://", "passwords": {"hash": "cheap", "disable_after": _MANY}, "limits": limits,
        "api_keys": {"limit": _MANY, "max_per_owner": _MANY}, **RIGHTS,
    }  # fmt: skip
    return Admit(**{**given, **options})


class Stage:
    """The ASGI application that the fuzzer calls."""

    def __init__(self, auth: Admit) -> None:
        self.auth = auth
        self._app = Middleware(_nothing, auth.site)
        self._ready = asyncio.Lock()
        self._people: dict[str, Account] = {}
        self._bearer: dict[str, str] = {}
        self._session: dict[str, tuple[str, str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI wants it; one application, which every worker of the fuzzer shares."""
        if scope["type"] != "http":
            return
        async with self._ready:
            await self.auth.open()
            changed = dict(scope)
            changed["headers"] = await self._headers(scope["headers"])
            changed["path"] = await self._path(scope["path"], _caller(scope["headers"]))
        await self._app(changed, receive, send)

    async def person(self, name: str) -> Account:
        """The account of that name, made again when a case has deleted or disabled it."""
        rooms = self.auth.rooms
        known = self._people.get(name)
        if known is not None:
            found = await rooms.kit.work.read(lambda tx: rooms.accounts.load(tx, known.id))
            if found is not None and found.disabled_at is None and set(ROLES[name]) <= set(found.roles):
                return found
        number = len(self._people) + int.from_bytes(rooms.kit.random(4), "big")
        new = NewAccount((parse("username", f"{name}{number}"),), roles=ROLES[name])
        made = await self._write(lambda tx: rooms.accounts.create(tx, new, Via()))
        self._people[name] = made
        self._bearer.pop(name, None)
        self._session.pop(name, None)
        return self._people[name]

    async def bearer(self, name: str) -> str:
        """An access token of that person that works."""
        await self.person(name)
        if (token := self._bearer.get(name)) is None or not await self._lives("access_token", token):
            delivered = await self._sign_in(name, "tokens")
            token = self._bearer[name] = delivered.access_token
        return token

    async def session(self, name: str) -> tuple[str, str]:
        """A session cookie of that person that works, and the CSRF token for it."""
        await self.person(name)
        if (pair := self._session.get(name)) is None or not await self._lives("session", pair[0]):
            delivered = await self._sign_in(name, "session")
            csrf = self.auth.site().own._parts.csrf.issue(delivered.binding)  # type: ignore[union-attr]
            pair = self._session[name] = (delivered.session_token, csrf)
        return pair

    async def _headers(self, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        made = []
        for name, value in headers:
            if name == b"authorization" and value.startswith(b"Bearer standin-"):
                value = b"Bearer " + (await self.bearer(value.decode()[15:])).encode()  # noqa: PLW2901
            elif name == b"cookie" and b"admit-session=standin-" in value:
                who = _caller(headers)
                value = value.replace(b"standin-" + who.encode(), (await self.session(who))[0].encode())  # noqa: PLW2901
            elif name == b"x-csrf-token" and value == b"standin" and _caller(headers) != NOBODY:
                value = (await self.session(_caller(headers)))[1].encode()  # noqa: PLW2901
            made.append((name, value))
        return made

    async def _path(self, path: str, who: str) -> str:
        # the probe without a credential asks for what is there as well
        who = EDITOR if who == NOBODY else who
        makers: dict[str, Callable[[], Awaitable[str]]] = {
            SOMEBODY: self._somebody,
            SOME_SIGN_IN: lambda: self._some_sign_in("goat"),
            SOME_KEY: lambda: self._some_key("goat"),
            OWN_KEY: lambda: self._some_key(who),
            OWN_SIGN_IN: lambda: self._some_sign_in(who),
            OWN_SERVICE: lambda: self._service(who),
        }
        for standin, make in makers.items():
            if standin in path:
                path = path.replace(standin, await make())
        return path

    async def _somebody(self) -> str:
        return (await self.person("goat")).shown

    async def _some_sign_in(self, who: str) -> str:
        return show("ses", (await self._sign_in(who, "session")).binding)

    async def _some_key(self, who: str) -> str:
        owner, terms = await self.person(who), Terms("made good", frozenset({"read:posts"}))
        by, keys = By(frozenset({"read:posts"})), self.auth.rooms.api_keys
        created = await self._write(lambda tx: keys.create(tx, owner.id, terms, by))
        return show("key", created.row.id)

    async def _service(self, who: str) -> str:
        owner, accounts = await self.person(who), self.auth.rooms.accounts
        made = await self._write(lambda tx: accounts.create_service(tx, owner.id, "robot", (), Via()))
        return str(made.shown)

    async def _sign_in(self, name: str, deliver: Any) -> Any:
        account, rooms = await self.person(name), self.auth.rooms
        person = Person(account.id, account.roles, (Method("pwd", rooms.kit.clock.now()),))
        started = await self._write(lambda tx: rooms.delivery.start(tx, person, deliver, Via()))
        return await rooms.delivery.finish(started)

    async def _lives(self, kind: Any, text: str) -> bool:
        try:
            await self.auth.rooms.live.facts(kind, text)
        except Refusal:
            return False
        return True

    async def _write(self, body: Callable[[Any], Any]) -> Any:
        done = await self.auth.rooms.kit.work.write(body)
        assert not isinstance(done, Refused), done
        return done


class Sent(NamedTuple):
    """What stands for a caller."""

    headers: dict[str, str]
    cookies: dict[str, str]


def credentials(who: str) -> Sent:
    """The editor comes by cookie, the administrator by bearer."""
    if who == EDITOR:
        return Sent({"X-CSRF-Token": "standin"}, {"admit-session": f"standin-{who}"})
    return Sent({} if who == NOBODY else {"Authorization": f"Bearer standin-{who}"}, {})


def known_ids(path: str, who: str) -> dict[str, str]:
    """Stand-in ids for the parameters of a path: those of somebody else for an administrator, one's own else."""
    if "/admin/" in path:
        ids = {"user_id": SOMEBODY, "session_id": SOME_SIGN_IN, "key_id": SOME_KEY, "role": "member"}
    else:
        ids = {"session_id": OWN_SIGN_IN, "key_id": OWN_KEY, "account_id": OWN_SERVICE}
    return {} if who == NOBODY else {name: value for name, value in ids.items() if f"{{{name}}}" in path}


def _caller(headers: list[tuple[bytes, bytes]]) -> str:
    for _, value in headers:
        if b"standin-" in value:
            return value.partition(b"standin-")[2].partition(b";")[0].decode()
    return NOBODY


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError(f"{scope['path']} is not ours")
