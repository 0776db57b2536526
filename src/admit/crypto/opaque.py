"""Opaque tokens: readable prefix, fixed-length base62 and a CRC32, so that junk is refused before any lookup.

The checksum finds typing errors and lets secret scanners confirm a match; it proves nothing. The proof is the
256-bit secret inside, of which only the SHA-256 is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, NamedTuple, Self

from admit.ground.ids import base62, unbase62

Problem = Literal["prefix", "length", "letters", "checksum"]
KeyKind = Literal["p", "s"]

#: letters that hold the 32 bits of a CRC32 (62**6 > 2**32)
CHECKSUM_LETTERS = 6
#: bytes in each payload: tenant 4, id 16, secret 32; refresh tokens also carry a proof of 16
KEY_SIZE = SESSION_SIZE = TICKET_SIZE = 4 + 16 + 32
REFRESH_SIZE = 4 + 16 + 16 + 32

_BRAND = re.compile(r"[a-z][a-z0-9]{0,15}")
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9]{0,11}")
_KEY_PREFIX = re.compile(r"_([ps])([a-z][a-z0-9]{0,11})_")


def sha256(data: bytes) -> bytes:
    """What is stored of a secret of 128 random bits or more; never for short codes or passwords."""
    return hashlib.sha256(data).digest()


@lru_cache
def _letters(size: int) -> int:
    """How many base62 letters `size` bytes take: the least n with 62**n >= 256**size."""
    count = 0
    while 62**count < 256**size:
        count += 1
    return count


@dataclass(frozen=True, slots=True)
class TokenFormat:
    """`prefix` + base62 of `size` bytes + 6 letters of CRC32 over both. One payload has one spelling."""

    prefix: str
    size: int

    @property
    def length(self) -> int:
        """Characters of every token of this format."""
        return len(self.prefix) + _letters(self.size) + CHECKSUM_LETTERS

    def issue(self, payload: bytes) -> str:
        """The text of `payload`, which must have exactly `size` bytes (`ValueError`)."""
        if len(payload) != self.size:
            raise ValueError(f"a payload of {self.prefix} has {self.size} bytes")
        text = self.prefix + base62(payload, _letters(self.size))
        return text + _checksum(text)

    def parse(self, text: str) -> bytes | None:
        """The payload, or None for anything that `issue` cannot have made. Never raises."""
        read = self._read(text)
        return read if isinstance(read, bytes) else None

    def problem(self, text: str) -> Problem | None:
        """Why `parse` gives None; None for a well-formed token. For the log, never for the caller."""
        read = self._read(text)
        return None if isinstance(read, bytes) else read

    def _read(self, text: str) -> bytes | Problem:
        # the length is compared before anything walks the text: a 50 MB header costs what a short one costs
        if not text.startswith(self.prefix):
            return "prefix"
        if len(text) != self.length:
            return "length"
        body, checksum = text[len(self.prefix) : -CHECKSUM_LETTERS], text[-CHECKSUM_LETTERS:]
        payload = unbase62(body, self.size)
        if payload is None or unbase62(checksum, 5) is None:
            return "letters"
        # compared as text, so that a checksum has one spelling as well
        return payload if checksum == _checksum(text[:-CHECKSUM_LETTERS]) else "checksum"


def _checksum(text: str) -> str:
    return base62(zlib.crc32(text.encode()).to_bytes(4, "big"), CHECKSUM_LETTERS)


def api_key_format(brand: str, kind: KeyKind, environment: str) -> TokenFormat:
    """`<brand>_<kind><environment>_…`: kind `p` for a person's key, `s` for a service account's; for example
    `admit_plive_…`. The environment is in the text so that a test key is refused in production unlooked-up.
    """
    if kind not in ("p", "s") or not _ENVIRONMENT.fullmatch(environment):
        raise ValueError("the kind is p or s, the environment up to 12 lower-case letters and digits")
    return TokenFormat(f"{_branded(brand)}_{kind}{environment}_", KEY_SIZE)


def api_key_shape(brand: str, text: str) -> tuple[KeyKind, str] | None:
    """Kind and environment that a text claims to be an API key of; None when it claims nothing. Tells "a key
    of another environment" from junk; only `parse` of the right format says that it is well formed.
    """
    if not text.startswith(f"{brand}_"):
        return None
    match = _KEY_PREFIX.match(text, len(brand))
    if match is None:
        return None
    return ("p" if match[1] == "p" else "s"), match[2]


# one letter between the underscores: an API key has at least two there, so no prefix can mean two kinds


def refresh_format(brand: str) -> TokenFormat:
    """`<brand>_r_…`: refresh tokens; payload `RefreshParts`."""
    return TokenFormat(f"{_branded(brand)}_r_", REFRESH_SIZE)


def session_format(brand: str) -> TokenFormat:
    """`<brand>_s_…`: session cookies; payload `SessionParts`."""
    return TokenFormat(f"{_branded(brand)}_s_", SESSION_SIZE)


def ticket_format(brand: str) -> TokenFormat:
    """`<brand>_t_…`: mailed links and attempts; payload `TicketParts`."""
    return TokenFormat(f"{_branded(brand)}_t_", TICKET_SIZE)


def _branded(brand: str) -> str:
    if not _BRAND.fullmatch(brand):
        raise ValueError("the brand is up to 16 lower-case letters and digits, a letter first")
    return brand


class _Parts(NamedTuple):
    tenant: int
    id: bytes
    secret: bytes

    def pack(self) -> bytes:
        """The payload (52 bytes); `ValueError` or `OverflowError` for parts that do not fit."""
        return _pack(self.tenant, (self.id, 16), (self.secret, 32))

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The parts of a payload that `TokenFormat.parse` gave."""
        return cls(int.from_bytes(payload[:4], "big"), payload[4:20], payload[20:])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(tenant={self.tenant}, id={self.id.hex()}, secret=***)"


