"""The common passwords, as digests: half a million folded entries, 3 MB in memory, read at the first
question.

The file beside this module holds sorted BLAKE2b digests of six bytes each, so that a look-up is a binary
search and a wheel does not spread the addresses and names that leaked lists contain. Sources and licences
are in NOTICE; `scripts/common_passwords.py` writes the file again. A false match has a chance of 1 in 50
million a password.
"""

from __future__ import annotations

from bisect import bisect_left
from functools import cache
from hashlib import blake2b
from importlib.resources import files

from admit.people.passwords.folding import lookup_keys

WIDTH = 6
FILE = "common.bin"


def digest(key: str) -> bytes:
    """The six bytes under which a folded entry is kept."""
    # a lone surrogate is refused elsewhere, with its own reason; here it must only not raise
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=WIDTH).digest()


@cache
def entries() -> bytes:
    """All digests, sorted; read once a process. Call it at start-up to take the read out of the first
    request.
    """
    return (files(__package__) / FILE).read_bytes()


def is_common(password: str) -> bool:
    """Whether `password` as a whole, once folded, is among the common ones (NIST SP 800-63B-4 section
    3.1.1.2).
    """
    return any(_listed(digest(key)) for key in lookup_keys(password))


def _listed(wanted: bytes) -> bool:
    table = entries()
    count = len(table) // WIDTH

    def at(place: int) -> bytes:
        return table[place * WIDTH : (place + 1) * WIDTH]

    place = bisect_left(range(count), wanted, key=at)
    return place < count and at(place) == wanted
