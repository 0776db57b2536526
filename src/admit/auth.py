"""`Admit` as an application sees it: declare what routes require, mount, and let the lifespan open and close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from fastapi import APIRouter, FastAPI, Request
from pydantic import BaseModel, SecretStr
from starlette.applications import Starlette

from admit import pages
from admit.background import Handler
from admit.build import Own, build, close_rooms, master_secrets, open_rooms, open_store
from admit.credentials.mint import ClaimsFunction
from admit.flows import RECORDED
from admit.flows.joined import JoinedAccounts
from admit.flows.register import MayRegister
from admit.ground.clock import Clock
from admit.ground.errors import Refusal
from admit.ground.events import EVENTS
from admit.ground.ids import read
from admit.ground.principal import Principal
from admit.outbound.mail import Mailer
from admit.people.account import Account
from admit.rooms import Rooms
from admit.settings import Settings, load
from admit.web.cookies import Cookies
from admit.web.cookies import read as read_cookie
from admit.web.csrf import Csrf
from admit.web.declared import Declared
from admit.web.door import Door
from admit.web.gate import Gate, Seen
from admit.web.middleware import Middleware
from admit.web.openapi import describe
from admit.web.peer import Peer, origins
from admit.web.protect import Protect
from admit.web.require import AccountOf
from admit.web.resolver import Resolver
from admit.web.routes import well_known
from admit.web.routes.account import AccountRoutes
from admit.web.routes.admin import AdminRoutes
from admit.web.routes.answers import Answers
from admit.web.routes.api_keys import ApiKeyRoutes
from admit.web.routes.forward_auth import ForwardAuth
from admit.web.routes.own import OwnRoutes
from admit.web.routes.parts import Parts
from admit.web.routes.signing_in import SigningIn
from admit.web.routes.verifying import VerifyingRoutes
from admit.web.site import Site

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from admit.remote import Remote, RemoteOptions


class Options(TypedDict, total=False):
    """What `Admit(...)` takes beside a ready `Settings`.

    `scopes` (name -> description), `roles` (name -> scopes) and `default_roles` are the registry. `claims`,
    `may_register`, `profile`, `mailer` are the application's own functions and values, `clock` is for tests. The rest
    are settings by their names, sections as dicts: `passwords={"policy": "nist"}`.
    """

    scopes: Mapping[str, str]
    roles: Mapping[str, tuple[str, ...]]
    default_roles: tuple[str, ...]
    claims: ClaimsFunction
    may_register: MayRegister
    profile: type[BaseModel]
    mailer: Mailer
    clock: Clock
    issuer: str
    database: str
    valkey: str
    secret: str
    run_directory: str | Path
    brand: str
    prefix: str
    hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    require_verified: bool
    registration: bool
    identifiers: frozenset[str]
    debug_docs: bool
    tokens: dict[str, Any]
    sessions: dict[str, Any]
    cookies: dict[str, Any]
    api_keys: dict[str, Any]
    passwords: dict[str, Any]
    limits: dict[str, Any]
    mail: dict[str, Any]
    cors: dict[str, Any]


_OWN = ("claims", "may_register", "profile", "mailer", "clock")
_RIGHTS = ("scopes", "roles", "default_roles")


def _sorted(options: Options) -> tuple[Own, dict[str, Any]]:
    given: dict[str, Any] = dict(options)
    own = {name: given.pop(name) for name in _OWN if name in given}
    rights = {name: given.pop(name) for name in _RIGHTS if name in given}
    return Own(**own), {**given, **({"rights": rights} if rights else {})}


class Admit(Declared):
    """Authentication for one application. Reads `ADMIT_*` and `admit.toml`; options win over both.

    Nothing is opened until the lifespan begins or the first request comes. Raises `SettingsError`.
    """

    def __init__(self, settings: Settings | None = None, **options: Unpack[Options]) -> None:
        own, overrides = _sorted(options)
        self.settings = settings if settings is not None else load(**overrides)
        self._own = own
        self._door = Door(self._own.clock)
        self._rooms: Rooms | None = None
        self._site: Site | None = None
        self._opening: asyncio.Lock | None = None
        self._pages = self._routes = True

    @staticmethod
    def remote(
        issuer: str,
        audience: str | Iterable[str],
        key: str | SecretStr | None = None,
        *,
        offline: bool = False,
        **options: Unpack[RemoteOptions],
    ) -> Remote:
        """The verifier, for a service without our database: the same `require`, on tokens and API keys of `issuer`.

        `audience` is what the issuer's tokens call this service. `key` is an API key of the issuer with the scope
        `admit:verify`. Without one `offline=True` has to be said: API keys are refused then, and a revocation or a lost
        right is seen when the token expires. Raises `SettingsError`.
        """
        # what asks over HTTP is loaded where it is used: it would cost every other start some 50 ms
        from admit.remote import Remote

        return Remote(issuer, audience, key, offline, options)

    @property
    def account(self) -> AccountOf:
        """A dependency that gives the stored `Account` of the caller: username, address, roles, profile."""
        return AccountOf(self.require(), self._account)

    def on(self, *types: str) -> Callable[[Handler], Handler]:
        """Has a function called with each event of these types after it was committed: in order, at least once, by one
        process at a time; one that raises is logged and not called again for that event. Raises `ValueError` for a type
        that does not exist.
        """
        if unknown := set(types) - EVENTS.keys():
            raise ValueError(f"unknown event type {', '.join(sorted(unknown))}")

        def register(handler: Handler) -> Handler:
            self._own.handlers.append((frozenset(types), handler))
            return handler

        return register

    # -- putting it into an application ----------------------------------------------------------------------------

    def mount(
        self,
        app: Starlette,
        *,
        cors: bool = False,
        pages: bool = True,
        routes: bool = True,
        public: tuple[str, ...] | None = None,
    ) -> None:
        """Adds middleware, routes and well-known documents to a FastAPI or Starlette application.

        `cors` puts the application's own routes under the same list of origins; `pages` False leaves out the pages that
        mailed links lead to, `routes` False the routes for programs, whose paths are then the application's own. With
        `public` every path of the application needs a caller, but for those (see `protect`).
        """
        if public is not None:
            # added first, so that it stands inside: its refusals become answers, and our own paths never reach it
            app.add_middleware(Protect, door=self._door, public=public)
        self._pages, self._routes = pages, routes
        app.add_middleware(Middleware, site=self.site, cors=cors)
        if isinstance(app, FastAPI):
            describe(app, self.settings, self.site)

    async def open(self) -> None:
        """Opens the store; safe to call twice. Raises `SettingsError` or `Unavailable`."""
        lock = self._opening = self._opening or asyncio.Lock()
        async with lock:
            site = self.site()
            if site.is_open:
                return
            await open_rooms(self.rooms)
            site.is_open = True

    async def close(self) -> None:
        """Writes what is pending and lets go; the next `open` begins anew."""
        rooms, site = self._rooms, self._site
        self._rooms = self._site = self._opening = None
        self._door.gate = self._door.limits = None
        if rooms is not None and site is not None:
            await close_rooms(rooms)

    @property
    def routes(self) -> OwnRoutes:
        """What our routes do, for routes of the application's own: other paths and bodies, the same checks."""
        site = self.site()
        assert site.own is not None  # noqa: S101
        return site.own

    # -- outside requests ------------------------------------------------------------------------------------------

    async def verify(self, text: str) -> Principal:
        """The Principal behind an access token or API key, outside a request. Raises `Refusal` or `Unavailable`."""
        await self.open()
        kind = "api_key" if text.startswith(f"{self.settings.brand}_") else "access_token"
        facts = await self.rooms.live.facts(kind, text)  # type: ignore[arg-type]
        return facts.principal(ambient=False)

    def joined(self, connection: Connection | AsyncConnection) -> JoinedAccounts:
        """Account verbs inside the application's own transaction, on its connection (SQLAlchemy, sync or async) to the
        database that Admit uses: the account and the application's rows are committed together, or neither is.

        Raises `AdmitError` for another database. What was disabled or taken away is known to every process within half
        a second after the commit.
        """
        return JoinedAccounts(self.rooms.database.joined(connection), self.rooms.register)

    # -- inside ----------------------------------------------------------------------------------------------------

    @property
    def rooms(self) -> Rooms:
        """The parts, for the command line and for code that needs more than the routes give."""
        if self._rooms is None:
            self._rooms = build(self.settings, self._own, open_store(self.settings, self._own))
        return self._rooms

    def site(self) -> Site:
        """Our own application; built at first use."""
        if self._site is None:
            self._site = self._build_site()
        return self._site

    def _build_site(self) -> Site:
        rooms, settings, door = self.rooms, self.settings, self._door
        peer, cookies = Peer(settings), Cookies(settings)
        csrf = Csrf(master_secrets(settings).derive("csrf"), self._own.random, peer, origins(settings.cors.origins))
        resolver = Resolver(settings, rooms.live, peer, cookies, csrf)
        seen = Seen(rooms.seen.note, rooms.usage)
        door.gate = Gate(settings, self._own.clock, resolver, rooms.blocks, peer, seen)
        door.limits = rooms.limits
        parts, answers = Parts(door, peer, csrf, rooms.kit.work), Answers(settings, cookies, csrf)
        app = FastAPI(title="Admit", openapi_url=None, redirect_slashes=False)
        signing_in, api_keys = SigningIn(rooms, parts, answers), ApiKeyRoutes(rooms, parts)
        for_programs = (
            signing_in, AccountRoutes(rooms, parts, answers), api_keys, AdminRoutes(rooms, parts),
            VerifyingRoutes(rooms, parts), ForwardAuth(rooms, parts),
        )  # fmt: skip
        for routes in for_programs if self._routes else ():
            app.include_router(routes.router(), prefix=settings.prefix)
        app.include_router(well_known.router(rooms))
        site = Site(settings, door, app, rooms.observed.observe, RECORDED)
        site.leave_out(routes=self._routes, pages=self._pages)
        site.opener, site.own = self.open, OwnRoutes(parts, signing_in, api_keys)
        if self._pages:
            app.include_router(self._page_routes(site, parts, answers), prefix=settings.prefix)
        return site

    def _page_routes(self, site: Site, parts: Parts, answers: Answers) -> APIRouter:
        if not pages.available():
            return pages.absent()
        from admit.pages.desk import Desk
        from admit.pages.routes import router

        def record(request: Request, refusal: Refusal) -> str:
            context = self._door.context(request.scope)
            site.record(context, refusal)
            return context.request_id

        return router(self.rooms, Desk(parts, answers, read_cookie, record, self._own.random))

    async def _account(self, subject: str) -> Account:
        user = read("usr", subject)
        if user is None:
            raise Refusal("people.not_found")
        return await self.rooms.account.me(user)
