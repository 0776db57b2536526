"""Secrets at rest: master secrets wrap data keys, data keys seal values; the database alone opens nothing.

Rotating the master secret re-wraps a few rows; no sealed value is touched. A value is bound to its
place (tenant, table, column, row), so that a sealed value moved to another row does not open.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from secrets import token_bytes, token_urlsafe
from types import MappingProxyType
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from admit.crypto.weakness import secret_problem
from admit.ground.errors import AdmitError, SettingsError

KEY_BYTES = 32
_VERSION = b"\x01"
_NONCE = 12
_HEAD = 1 + 4 + _NONCE
_TAG = 16
_HOW = "Make one with `admit secret`, or: python -c 'import secrets; print(secrets.token_urlsafe(32))'"

_ITEM = re.compile(r"(?:([1-9][0-9]{0,8}):)?([A-Za-z0-9+/_-]+={0,2})")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")


class SealError(AdmitError):
    """A sealed value does not open: another key, another place, or changed bytes. Never says which."""


def generate() -> str:
    """A fresh master secret: 256 random bits as 43 base64url letters."""
    return token_urlsafe(KEY_BYTES)


def derive(master: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose (HKDF-SHA256, RFC 5869), for example `derive(secret, "csrf")`."""
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"admit/" + purpose.encode()).derive(master)


def aad(tenant: int, table: str, column: str, row: bytes) -> bytes:
    """Where a sealed value lives; `ValueError` for names that hold the separator."""
    if "|" in table or "|" in column:
        raise ValueError("a table or column name holds no |")
    return f"{tenant}|{table}|{column}|".encode() + row


def _seal(key: bytes, key_id: int, plain: bytes, place: bytes, random: Callable[[int], bytes]) -> bytes:
    head = _VERSION + key_id.to_bytes(4, "big") + random(_NONCE)
    # the head is authenticated as well, so that nobody can point a value at another key
    return head + AESGCM(key).encrypt(head[-_NONCE:], plain, head + place)


def _open(keys: Mapping[int, bytes], blob: bytes, place: bytes) -> bytes:
    key = keys.get(_key_id(blob))
    if key is None:
        raise SealError("a sealed value does not open")
    head, body = blob[:_HEAD], blob[_HEAD:]
    try:
        return AESGCM(key).decrypt(head[-_NONCE:], body, head + place)
    except InvalidTag:
        raise SealError("a sealed value does not open") from None


def _key_id(blob: bytes) -> int:
    if len(blob) < _HEAD + _TAG or blob[:1] != _VERSION:
        raise SealError("a sealed value does not open")
    return int.from_bytes(blob[1:5], "big")


@dataclass(frozen=True, slots=True)
class MasterSecrets:
    """`ADMIT_SECRET`: id -> secret of 256 bits or more, newest first. They only wrap data keys."""

    masters: Mapping[int, bytes] = field(repr=False)
    random: Callable[[int], bytes] = field(default=token_bytes, repr=False, compare=False)

    @classmethod
    def parse(cls, value: str) -> Self:
        """Reads `2:base64url,1:base64url` (newest first) or one secret, which gets the id 1. Base64 and
        hexadecimal are read too. `SettingsError` for anything short, known, guessable or out of order.
        """
        found: dict[int, bytes] = {}
        for item in (part.strip() for part in value.split(",")):
            match = _ITEM.fullmatch(item)
            if match is None:
                raise _unfit(_text_problem(item))
            number = int(match[1] or 1)
            if found and number >= min(found):
                raise _unfit("must list its ids newest first, each once, as in 2:…,1:…")
            found[number] = _decode(match[2])
        return cls(MappingProxyType(found))

    @property
    def current(self) -> int:
        """The id of the newest secret."""
        return next(iter(self.masters))

    def __repr__(self) -> str:
        return f"MasterSecrets(ids={list(self.masters)})"

    def derive(self, purpose: str) -> tuple[bytes, ...]:
        """The keys for a purpose, newest first: make with the first, accept any."""
        return tuple(derive(secret, purpose) for secret in self.masters.values())

    def wrap(self, data_key: bytes, aad: bytes) -> bytes:
        """`data_key` under the newest secret: version ‖ secret id ‖ nonce ‖ AES-256-GCM, bound to `aad`."""
        key = derive(self.masters[self.current], "wrap")
        return _seal(key, self.current, data_key, aad, self.random)

    def unwrap(self, blob: bytes, aad: bytes) -> bytes:
        """The data key; `SealError` when no secret fits, `aad` differs or a byte was changed."""
        return _open({number: derive(secret, "wrap") for number, secret in self.masters.items()}, blob, aad)

    def needs_rewrap(self, blob: bytes) -> bool:
        """Whether `blob` is not under the newest secret; `SealError` for what is not a wrapped key."""
        return _key_id(blob) != self.current


@dataclass(frozen=True, slots=True)
class Sealer:
    """Seals values under the data key `current`; opens those of every key it has. Nonces are random: at most
    2**32 values under one data key (NIST SP 800-38D section 8.3), so a data key is renewed long before.
    """

    data_keys: Mapping[int, bytes] = field(repr=False)
    current: int
    random: Callable[[int], bytes] = field(default=token_bytes, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.current not in self.data_keys or any(len(k) != KEY_BYTES for k in self.data_keys.values()):
            raise ValueError("data keys have 32 bytes, and the current one is among them")

    def seal(self, plain: bytes, aad: bytes) -> bytes:
        """version ‖ data key id ‖ nonce ‖ AES-256-GCM of `plain`, bound to `aad`; 33 bytes longer."""
        return _seal(self.data_keys[self.current], self.current, plain, aad, self.random)

    def open(self, blob: bytes, aad: bytes) -> bytes:
        """What was sealed; `SealError` for another key, another place or a changed byte."""
        return _open(self.data_keys, blob, aad)

    def needs_reseal(self, blob: bytes) -> bool:
        """Whether `blob` is under an older data key; `SealError` for what is not a sealed value."""
        return _key_id(blob) != self.current


def _decode(text: str) -> bytes:
    """The bytes of one secret, once they are fit to be one; `SettingsError` otherwise."""
    # the text is judged too: "changeme…" is also valid base64
    if problem := _text_problem(text):
        raise _unfit(problem)
    plain = text.rstrip("=")
    try:
        if _HEX.fullmatch(plain) and len(plain) >= 2 * KEY_BYTES:
            secret = bytes.fromhex(plain)
        else:
            padded = plain.replace("+", "-").replace("/", "_") + "=" * (-len(plain) % 4)
            secret = base64.urlsafe_b64decode(padded)
    except binascii.Error:
        raise _unfit("is not base64url") from None
    if problem := secret_problem(secret):
        raise _unfit(problem)
    return secret


def _text_problem(text: str) -> str | None:
    return secret_problem(text.encode())


def _unfit(problem: str | None) -> SettingsError:
    return SettingsError(f"ADMIT_SECRET {problem or 'is not base64url'}. {_HOW}")
