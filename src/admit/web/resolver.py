"""From a request to the facts of its caller: explicit credentials before ambient ones, each asked lazily.

The order of checks of every protected request stands in `resolve`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from starlette.types import Scope

from admit.credentials.live import Live
from admit.credentials.live.live import ACCESS_TOKEN, API_KEY, SESSION, Kind
from admit.crypto.opaque import api_key_shape
from admit.ground.errors import Refusal
from admit.ground.principal import Facts, Tie
from admit.settings import Settings
from admit.web import cookies
from admit.web.cookies import Cookies
from admit.web.csrf import SAFE, Csrf
from admit.web.peer import Peer


class Presented(NamedTuple):
    """A credential as it came in: its kind and exact text, and whether the browser sent it unasked."""

    kind: Kind
    text: str
    ambient: bool

    def __repr__(self) -> str:
        return f"Presented(kind={self.kind!r}, ambient={self.ambient}, text=***)"


class Resolved(NamedTuple):
    """Who is calling. `facts` None: anonymous, and `reason` says why an ambient credential did not count."""

    facts: Facts | None
    ambient: bool
    reason: str | None
    presented: Presented | None = None


_resolved = tuple.__new__  # a named tuple's own way of making one takes twice as long


class Resolver:
    """Finds the credential, has it verified, and makes the checks that belong to each request."""

    def __init__(self, settings: Settings, live: Live, peer: Peer, names: Cookies, csrf: Csrf) -> None:
        self._live = live
        self._peer = peer
        self._cookies = names
        self._csrf = csrf
        self._brand = settings.brand
        self._key_header = settings.api_keys.header.lower().encode()
        self._brand_prefix = f"{settings.brand}_"
        self._branded = f"Bearer {settings.brand}_".encode()
        self._session = f"{names.session}=".encode("latin-1")

    def at_once(self, scope: Scope, now: int) -> Resolved | None:
        """What `resolve` gives or raises for the plain cases that are at hand; None: ask `resolve`, which may wait.

        Plain: no header twice, one credential in its usual spelling, a way it may travel on, facts in the cache.
        """
        headers = scope["headers"]
        sent = dict(headers)
        if len(sent) != len(headers):
            return None
        mark, text = self._plain(sent)
        facts = None if text is None else self._live.at_hand(mark, text, now)
        if facts is None or not self._peer.may_carry(scope, sent.get(b"host")):
            return None
        if mark is not SESSION:
            return _resolved(Resolved, (facts, False, None, None))
        if scope["method"] not in SAFE:
            self._csrf.check(scope, facts.binding)
        return _resolved(Resolved, (facts, True, None, None))

    def _plain(self, sent: dict[bytes, bytes]) -> tuple[bytes, bytes | None]:
        """Mark and text of the only credential, when it is plain."""
        bearer, key = sent.get(b"authorization"), sent.get(self._key_header)
        if bearer is not None:
            if key is not None or not bearer.startswith(b"Bearer "):
                return ACCESS_TOKEN, None
            # a branded text that is no key is not known under its mark, so `resolve` looks at it closely
            return API_KEY if bearer.startswith(self._branded) else ACCESS_TOKEN, bearer[7:]
        if key is not None:
            return API_KEY, key
        cookie = sent.get(b"cookie")
        return SESSION, None if cookie is None else cookies.only(cookie, self._session)

    async def resolve(self, scope: Scope) -> Resolved:
        """The caller; raises `Refusal` for an explicit credential that is wrong, `Unavailable` when nobody can tell.

        1 exactly one explicit credential, or the ambient ones; 2 a connection and host it may travel on; 3 alive, from
        the cache or the truth; 4 ambient: not from another site, and with its token.
        """
        explicit = self.explicit(scope)
        if explicit is not None:
            self._check_way(scope)
            return Resolved(await self._facts(explicit), False, None, explicit)
        reason: str | None = None
        for presented in self.ambient(scope):
            self._check_way(scope)
            try:
                facts = await self._facts(presented)
            except Refusal as refusal:
                # a dead cookie must not break the login page: it only does not count
                reason = reason or refusal.reason
                continue
            self._csrf.check(scope, facts.binding)
            return Resolved(facts, True, None, presented)
        return Resolved(None, False, reason)

    def explicit(self, scope: Scope) -> Presented | None:
        """The credential in a header; refuses two of them, and what cannot be read."""
        found: Presented | None = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                presented = self._bearer(value)
            elif name == self._key_header:
                presented = Presented("api_key", value.decode("latin-1"), False)
            else:
                continue
            if presented is None:
                continue
            if found is not None:
                raise Refusal("resolver.ambiguous")
            found = presented
        return found

    def ambient(self, scope: Scope) -> list[Presented]:
        """The credentials in cookies, the session first."""
        headers = scope["headers"]
        found = []
        if session := cookies.read(headers, self._cookies.session):
            found.append(Presented("session", session, True))
        if access := cookies.read(headers, self._cookies.access):
            found.append(Presented("access_token", access, True))
        return found

    def _bearer(self, value: bytes) -> Presented | None:
        scheme, _, token = value.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            # "Bearer\tx" and "Bearer,x" are not another scheme but a broken one
            if scheme[:6].lower() == "bearer":
                raise Refusal("resolver.bearer_malformed")
            return None
        if not token or " " in token:
            raise Refusal("resolver.bearer_malformed")
        if token.startswith(self._brand_prefix) and api_key_shape(self._brand, token):
            return Presented("api_key", token, False)
        return Presented("access_token", token, False)

    def presented(self, scope: Scope) -> Presented | None:
        """The one credential of a request that was answered at once, which had no other."""
        return self.explicit(scope) or next(iter(self.ambient(scope)), None)

    async def again(self, presented: Presented) -> Facts:
        """The facts as they are now, for connections that stay open; raises as `resolve` does."""
        return await self._live.facts(presented.kind, presented.text)

    def watch(self, ties: Iterable[Tie], hear: Callable[[], None]) -> Callable[[], None]:
        """Calls `hear` whenever one of `ties` moves; returns a function that stops it."""
        return self._live.feed.watch(ties, hear)

    async def _facts(self, presented: Presented) -> Facts:
        return await self._live.facts(presented.kind, presented.text)

    def _check_way(self, scope: Scope) -> None:
        if not self._peer.secure_enough(scope):
            raise Refusal("request.insecure")
        if not self._peer.knows_host(scope):
            raise Refusal("request.host")
