"""`Admit.remote(...)`: the same surface for a service that has no database of accounts, only an issuer to ask."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypedDict

from fastapi import FastAPI
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette

from admit.credentials.live import Live
from admit.crypto.opaque import api_key_shape
from admit.ground.clock import Clock, SystemClock
from admit.ground.errors import SettingsError
from admit.ground.events import Event
from admit.ground.principal import Principal
from admit.limits import Blocks, MemoryLimits
from admit.settings import Settings
from admit.verifier import (
    Issuer,
    Jwks,
    OfflineFeed,
    OfflineTruth,
    RemoteFeed,
    RemoteTruth,
    Tokens,
    issuer_client,
)
from admit.web.cookies import Cookies
from admit.web.csrf import Csrf
from admit.web.declared import Declared
from admit.web.door import Door
from admit.web.gate import Gate, Seen
from admit.web.middleware import Middleware
from admit.web.openapi import describe
from admit.web.peer import Peer
from admit.web.protect import Protect
from admit.web.resolver import Presented, Resolver
from admit.web.site import Site


class RemoteOptions(TypedDict, total=False):
    """What `Admit.remote` takes beside issuer, audience and key.

    `scopes` (name -> description) lets `require` refuse a misspelt one; without it any name is taken. `hosts` are the
    names under which this service is reached, `trusted_proxies` may set forwarding headers. `brand`, `prefix`,
    `environment` and `api_key_header` are the issuer's settings. `private_network` is the network in which the issuer's
    name may lead, when it is not public. `lease` is how long what was heard is trusted while the issuer is silent: so
    late a revocation may be seen, and so long an outage is bridged. `stale_for`: how long keys are used beyond their
    age while the issuer is down. `cors`: exact origins for `mount(cors=True)`. `clock` is for tests.
    """

    scopes: Mapping[str, str]
    hosts: tuple[str, ...]
    trusted_proxies: tuple[str, ...]
    brand: str
    prefix: str
    environment: str
    api_key_header: str
    private_network: str
    lease: timedelta
    stale_for: timedelta
    cors: tuple[str, ...]
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Outside:
    """Clock and randomness: what is left of the kit where there is no store."""

    clock: Clock
    random: Callable[[int], bytes] = field(default=secrets.token_bytes)


class Remote(Declared):
    """Verifies what an issuer elsewhere gave out. Access tokens and API keys count, cookies never do.

    Nothing is opened until the lifespan begins or the first request comes. Raises `SettingsError`.
    """

    def __init__(
        self, issuer: str, audience: str | Iterable[str], key: str | SecretStr | None, offline: bool,
        options: RemoteOptions,
    ) -> None:  # fmt: skip
        self.settings = _settings(issuer, options)
        text = key.get_secret_value() if isinstance(key, SecretStr) else key
        _check_key(text, offline, self.settings.brand)
        self._audience = frozenset([audience] if isinstance(audience, str) else audience)
        if not self._audience or "" in self._audience:
            raise SettingsError("Admit.remote: audience names this service as the issuer's tokens do (RFC 9068)")
        self._registry = options.get("scopes")
        self._outside = _Outside(options.get("clock") or SystemClock())
        self._lease = options.get("lease", timedelta(seconds=1.5)).total_seconds()
        self._door = Door(self._outside.clock)
        self._client = issuer_client(self.settings.issuer, options.get("private_network"))
        self._issuer = Issuer(self._client, self.settings.issuer, self.settings.prefix, text)
        stale = options.get("stale_for", timedelta(hours=1)).total_seconds()
        self._keys = Jwks(self._issuer.keys, self._outside.clock, stale)
        self._offline = offline
        self._limits = MemoryLimits(self._outside.clock)
        self._live = self._make_live()
        self._site: Site | None = None
        self._opening: asyncio.Lock | None = None

    # -- putting it into an application ----------------------------------------------------------------------------

    def mount(self, app: Starlette, *, cors: bool = False, public: tuple[str, ...] | None = None) -> None:
        """Adds the middleware to a FastAPI or Starlette application; there are no routes and pages of ours here.

        `cors` puts the application's routes under the list of origins. With `public` every path needs a caller, but for
        those (see `protect`).
        """
        if public is not None:
            app.add_middleware(Protect, door=self._door, public=public)
        app.add_middleware(Middleware, site=self.site, cors=cors)
        if isinstance(app, FastAPI):
            describe(app, self.settings, self.site, cookies=False)

    async def open(self) -> None:
        """Begins to listen to the issuer. One that is down stops no start: public routes need nobody."""
        lock = self._opening = self._opening or asyncio.Lock()
        async with lock:
            site = self.site()
            if not site.is_open and not self._offline:
                self._live.feed.start()
            site.is_open = True

    async def close(self) -> None:
        """Stops listening; the next `open` begins anew."""
        self._site = self._opening = None
        self._door.gate = self._door.limits = None
        await self._live.feed.close()
        await self._keys.close()
        await self._issuer.close()
        self._live = self._make_live()

    # -- outside requests ------------------------------------------------------------------------------------------

    async def verify(self, text: str) -> Principal:
        """The Principal behind an access token or API key, outside a request. Raises `Refusal` or `Unavailable`."""
        await self.open()
        kind = "api_key" if text.startswith(f"{self.settings.brand}_") else "access_token"
        return (await self._live.facts(kind, text)).principal(ambient=False)  # type: ignore[arg-type]

    # -- inside ----------------------------------------------------------------------------------------------------

    def site(self) -> Site:
        """An application of ours without a path; built at first use."""
        if self._site is None:
            self._site = self._build_site()
        return self._site

    def _make_live(self) -> Live:
        clock = self._outside.clock
        tokens = Tokens(clock, self.settings, self._audience, self._keys)
        if self._offline:
            return Live(self._outside, OfflineFeed(self._outside), OfflineTruth(tokens))
        feed = RemoteFeed(self._outside, self._issuer, self._keys.expire, lease=self._lease)
        return Live(self._outside, feed, RemoteTruth(tokens, self._issuer, feed, self.settings, self._limits))

    def _build_site(self) -> Site:
        settings, door, clock = self.settings, self._door, self._outside.clock
        peer = Peer(settings)
        # no cookie is ever taken, so no token under this key exists
        csrf = Csrf((self._outside.random(32),), self._outside.random, peer, frozenset())
        resolver = _Headers(settings, self._live, peer, Cookies(settings), csrf)
        door.gate = Gate(settings, clock, resolver, Blocks(self._limits, clock), peer, _Unseen())
        door.limits = self._limits
        site = _Nothing(settings, door, FastAPI(openapi_url=None), _nowhere, frozenset())
        site.opener = self.open
        return site

    def _known(self, scopes: tuple[str, ...]) -> None:
        if self._registry is not None:
            super()._known(scopes)


class _Headers(Resolver):
    """Credentials in headers only: a cookie of the issuer means nothing on another site."""

    def ambient(self, scope: Any) -> list[Presented]:
        del scope
        return []


class _Nothing(Site):
    """No path is ours."""

    def owns(self, path: str) -> bool:
        del path
        return False


class _Unseen(Seen):
    """Uses are noted by the issuer, when it is asked."""

    def __init__(self) -> None:
        self.note, self.used = _not_noted, _not_used


def _not_noted(identifier: bytes, now: int) -> None:
    del identifier, now


def _not_used(key: bytes, address: str | None, now: int | None = None) -> None:
    del key, address, now


def _nowhere(event: Event) -> None:
    """There is no log of events here; the refusal stands in the log lines."""
    del event


def _settings(issuer: str, options: RemoteOptions) -> Settings:
    same = {name: value for name, value in options.items() if name in ("hosts", "trusted_proxies", "brand", "prefix")}
    keys = {"environment": options.get("environment"), "header": options.get("api_key_header")}
    given: dict[str, Any] = {
        **same,
        "issuer": issuer,
        "api_keys": {name: value for name, value in keys.items() if value is not None},
        "cors": {"origins": options.get("cors", ())},
        "rights": {"scopes": dict(options.get("scopes") or {})},
    }
    try:
        return Settings(**given)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors())
        raise SettingsError(f"Admit.remote: {wrong}") from None


def _check_key(key: str | None, offline: bool, brand: str) -> None:
    if key is None and not offline:
        raise SettingsError(
            "Admit.remote: without a key (an API key of the issuer with the scope admit:verify) nobody tells this "
            "service what was revoked. Give one, or say offline=True: then what a token says holds until it expires"
        )
    if key is not None and offline:
        raise SettingsError("Admit.remote: offline=True asks nobody, so it takes no key")
    if key is not None and api_key_shape(brand, key) is None:
        raise SettingsError(f"Admit.remote: the key is no API key of the brand {brand!r}")
