"""What the issuer revoked, as a service without its database hears it: by polls over HTTP, under the same lease."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from admit.credentials.live.feed import LEASE, Lease, Outside
from admit.ground.clock import SECOND
from admit.ground.principal import Tie, TieKind
from admit.verifier.issuer import PART, Issuer, News

WAIT = 0.4  # seconds that the issuer may hold an answer back until there is news; less than the pause between polls
#: a transaction that read before a void was written may stamp its token a little after it; clocks of nodes differ
MARGIN = 30 * SECOND
#: what a token does not name: a void of any of these is taken for its own
UNNAMED: tuple[TieKind, ...] = ("client", "org", "config")
ANY = b"*"


class RemoteFeed(Lease):
    """Applies what the issuer tells, and remembers when it told it.

    `keys_moved` is called when a signing key was added, retired or revoked.
    """

    def __init__(
        self, kit: Outside, issuer: Issuer, keys_moved: Callable[[], None], *, lease: float = LEASE
    ) -> None:  # fmt: skip
        super().__init__(kit, part=PART, lease=lease)
        self._issuer = issuer
        self._keys_moved = keys_moved
        self._cursor: str | None = None
        self._heard: dict[Tie, int] = {}  # tie -> when its newest void was told (issuer's clock)
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
        self._forget_heard(news.keep)

    def moved_since(self, ties: Iterable[Tie], issued: int) -> bool:
        """Whether a void of one of `ties` was heard of after a token of that time (microseconds), or so close that the
        token may have been made without knowing of it.
        """
        return any(self._heard.get(tie, 0) >= issued - MARGIN for tie in ties)

    def _take(self, news: News) -> None:
        if news.reset:
            self._heard.clear()
            self.forget_everything()
        voids: list[tuple[Tie, int]] = []
        for tie, version in news.voids:
            voids.append((tie, version))
            if version > self.version(tie):
                voids += self._hear(tie, news.now)
        self.apply(voids)
        if news.reset or any(tie.kind == "kid" for tie, _ in voids):
            self._keys_moved()

    def _hear(self, tie: Tie, at: int) -> list[tuple[Tie, int]]:
        # when it was heard, not when it was written: nothing has to be known of transactions and settings over there
        self._heard[tie] = at
        if tie.kind not in UNNAMED:
            return []
        version = self._unnamed[tie.kind] = self._unnamed.get(tie.kind, 0) + 1
        self._heard[Tie(tie.kind, ANY)] = at
        return [(Tie(tie.kind, ANY), version)]

    def _forget_heard(self, keep: int) -> None:
        if len(self._heard) < 1000:
            return
        # then no token of before is alive; the margin covers clocks that differ
        oldest = self._clock.now() - keep - MARGIN
        self._heard = {tie: at for tie, at in self._heard.items() if at >= oldest}


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
