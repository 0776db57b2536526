"""JWTs of one kind: signed compact tokens with a `typ`, checked in one order that stands in `verify`.

The container is parsed here, strictly (RFC 7515 section 5.2, RFC 8725): the libraries accept what two
readers may read in two ways. The signature itself is joserfc's over cryptography. Nothing here looks
at a URL, so no token can cause a request.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any, NamedTuple

from admit.crypto import strict_json
from admit.crypto.claims import check_custom_claims
from admit.crypto.keys import ASYMMETRIC, SigningKey, VerifyingKey
from admit.ground.clock import SECOND, micros
from admit.ground.errors import Refusal

#: RFC 9068 section 2.1
ACCESS_TOKEN = "at+jwt"
#: characters; proxies cut header lines at 8 KB
LONGEST = 8192

# RFC 8725bis section 3.14: letters, digits, - and _ in three parts, nothing else
_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)", re.ASCII)
_HEADER = frozenset({"alg", "kid", "typ"})
# RFC 7519 section 4.1 and RFC 9068 section 2.2: what is a string when it is there
_TEXTS = ("jti", "client_id", "scope", "sid", "org_id", "azp", "acr")


@dataclass(frozen=True, slots=True)
class Rules:
    """What a verifier demands. `audience` holds the names of the verifier, one of which the token must name.

    `leeway` is for `iat` and `nbf`, `expiry_leeway` for `exp` (other clocks than ours; ours agree).
    `required` names claims that must be there beside iss, aud, exp and sub (RFC 9068 section 2.2).
    """

    key_for: Callable[[str], VerifyingKey | None]
    issuer: str
    audience: frozenset[str]
    algorithms: frozenset[str] = ASYMMETRIC
    typ: str = ACCESS_TOKEN
    leeway: timedelta = timedelta(seconds=30)
    expiry_leeway: timedelta = timedelta(0)
    required: tuple[str, ...] = ("iat", "jti", "client_id")
    max_length: int = LONGEST

    def __post_init__(self) -> None:
        # a text is a set of letters to isdisjoint(), and "" an issuer that a token without one would meet
        audience: object = self.audience
        if isinstance(audience, str) or not self.audience or not self.issuer or not self.algorithms:
            raise ValueError("rules name an issuer, a set of audiences and a set of algorithms")


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that passed every check. `expires` and `issued` are microseconds UTC."""

    claims: Mapping[str, Any]
    kid: str
    alg: str
    expires: int
    issued: int | None

    @property
    def subject(self) -> str:
        """`sub`: a text of 1 to 255 characters."""
        return str(self.claims["sub"])


def sign(claims: Mapping[str, Any], key: SigningKey, typ: str = ACCESS_TOKEN) -> str:
    """The compact JWT of `claims`; its header has alg, typ and kid and nothing else. `ValueError` or
    `TypeError` for claims that are not JSON.
    """
    header = {"alg": key.alg, "typ": typ, "kid": key.kid}
    head = f"{_encode(_json(header))}.{_encode(_json(claims))}"
    return f"{head}.{_encode(key.sign(head.encode()))}"


def verify(token: str, rules: Rules, now: int) -> Verified:
    """`token` checked against `rules` at `now` (microseconds UTC); `Refusal` with the reason of the first
    check that fails.

    This is the one order. Until the signature, issuer and audience held, every refusal has the same
    public code; only then may the answer say "expired" or "wrong type" (mission S2).
    """
    parts = _split(token, rules.max_length)
    header = _header(parts)
    key = _key(header, rules)
    _check_signature(parts, key, now)
    claims = _claims(parts)
    _check_issuer(claims, rules)
    _check_audience(claims, rules)
    _check_type(header, rules)
    expires = _check_expiry(claims, rules, now)
    issued = _check_start(claims, rules, now)
    _check_subject(claims)
    _check_others(claims, rules)
    return Verified(MappingProxyType(claims), key.kid, key.alg, expires, issued)


class _Parts(NamedTuple):
    header: bytes
    payload: bytes
    signature: bytes
    signed: bytes


def _split(token: str, longest: int) -> _Parts:
    if len(token) > longest:
        raise Refusal("jwt.too_long", private=f"{len(token)} characters")
    match = _COMPACT.fullmatch(token)
    if match is None:
        raise Refusal("jwt.malformed", private="not three parts of base64url")
    try:
        header, payload, signature = (_decode(part) for part in match.groups())
    except ValueError:
        raise Refusal("jwt.malformed", private="base64url that is not canonical") from None
    return _Parts(header, payload, signature, token[: match.end(2)].encode())


