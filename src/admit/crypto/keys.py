"""Signing keys: one key, one algorithm, one `kid`. Nodes switch by time, so a rotation needs no message.

`not_before` publishes a key, `active_from` signs with it, `retire_at` ends both; `revoked_at` ends it at
once. Times are microseconds UTC.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from secrets import token_bytes
from types import MappingProxyType
from typing import Any, Literal, Protocol, Self, cast, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, JWKRegistry, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from admit.crypto.weakness import rsa_problem, secret_problem
from admit.ground.errors import SettingsError, Unavailable

Algorithm = Literal["ES256", "RS256", "PS256", "Ed25519", "HS256"]
ALGORITHMS: frozenset[str] = frozenset(get_args(Algorithm))
ASYMMETRIC: frozenset[str] = ALGORITHMS - {"HS256"}

#: RFC 7517 section 4.2 (`use`) and 4.3 (`key_ops`, which must say the same when both are there)
_PUBLIC_USE = {"use": "sig", "key_ops": ["verify"]}

JoseKey = ECKey | RSAKey | OKPKey | OctKey


class VerifyingKey(Protocol):
    """What a token is checked with: a `SigningKey` of ours, or a `PublicKey` read from a JWKS."""

    @property
    def kid(self) -> str: ...
    @property
    def alg(self) -> Algorithm: ...
    @property
    def revoked_at(self) -> int | None: ...
    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is right for `message`; False for any bytes that are not. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key (PKCS8 DER) or HMAC secret, not in repr; `ValueError` when it does not fit `alg`."""

    kid: str
    alg: Algorithm
    secret: bytes = field(repr=False)
    not_before: int = 0
    active_from: int = 0
    retire_at: int | None = None
    revoked_at: int | None = None
    _jose: JoseKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # parsed once: importing an RSA key costs as much as thousands of checks
        object.__setattr__(self, "_jose", _imported(self.alg, self.secret))

    def sign(self, message: bytes) -> bytes:
        """The JWS signature of `message` (RFC 7518 section 3: raw r‖s for ES256, never DER)."""
        return JWSRegistry.algorithms[self.alg].sign(message, self._jose)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is right for `message`; False for any bytes that are not. Never raises."""
        return _verified(self.alg, self._jose, message, signature)

    def usable(self, now: int) -> bool:
        """Whether tokens of this key are accepted at `now`."""
        dead = (self.retire_at, self.revoked_at)
        return self.not_before <= now and all(end is None or now < end for end in dead)

    def public_jwk(self) -> dict[str, Any]:
        """The public half for a JWKS (RFC 7517); `ValueError` for HS256, which has none."""
        if self.alg == "HS256":
            raise ValueError("a symmetric key has no public half")
        return dict(self._jose.as_dict(private=False)) | {"kid": self.kid, "alg": self.alg} | _PUBLIC_USE


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key read from an issuer's JWKS, for services that only verify."""

    kid: str
    alg: Algorithm
    _jose: JoseKey = field(repr=False)
    revoked_at: int | None = None

    @classmethod
    def of(cls, jwk: Mapping[str, Any]) -> Self:
        """The key in `jwk`; `ValueError` for a symmetric, private or weak one, or without `kid` and `alg`."""
        kid, alg = jwk.get("kid"), jwk.get("alg")
        if not isinstance(kid, str) or not kid or not isinstance(alg, str) or alg not in ASYMMETRIC:
            raise ValueError("a key needs a kid and an asymmetric alg that is known here")
        # RFC 8725 section 3.1: a key serves one algorithm; `use: enc` is no licence to verify
        if jwk.get("use", "sig") != "sig" or {"d", "k"} & jwk.keys():
            raise ValueError("a published key is public and for signatures")
        try:
            key = JWKRegistry.import_key(dict(jwk))
        except Exception as error:
            # whatever a library makes of a hostile document, it is one refusal
            raise ValueError("the key cannot be read") from error
        named = cast(Algorithm, alg)
        return cls(kid, named, _checked(named, key))

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` is right for `message`; False for any bytes that are not. Never raises."""
        return _verified(self.alg, self._jose, message, signature)


def _verified(alg: Algorithm, key: JoseKey, message: bytes, signature: bytes) -> bool:
    try:
        return bool(JWSRegistry.algorithms[alg].verify(message, signature, key))
    except (ValueError, TypeError, OverflowError, JoseError):
        # ASVS 11.2.5: errors of the library fail closed and look alike
        return False


def _imported(alg: Algorithm, secret: bytes) -> JoseKey:
    if alg not in ALGORITHMS:
        raise ValueError(f"unknown algorithm {alg}")
    if alg == "HS256":
        if len(secret) < 32:
            raise ValueError("an HS256 key has 256 bits or more")
        return OctKey.import_key(secret)
    try:
        native = load_der_private_key(secret, None)
    except (UnsupportedAlgorithm, TypeError) as error:
        raise ValueError("the private key cannot be read") from error
    wrapped: JoseKey
    match native:
        case ec.EllipticCurvePrivateKey():
            wrapped = ECKey.import_key(native)
        case rsa.RSAPrivateKey():
            wrapped = RSAKey.import_key(native)
        case ed25519.Ed25519PrivateKey():
            wrapped = OKPKey.import_key(native)
        case _:
            raise ValueError("this kind of key signs nothing here")
    return _checked(alg, wrapped)


def _checked(alg: Algorithm, key: JoseKey) -> JoseKey:
    """`key` once it fits `alg` (type and curve) and is strong enough; `ValueError` otherwise."""
    try:
        JWSRegistry.algorithms[alg].check_key(key)
    except JoseError as error:
        raise ValueError(f"this key is not for {alg}") from error
    if isinstance(key, RSAKey):
        numbers = key.public_key.public_numbers()
        if problem := rsa_problem(numbers.n, numbers.e):
            raise ValueError(f"the RSA key {problem}")
    return key


def generate_key(
    alg: Algorithm,
    now: int,
    *,
    active_from: int | None = None,
    retire_at: int | None = None,
    bits: int = 2048,
    random: Callable[[int], bytes] = token_bytes,
) -> SigningKey:
    """A fresh key, published from `now`, signing from `active_from` (default: now). `bits` is for RSA:
    2048, or 3072 for 128 bits of security. The `kid` is the RFC 7638 thumbprint, for HS256 a random text.
    """
    start = now if active_from is None else active_from
    if alg == "HS256":
        return SigningKey(_base64url(random(16)), alg, random(32), now, start, retire_at)
    native = _fresh(alg, bits)
    secret = native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return SigningKey(thumbprint(_imported(alg, secret)), alg, secret, now, start, retire_at)


def _fresh(alg: Algorithm, bits: int) -> ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey:
    if alg == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if alg == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if bits < 2048:
        raise ValueError("RSA keys have 2048 bits or more")
    return rsa.generate_private_key(65537, bits)


def thumbprint(key: JoseKey) -> str:
    """RFC 7638: SHA-256 over the required members in order, base64url."""
    return key.thumbprint()


def hs256_key(secret: bytes | str, *, now: int = 0, setting: str = "The HS256 secret") -> SigningKey:
    """The HS256 key that an operator chose; text stands for its UTF-8 bytes. Its `kid`
    follows from the secret, the same in every process. `SettingsError` when short, known or guessable.
    """
    raw = secret.encode() if isinstance(secret, str) else secret
    if problem := secret_problem(raw):
        raise SettingsError(
            f"{setting} {problem}. Take 256 random bits: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    # one-way, and 128 bits of a MAC over a constant tell nothing about a random key
    kid = _base64url(hmac.digest(raw, b"admit kid", "sha256")[:16])
    return SigningKey(kid, "HS256", raw, now, now)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class Ring:
    """All signing keys of one tenant, as a value; `ValueError` when two share a `kid`."""

    keys: tuple[SigningKey, ...]
    _by_kid: Mapping[str, SigningKey] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_kid = {key.kid: key for key in self.keys}
        if len(by_kid) != len(self.keys):
            raise ValueError("two keys have the same kid")
        object.__setattr__(self, "_by_kid", MappingProxyType(by_kid))

    def active(self, now: int, algorithms: Iterable[str] = ALGORITHMS) -> SigningKey:
        """The key that signs at `now`: of those with one of `algorithms` the one that became active last.

        `Unavailable` when there is none: no token is better than one under a dead key.
        """
        ready = [k for k in self.keys if k.active_from <= now and k.usable(now) and k.alg in algorithms]
        if not ready:
            raise Unavailable("signing key")
        return max(ready, key=lambda key: (key.active_from, key.kid))

    def verifying(self, kid: str, now: int) -> SigningKey | None:
        """The key that tokens naming `kid` are checked with at `now`; None for unknown, retired, revoked."""
        key = self._by_kid.get(kid)
        return key if key is not None and key.usable(now) else None

    def claimed(self, kid: str, now: int) -> SigningKey | None:
        """As `verifying`, but hands out revoked keys too, for `jwt.Rules.key_for`: `jwt.verify` refuses
        them under their own reason.
        """
        key = self._by_kid.get(kid)
        if key is None or now < key.not_before or (key.retire_at is not None and key.retire_at <= now):
            return None
        return key

    def jwks(self, now: int) -> dict[str, list[dict[str, Any]]]:
        """The JWK set (RFC 7517 section 5) at `now`: public halves only, a symmetric key never appears."""
        return {"keys": [key.public_jwk() for key in self.keys if key.usable(now) and key.alg in ASYMMETRIC]}
