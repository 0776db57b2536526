"""JSON that every parser reads alike: RFC 8259 with the limits of I-JSON (RFC 7493), and nothing lenient.

Two parsers that differ on a duplicated member, a NaN or a huge number are an attack (ASVS 1.5.3): one
checks the first `sub`, the other uses the last.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

#: RFC 7493 section 2.2: integers that a double holds exactly
_LARGEST = 2**53 - 1


def parse(raw: bytes) -> Any:
    """The value in `raw`; `ValueError` for anything but UTF-8 without a mark, unique members, finite numbers
    and whole characters, or for nesting beyond what the interpreter takes.
    """
    try:
        value = _DECODER.decode(raw.decode())
        if b"\\u" in raw:
            # an escaped half of a surrogate pair is text that no encoder will take later
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _exact(text: str) -> int:
    # the length first: converting digits costs the square of their number
    number = int(text) if len(text) <= 17 else _LARGEST + 1
    if abs(number) > _LARGEST:
        raise ValueError("a number is too large")
    return number


# made once: `json.loads` with hooks builds a decoder for every call
_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_finite, parse_int=_exact)
