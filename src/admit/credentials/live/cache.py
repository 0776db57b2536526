"""The cache of verified credentials: what a full verification found, under the digest of the exact bytes presented.

It stands for the signature check and the truth read, never for what is asked per request: expiry, revocation, rights,
audience, CSRF, limits. That is held by the type: it keeps `Facts`, and only the resolver makes a `Principal` of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from admit.credentials.live.voids import Voids
from admit.ground.clock import SECOND, Clock
from admit.ground.principal import Facts

LONGEST = 5 * 60 * SECOND  # facts are read again after five minutes even if nothing voided them
LARGEST = 200_000


@dataclass(slots=True)
class Verified:
    """Facts with the last moment they may be served and the generation of the feed they were last compared with."""

    facts: Facts
    deadline: int
    generation: int


class Cache:
    """digest -> Verified. Filled only after a full verification."""

    def __init__(self, clock: Clock, feed: Voids, size: int = LARGEST) -> None:
        self._clock = clock
        self._feed = feed
        self._size = size
        self._kept: dict[bytes, Verified] = {}
        self.hits = 0
        self.misses = 0
        feed.on_other_database(self._kept.clear)

    @staticmethod
    def key(kind: bytes, text: str) -> bytes:
        """The digest of kind and text: the same bytes in a cookie and in a header are two credentials."""
        return hashlib.sha256(kind + text.encode("utf-8", "surrogatepass")).digest()

    def get(self, key: bytes, now: int) -> Facts | None:
        """Facts that hold `now`, or None. The caller sees to it that the feed is fresh, and counts what it misses."""
        entry = self._kept.get(key)
        if entry is None:
            return None
        generation = self._feed.generation
        if entry.generation != generation:
            # anything that moved since; most of the time it was somebody else's tie
            if entry.generation < self._feed.floor or not self._feed.holds(entry.facts.ties):
                del self._kept[key]
                return None
            entry.generation = generation
        if now >= entry.deadline:
            del self._kept[key]
            return None
        self.hits += 1
        return entry.facts

    def put(self, key: bytes, facts: Facts, read_at: int, generation: int) -> None:
        """Keeps facts read at `read_at` (microseconds) in that `generation` of the feed, both taken before the read.

        So a void between the read and this line is not lost: the first hit finds another generation, and compares.
        """
        if len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = Verified(facts, min(facts.deadline, read_at + LONGEST), generation)

    def __len__(self) -> int:
        return len(self._kept)
