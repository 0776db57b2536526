"""The issuer as a verifier sees it: four questions over HTTP, each answered strictly or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import httpx2

from admit.credentials.live.written import read_tie
from admit.crypto import strict_json
from admit.crypto.keys import PublicKey
from admit.ground.clock import SECOND
from admit.ground.errors import SettingsError, Unavailable
from admit.ground.logs import logger
from admit.ground.principal import Tie
from admit.outbound.http import AllowPrivate, Guarded, OutboundRefused, Rules
from admit.settings.settings import is_loopback

log = logger("admit.verifier")
PART = "issuer"
LARGEST = 16 << 20  # bytes; after a mass sign-out every grant is in the first answer of the feed
MOST_KEYS = 100
_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.0/8", "::1/128")


class News(NamedTuple):
    """An answer of the feed, given at `now`; `keep`: how long voids have to be remembered (both microseconds)."""

    cursor: str
    reset: bool
    voids: list[tuple[Tie, int]]
    now: int
    keep: int


class KeySet(NamedTuple):
    """Keys by kid, and for how many seconds they may be used without asking again (None: the issuer does not say)."""

    keys: dict[str, PublicKey]
    max_age: float | None


def issuer_client(issuer: str, private_network: str | None) -> Guarded:
    """A client that can call the issuer and nothing else: its name, its port, https outside this machine.

    `private_network` (`10.0.0.0/8`) is where a name inside a company may lead. Raises `SettingsError`.
    """
    url = urlsplit(issuer)
    host, loopback = url.hostname or "", is_loopback(url.hostname or "")
    if url.scheme != "https" and not loopback:
        raise SettingsError("Admit.remote: the issuer must be https: over http anybody on the way can put in keys")
    named = _LOOPBACK if loopback else () if private_network is None else (private_network,)
    try:
        allowed = frozenset(AllowPrivate(f"{url.scheme}://{url.netloc}", network) for network in named)
    except ValueError as error:
        raise SettingsError(f"Admit.remote: {error}") from None
    ports = frozenset({url.port or _PORTS[url.scheme]})
    # the connection is made once and kept; what takes longer than a lease is no answer any more
    total = timedelta(seconds=3)
    return Guarded(
        Rules(hosts=frozenset({host}), ports=ports, allow_private=allowed, body=LARGEST, connect=total, total=total)
    )


class Issuer:
    """Asks the issuer. Whatever is not a proper answer is `Unavailable`, and the log says why."""

    def __init__(self, client: Guarded, issuer: str, prefix: str, key: str | None) -> None:
        self._client = client
        self._root = issuer
        self._api = f"{issuer}{prefix}"
        self._headers = {} if key is None else {"X-API-Key": key}

    async def keys(self) -> KeySet:
        """The key set. One that holds no key we can use, or two keys under one kid, is none."""
        answer = await self._ask(httpx2.Request("GET", f"{self._root}/.well-known/jwks.json"))
        try:
            return KeySet(_keys(strict_json.parse(answer.content)), _max_age(answer.headers.get("cache-control", "")))
        except ValueError as error:
            raise self._wrong("the key set", str(error)) from None

    async def feed(self, after: str | None, wait: float) -> News:
        """What moved since the cursor `after`; the issuer may wait `wait` seconds for something to tell."""
        asked = {"wait": str(wait)} | ({} if after is None else {"after": after})
        answer = await self._ask(self._request("GET", f"/feed?{urlencode(asked)}"))
        try:
            return _news(strict_json.parse(answer.content))
        except ValueError as error:
            raise self._wrong("the feed", str(error)) from None

    async def token(self, text: str) -> dict[str, Any]:
        """What the issuer knows of an access token now."""
        return await self._verdict("/tokens/verify", {"token": text, "ties": True}, "active")

    async def api_key(self, text: str) -> dict[str, Any]:
        """What the issuer knows of an API key now."""
        return await self._verdict("/api-keys/verify", {"key": text, "ties": True}, "valid")

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()

    async def _verdict(self, path: str, body: dict[str, Any], member: str) -> dict[str, Any]:
        answer = await self._ask(self._request("POST", path, body))
        try:
            verdict = strict_json.parse(answer.content)
        except ValueError as error:
            raise self._wrong(path, str(error)) from None
        if not isinstance(verdict, dict) or type(verdict.get(member)) is not bool:
            raise self._wrong(path, f"no {member}")
        return verdict

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx2.Request:
        return httpx2.Request(method, f"{self._api}{path}", headers=self._headers, json=body)

    async def _ask(self, request: httpx2.Request) -> httpx2.Response:
        try:
            answer = await self._client.request(request, part=PART)
        except OutboundRefused as refused:
            raise self._wrong(request.url.path, refused.reason) from None
        if answer.status_code != 200:
            raise self._wrong(request.url.path, f"status {answer.status_code}")
        return answer

    @staticmethod
    def _wrong(what: str, why: str) -> Unavailable:
        log.warning("issuer.no_answer", asked=what, why=why[:200])
        return Unavailable(PART)


def _keys(document: Any) -> dict[str, PublicKey]:
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise ValueError("not a set of keys")
    found: dict[str, PublicKey] = {}
    for jwk in listed:
        try:
            key = PublicKey.of(jwk if isinstance(jwk, dict) else {})
        except ValueError:
            # RFC 7517 section 5: what cannot be used is passed over, as a key of a later kind would be
            continue
        if key.kid in found:
            raise ValueError("two keys under one kid")
        found[key.kid] = key
    if not found:
        raise ValueError("no key that can be used")
    return found


def _max_age(header: str) -> float | None:
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name.lower() == "max-age" and value.isascii() and value.isdecimal() and len(value) < 9:
            return float(value)
    return None


def _news(answer: Any) -> News:
    members = answer if isinstance(answer, dict) else {}
    cursor, voids, now, keep = (members.get(name) for name in ("cursor", "voids", "now", "keep"))
    if not isinstance(cursor, str) or not isinstance(voids, list) or type(now) is not int or type(keep) is not int:
        raise ValueError("not an answer of the feed")
    ties = [read_tie(void) for void in voids]
    return News(cursor, members.get("reset") is True, ties, now * SECOND, keep * SECOND)


__all__ = ["Issuer", "KeySet", "News", "issuer_client"]
