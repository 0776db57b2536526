"""What the routes need of the web room: who calls, by which way, and the checks that belong to a request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from fastapi import Request
from fastapi.responses import JSONResponse

from admit.credentials.live.confirm import confirm
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.principal import Facts
from admit.ground.work import Tx, Work
from admit.web.csrf import Csrf
from admit.web.demand import Demand
from admit.web.door import Door
from admit.web.peer import Peer
from admit.web.require import Require
from admit.web.resolver import Resolved

T = TypeVar("T")
NO_STORE = {"Cache-Control": "no-store"}


class Parts:
    """Shared by all routes of one Admit."""

    def __init__(self, door: Door, peer: Peer, csrf: Csrf, work: Work) -> None:
        self.door = door
        self._work = work
        self.peer = peer
        self.csrf = csrf
        #: a person (or service) by any credential
        self.caller = Require(door, Demand())
        #: a person who signed in; an API key must not change passwords or make more keys of another kind
        self.person = Require(door, Demand(credentials=frozenset({"session", "access_token"})))
        self.admin = Require(door, Demand(("admit:admin",)))

    def via(self, request: Request) -> Via:
        """The way the request came."""
        return self.door.context(request.scope).via(self.peer.address)

    def facts(self, request: Request) -> Facts:
        """The facts of the caller, after a `Require` has passed."""
        resolved = self.door.context(request.scope).resolved
        if resolved is None or resolved.facts is None:
            raise Refusal("resolver.none")
        return resolved.facts

    async def resolve(self, request: Request) -> Resolved:
        """The caller, if there is one."""
        gate = self.door.gate
        assert gate is not None  # noqa: S101
        return await gate.resolve(self.door.context(request.scope))

    def check_way(self, request: Request) -> None:
        """Credentials travel over https outside loopback, to a host that is ours."""
        if not self.peer.secure_enough(request.scope):
            raise Refusal("request.insecure")
        if not self.peer.knows_host(request.scope):
            raise Refusal("request.host")

    def check_sets_cookies(self, request: Request) -> None:
        """For requests whose answer signs a browser in: another site must not be able to send them (login CSRF)."""
        self.check_way(request)
        self.csrf.check_origin(request.scope)

    def require(self, *scopes: str) -> Require:
        """A demand of ours."""
        return Require(self.door, Demand(scopes))

    def is_ambient(self, request: Request) -> bool:
        """Whether the caller was known by a cookie."""
        resolved = self.door.context(request.scope).resolved
        return resolved is not None and resolved.ambient

    async def confirm(self, request: Request) -> None:
        """For verbs with a unit of work of their own: the caller's credential is read again just before it."""
        facts = self.facts(request)
        gone = await self._work.read(lambda tx: confirm(tx, facts))
        if gone is not None:
            raise gone.refusal()

    async def write(self, request: Request, body: Callable[[Tx], T | Refused]) -> T:
        """A unit of work that mints, changes or administers: the caller's credential is read again inside it, so that
        one revoked a moment ago on another node does not make itself a successor. Raises what is returned as refused.
        """
        facts = self.facts(request)

        def confirmed(tx: Tx) -> T | Refused:
            gone = confirm(tx, facts)
            return gone if gone is not None else body(tx)

        done = await self._work.write(confirmed)
        if isinstance(done, Refused):
            raise done.refusal()
        return done

    @staticmethod
    def json(content: Mapping[str, Any], status: int = 200) -> JSONResponse:
        """A JSON answer that no cache keeps."""
        return JSONResponse(dict(content), status, NO_STORE)
