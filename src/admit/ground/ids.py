"""Identifiers: UUIDv7 (RFC 9562 section 5.7) as 16 bytes inside, `prefix_` + 22 base62 characters outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {letter: value for value, letter in enumerate(ALPHABET)}

Kind = Literal["usr", "ses", "grt", "key", "cli", "org", "tkt", "evt", "fam", "fnd"]
KINDS: frozenset[str] = frozenset(get_args(Kind))


def base62(data: bytes, length: int) -> str:
    """`data` as exactly `length` base62 characters, most significant first; `ValueError` when it does not fit."""
    number = int.from_bytes(data, "big")
    letters = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        letters.append(ALPHABET[digit])
    if number:
        raise ValueError("data does not fit in the given length")
    return "".join(reversed(letters))


def unbase62(text: str, size: int) -> bytes | None:
    """The `size` bytes that `text` stands for, or None when a letter or the value is out of range."""
    number = 0
    for letter in text:
        value = _VALUE.get(letter)
        if value is None:
            return None
        number = number * 62 + value
    try:
        return number.to_bytes(size, "big")
    except OverflowError:
        return None


def new_id(now: int, random: Callable[[int], bytes]) -> bytes:
    """A fresh UUIDv7 for the time `now` (microseconds UTC)."""
    milliseconds = (now // 1000) & ((1 << 48) - 1)
    tail = int.from_bytes(random(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (tail >> 62 & 0xFFF) << 64 | 0b10 << 62 | tail & ((1 << 62) - 1)
    return value.to_bytes(16, "big")


def show(kind: Kind, identifier: bytes) -> str:
    """The public form, for example `usr_0Cx…` (26 characters)."""
    return f"{kind}_{base62(identifier, 22)}"


def read(kind: Kind, text: str) -> bytes | None:
    """The 16 bytes behind a public identifier of that kind; None when it is not one."""
    prefix, _, body = text.partition("_")
    if prefix != kind or len(body) != 22:
        return None
    return unbase62(body, 16)