class KeyParts(_Parts):
    """What an API key carries: tenant, id (16 bytes), secret (32 bytes). The secret is masked in repr."""

    __slots__ = ()


class SessionParts(_Parts):
    """What a session cookie carries: tenant, id (16 bytes), secret (32 bytes), masked in repr."""

    __slots__ = ()


class TicketParts(_Parts):
    """What a link carries: tenant, id (16 bytes), secret (32 bytes). The secret is masked in repr."""

    __slots__ = ()


class RefreshParts(NamedTuple):
    """What a refresh token carries. `proof` (16 bytes) is constant in a family and tells a used token of it
    from one that was never ours; `secret` (32 bytes) changes with every rotation. Both are masked in repr.
    """

    tenant: int
    family: bytes
    proof: bytes
    secret: bytes

    def pack(self) -> bytes:
        """The payload (68 bytes); `ValueError` or `OverflowError` for parts that do not fit."""
        return _pack(self.tenant, (self.family, 16), (self.proof, 16), (self.secret, 32))

    @classmethod
    def unpack(cls, payload: bytes) -> Self:
        """The parts of a payload that `TokenFormat.parse` gave."""
        return cls(int.from_bytes(payload[:4], "big"), payload[4:20], payload[20:36], payload[36:])

    def __repr__(self) -> str:
        return f"RefreshParts(tenant={self.tenant}, family={self.family.hex()}, proof=***, secret=***)"


def _pack(tenant: int, *fields: tuple[bytes, int]) -> bytes:
    if any(len(field) != size for field, size in fields):
        raise ValueError("a part has the wrong size")
    return tenant.to_bytes(4, "big") + b"".join(field for field, _ in fields)


def next_secret(secret: bytes, nonce: bytes) -> bytes:
    """The secret (32 bytes) that follows a presented one: HMAC-SHA256(secret, nonce of the row).

    Neither the database (nonce and digests) nor an old token alone gives it, yet every node can repeat the
    same answer within the grace, also after a crash.
    """
    return hmac.digest(secret, nonce, "sha256")


def code_digest(key: bytes, ticket_id: bytes, code: str) -> bytes:
    """What is stored of a short code (32 bytes): HMAC under a key kept apart, with its ticket.

    A plain SHA-256 of six digits is the six digits: a million tries undo it.
    """
    return hmac.digest(
        key,
        b"admit code\0" + len(ticket_id).to_bytes(2, "big") + ticket_id + code.encode(errors="surrogatepass"),
        "sha256",
    )
