"""The only place that makes access tokens (RFC 9068)."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from admit.credentials.signing_keys import SigningKeys
from admit.crypto import jwt
from admit.crypto.claims import check_custom_claims
from admit.ground.clock import SECOND, micros
from admit.ground.ids import base62, show
from admit.ground.principal import Method
from admit.rights import join
from admit.settings import Settings


class Access(NamedTuple):
    """What an access token will say. `issued_at` in microseconds; `jti` 22 letters."""

    kind: str
    user: bytes
    grant: bytes
    client: str
    scopes: frozenset[str]
    methods: tuple[Method, ...]
    issued_at: int
    jti: str


class ClaimsRequest(NamedTuple):
    """What the application's `claims` function is told: for whom, for which client, with which scopes."""

    subject: str
    client: str
    scopes: frozenset[str]


ClaimsFunction = Callable[[ClaimsRequest], Mapping[str, Any] | Awaitable[Mapping[str, Any]]]


def token_id(secret: bytes, family: bytes) -> str:
    """A `jti` that follows from what was exchanged, so that an exchange answered twice has the same token."""
    return base62(hashlib.sha256(b"jti" + secret + family).digest()[:16], 22)


class Mint:
    """Signs access tokens with the active key; custom claims come from one function of the application."""

    def __init__(self, settings: Settings, keys: SigningKeys, claims: ClaimsFunction | None = None) -> None:
        self._issuer = settings.issuer
        self._audience = settings.audience[0] if len(settings.audience) == 1 else list(settings.audience)
        self._life = settings.tokens.access_for
        self._keys = keys
        self._claims = claims

    @property
    def expires_in(self) -> int:
        """Seconds that an access token lives."""
        return int(self._life.total_seconds())

    async def access_token(self, access: Access) -> str:
        """The signed token; `ValueError` when the application's claims are reserved, sensitive or not JSON."""
        issued = access.issued_at // SECOND
        claims: dict[str, Any] = {
            "iss": self._issuer,
            "sub": show("usr", access.user),
            "aud": self._audience,
            "exp": issued + micros(self._life) // SECOND,
            "iat": issued,
            "jti": access.jti,
            "client_id": access.client,
            "scope": join(access.scopes),
            "sid": show("grt", access.grant),
        }
        if access.methods:
            claims["auth_time"] = max(method.at for method in access.methods) // SECOND
        claims |= await self._custom(access)
        key = self._keys.active()
        if key.alg in ("RS256", "PS256"):
            # an RSA signature takes milliseconds, during which nobody else would be served
            return await asyncio.to_thread(jwt.sign, claims, key)
        return jwt.sign(claims, key)

    async def _custom(self, access: Access) -> Mapping[str, Any]:
        if self._claims is None:
            return {}
        made = self._claims(ClaimsRequest(show("usr", access.user), access.client, access.scopes))
        custom = await made if inspect.isawaitable(made) else made
        check_custom_claims(custom)
        return custom