def _header(parts: _Parts) -> dict[str, str]:
    """RFC 7515 section 4, narrowed to what `sign` writes: `crit`, `b64`, `jwk`, `jku`, `x5u`, `x5c`, `cty`
    and any other member are refused, so that no token brings its own key or rules (RFC 8725 section 3.10).
    """
    try:
        header = strict_json.parse(parts.header)
    except ValueError as error:
        raise Refusal("jwt.header", private=str(error)) from None
    if not isinstance(header, dict) or not all(isinstance(value, str) for value in header.values()):
        raise Refusal("jwt.header", private="not an object of texts")
    if extra := header.keys() - _HEADER:
        raise Refusal("jwt.header", private=f"unexpected {sorted(extra)[0][:40]!r}")
    return header


def _key(header: dict[str, str], rules: Rules) -> VerifyingKey:
    # RFC 8725 section 3.1: the list is the caller's, and each key has one algorithm, compared at use
    alg = header.get("alg")
    if alg not in rules.algorithms:
        raise Refusal("jwt.algorithm", private="not in the list")
    kid = header.get("kid")
    key = rules.key_for(kid) if kid and len(kid) <= 255 else None
    if key is None:
        raise Refusal("jwt.kid", private="unknown kid" if kid else "no kid")
    if key.alg != alg:
        raise Refusal("jwt.algorithm", private=f"the key is for {key.alg}")
    return key


def _check_signature(parts: _Parts, key: VerifyingKey, now: int) -> None:
    if key.revoked_at is not None and key.revoked_at <= now:
        raise Refusal("jwt.key_revoked", private=key.kid)
    if not key.verify(parts.signed, parts.signature):
        raise Refusal("jwt.signature", private=key.kid)


def _claims(parts: _Parts) -> dict[str, Any]:
    try:
        claims = strict_json.parse(parts.payload)
    except ValueError as error:
        raise Refusal("jwt.claims", private=str(error)) from None
    if not isinstance(claims, dict):
        raise Refusal("jwt.claims", private="not an object")
    return claims


def _check_issuer(claims: dict[str, Any], rules: Rules) -> None:
    # RFC 8725 section 3.8: one text, equal to the last character (CVE-2024-53861: no prefix, list or number)
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer != rules.issuer:
        raise Refusal("jwt.issuer")


def _check_audience(claims: dict[str, Any], rules: Rules) -> None:
    # RFC 7519 section 4.1.3: a text or a list of texts
    audience = claims.get("aud")
    named = [audience] if isinstance(audience, str) else audience
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise Refusal("jwt.audience", private="not a text or a list of texts")
    if rules.audience.isdisjoint(named):
        raise Refusal("jwt.audience")


def _check_type(header: dict[str, str], rules: Rules) -> None:
    # RFC 8725 section 3.11. `sign` writes the short form, so the long one and other cases are not ours
    if header.get("typ") != rules.typ:
        raise Refusal("jwt.type", private=repr(header.get("typ"))[:40])


def _check_expiry(claims: dict[str, Any], rules: Rules, now: int) -> int:
    if claims.get("exp") is None:
        raise Refusal("jwt.no_expiry")
    expires = _time(claims, "exp")
    # RFC 7519 section 4.1.4: on or after that time the token is not accepted
    if now >= expires + micros(rules.expiry_leeway):
        raise Refusal("jwt.expired")
    return expires


def _check_start(claims: dict[str, Any], rules: Rules, now: int) -> int | None:
    latest = now + micros(rules.leeway)
    if "nbf" in claims and _time(claims, "nbf") > latest:
        raise Refusal("jwt.not_yet")
    if "iat" not in claims:
        return None
    issued = _time(claims, "iat")
    if issued > latest:
        raise Refusal("jwt.issued_ahead")
    return issued


def _time(claims: dict[str, Any], name: str) -> int:
    """Microseconds; whole seconds only, since `sign` writes whole seconds and parsers round differently."""
    value = claims[name]
    if type(value) is not int or value < 0:
        raise Refusal("jwt.claims", private=f"{name} is not a whole number of seconds")
    return value * SECOND


def _check_subject(claims: dict[str, Any]) -> None:
    subject = claims.get("sub")
    # OpenID Connect Core section 2 caps `sub` at 255 characters
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise Refusal("jwt.subject")


def _check_others(claims: dict[str, Any], rules: Rules) -> None:
    for name in rules.required:
        if claims.get(name) is None:
            raise Refusal("jwt.claims", private=f"no {name}")
    for name in _TEXTS:
        if name in claims and not isinstance(claims[name], str):
            raise Refusal("jwt.claims", private=f"{name} is not a text")
    if "cnf" in claims and not isinstance(claims["cnf"], dict):
        raise Refusal("jwt.claims", private="cnf is not an object")


def _decode(part: str) -> bytes:
    """Strict base64url (RFC 7515 section 2); `ValueError` when the same bytes have another spelling."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    # unused bits that are set would give one signature several texts, and a deny list of texts a hole
    if _encode(data) != part:
        raise ValueError("not canonical")
    return data


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(value), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


__all__ = ["ACCESS_TOKEN", "LONGEST", "Rules", "Verified", "check_custom_claims", "sign", "verify"]
