"""What the issuer revoked, as a service without its database hears it: by polls over HTTP, under the same lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from admit.credentials.live.feed import LEASE, Lease, Outside
from admit.ground.clock import SECOND
from admit.ground.principal import Tie, TieKind
from admit.verifier.issuer import PART, Heard, Issuer, News

WAIT = 0.4  # seconds that the issuer may hold an answer back until there is news; less than the pause between polls
#: a transaction that read before a void was written may stamp its token a little after it; clocks of nodes differ
MARGIN = 30 * SECOND
#: what a token does not name: a void of any of these is taken for its own
UNNAMED: tuple[TieKind, ...] = ("client", "org", "config")
ANY = b"*"


class RemoteFeed(Lease):
    """Applies what the issuer tells, and remembers when each void was written.

    `keys_moved` is called when a signing key was added, retired or revoked.
    """

    def __init__(
        self, kit: Outside, issuer: Issuer, keys_moved: Callable[[], None], *, lease: float = LEASE
    ) -> None:  # fmt: skip
        super().__init__(kit, part=PART, lease=lease)
        self._issuer = issuer
        self._keys_moved = keys_moved
        self._cursor: str | None = None
        self._written: dict[Tie, int] = {}  # tie -> when its newest void was written
        self._unnamed: dict[TieKind, int] = {}  # a version for "any client", which never goes back

    async def poll(self) -> None:
        """One question to the issuer. Raises `Unavailable`, and then asks for everything the next time."""
        begun = self._clock.monotonic()
        try:
            # a request that waits for the lease must not wait for news
            news = await self._issuer.feed(self._cursor, WAIT if begun < self.fresh_until else 0)
        except BaseException:
            self._cursor = None
            raise
        self._take(news)
        self._cursor = news.cursor
        self.fresh_until = begun + self._lease
        self.forget_old(begun)
        self._forget_written(news.keep)

    def moved_since(self, ties: Iterable[Tie], issued: int) -> bool:
        """Whether one of `ties` was voided after a token of that time (microseconds), or so close that it may have."""
        return any(self._written.get(tie, 0) >= issued - MARGIN for tie in ties)

    def _take(self, news: News) -> None:
        if news.reset:
            self._written.clear()
            self.forget_everything()
        voids: list[tuple[Tie, int]] = []
        for heard in news.voids:
            voids.append((heard.tie, heard.version))
            if heard.version > self.version(heard.tie):
                voids += self._news_of(heard)
        self.apply(voids)
        if news.reset or any(tie.kind == "kid" for tie, _ in voids):
            self._keys_moved()

    def _news_of(self, heard: Heard) -> list[tuple[Tie, int]]:
        kind = heard.tie.kind
        self._write(heard.tie, heard.at)
        if kind not in UNNAMED:
            return []
        version = self._unnamed[kind] = self._unnamed.get(kind, 0) + 1
        self._write(Tie(kind, ANY), heard.at)
        return [(Tie(kind, ANY), version)]

    def _write(self, tie: Tie, at: int) -> None:
        self._written[tie] = max(at, self._written.get(tie, 0))

    def _forget_written(self, keep: int) -> None:
        if len(self._written) < 1000:
            return
        # the issuer forgets a void when no token of its time can be alive; the margin covers clocks that differ
        oldest = self._clock.now() - keep - MARGIN
        self._written = {tie: at for tie, at in self._written.items() if at >= oldest}


class OfflineFeed(Lease):
    """Hears nothing: what an access token says holds until it expires."""

    def __init__(self, kit: Outside) -> None:
        super().__init__(kit, part=PART)

    def is_fresh(self) -> bool:
        """Always: there is nobody to ask."""
        return True

    def holds(self, ties: Sequence[tuple[Tie, int]]) -> bool:
        """Always."""
        return True

    async def freshen(self) -> None:
        """Nothing to wait for."""

    async def poll(self) -> None:
        """Nobody to ask."""
