"""What every store of limits promises, and the bounded keys under which it counts."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Protocol

from admit.limits.values import Hit, Limit, Waits

_PLAIN = 128


class LimitStore(Protocol):
    """Counts hits and failures by key. Every verb is atomic across threads, processes and nodes that share the store.

    A key is any text, already prefixed by its caller ("login:identifier:…"). Every verb raises `Unavailable` when
    the store is down: a limit that cannot be counted is not a limit, so the caller answers 503.
    """

    async def hit(self, key: str, limit: Limit, cost: int = 1) -> Hit:
        """Counts `cost` hits, or refuses and counts nothing. The same key under another limit is counted apart."""
        ...

    async def refund(self, key: str, limit: Limit, cost: int = 1) -> None:
        """Gives back `cost` hits, never more than were used. For the request that made the hit, before it answers:
        what time has given back meanwhile would be given back twice.
        """
        ...

    async def fail(self, key: str, waits: Waits) -> timedelta:
        """Counts one more failure in a row; the wait that is now in force, zero before they begin."""
        ...

    async def waiting(self, key: str) -> timedelta:
        """How long `key` still has to wait; zero when it is free."""
        ...

    async def clear(self, key: str) -> None:
        """A success: forgets the failures and the wait of `key`, not its hits."""
        ...

    async def close(self) -> None:
        """Lets go of what the store opened itself; what it was given stays open."""
        ...


def bounded(key: str) -> str:
    """`key` itself when it is short printable ASCII, else `#` and its SHA-256.

    So neither an identifier of a megabyte nor one with a NUL (PostgreSQL refuses it) reaches a store; keys that begin
    with `#` are hashed too, or one could be written that names another's bucket.
    """
    if len(key) <= _PLAIN and key.isascii() and key.isprintable() and not key.startswith("#"):
        return key
    return "#" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def bucket(key: str, limit: Limit) -> str:
    """Where the hits of `key` under `limit` are counted.

    The limit is part of it: one number cannot stand for two limits, and a changed setting begins afresh. Nothing but
    our own suffix follows the last bar, so no key can be mistaken for another with its limit.
    """
    return f"{bounded(key)}|{limit.mark}"
