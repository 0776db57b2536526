"""What an application declares and puts around itself, the same whether the accounts are here or elsewhere."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

from starlette.types import ASGIApp, Receive, Scope, Send

from admit.ground.errors import AdmitError
from admit.ground.principal import CredentialKind, Principal
from admit.limits import Limit
from admit.settings import Settings
from admit.web.door import Door
from admit.web.middleware import Middleware
from admit.web.protect import Protect
from admit.web.require import By, Optional, Require, RouteLimit, demand_of
from admit.web.site import Site


class Declared(ABC):
    """The surface that `Admit` and `Admit.remote` share."""

    settings: Settings
    _door: Door

    # -- what routes declare ---------------------------------------------------------------------------------------

    def require(
        self,
        *scopes: str,
        any_of: tuple[str, ...] = (),
        level: int = 1,
        max_age: timedelta | None = None,
        fresh: bool = False,
        by: tuple[CredentialKind, ...] = (),
    ) -> Require:
        """A dependency that gives the `Principal`: all `scopes`, one of `any_of`, a level of assurance, a fresh proof.

        `by` names the kinds of credential that count (`session`, `access_token`, `api_key`), all of them by default.
        Refusals: 401 with its code, 403 `insufficient_scope`, 401 `step_up_required`.
        """
        self._known((*scopes, *any_of))
        return Require(self._door, demand_of(scopes, any_of=any_of, level=level, max_age=max_age, fresh=fresh, by=by))

    @property
    def optional(self) -> Optional:
        """A dependency that gives the `Principal` or None."""
        return Optional(self._door)

    def limit(self, hits: int, per: timedelta, *, by: By | None = None, name: str = "route") -> RouteLimit:
        """A dependency that allows `hits` in `per` on a route, per caller's address or whatever `by(request)` says."""
        return RouteLimit(self._door, Limit(hits, per, name), by)

    def protect(self, app: ASGIApp, *, public: tuple[str, ...] = ()) -> Protect:
        """`app` with every path closed but those in `public` (exact, or a prefix that ends with `/*`), to be put inside
        `auth.wrap(...)`. For FastAPI and Starlette `auth.mount(app, public=...)` does both.
        """
        return Protect(app, self._door, public)

    # -- putting it into an application ----------------------------------------------------------------------------

    def wrap(self, app: ASGIApp, *, cors: bool = False) -> ASGIApp:
        """The same around an ASGI application without a lifespan of its own (else open Admit in that lifespan)."""
        return _Lifespan(Middleware(app, self.site, cors=cors), self)

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Opens what is needed before the first request and closes it after the last."""
        del app
        await self.open()
        try:
            yield
        finally:
            await self.close()

    @contextlib.contextmanager
    def acting_as(self, principal: Principal) -> Iterator[None]:
        """For an application's tests: every route sees `principal`; what the routes demand is still checked."""
        token = self._door.pretended.set(principal)
        try:
            yield
        finally:
            self._door.pretended.reset(token)

    @abstractmethod
    def site(self) -> Site:
        """Our own application; built at first use."""

    @abstractmethod
    async def open(self) -> None:
        """Opens what requests need; safe to call twice."""

    @abstractmethod
    async def close(self) -> None:
        """Lets go of it."""

    def _known(self, scopes: tuple[str, ...]) -> None:
        if unknown := set(scopes) - self.settings.scopes.keys():
            names = ", ".join(sorted(unknown))
            raise AdmitError(f"unknown scope {names}: declare it in scopes={{name: description}}")


class _Lifespan:
    """Answers lifespan messages for an application that has none of its own."""

    def __init__(self, app: Middleware, auth: Declared) -> None:
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return
        await receive()
        try:
            await self._auth.open()
        except AdmitError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._auth.close()
        await send({"type": "lifespan.shutdown.complete"})
