"""The issuer's public keys as this process knows them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from admit.crypto.keys import PublicKey
from admit.ground.clock import Clock
from admit.ground.errors import Unavailable
from admit.verifier.issuer import PART, KeySet

MAX_AGE = 300.0  # seconds, when the issuer does not say
LONGEST, SHORTEST = 3600.0, 5.0  # seconds, whatever the issuer says
AGAIN_AFTER = 1.0  # seconds between two questions, however many tokens name unknown keys


class Jwks:
    """Keys by kid: kept for their max-age, asked for again when a token names another, and still used for `stale_for`
    seconds after their age when the issuer cannot be asked.
    """

    def __init__(self, fetch: Callable[[], Awaitable[KeySet]], clock: Clock, stale_for: float) -> None:
        self._fetch = fetch
        self._clock = clock
        self._stale_for = stale_for
        self._keys: dict[str, PublicKey] = {}
        self._expires = -stale_for  # monotonic
        self._tried = -AGAIN_AFTER
        self._failed = False
        self._flight: asyncio.Task[None] | None = None

    def key(self, kid: str) -> PublicKey | None:
        """The key of that kid, if it is known."""
        return self._keys.get(kid)

    async def ready(self) -> None:
        """Returns once there are keys that may be used; raises `Unavailable`."""
        now = self._clock.monotonic()
        if not self._keys or now >= self._expires + self._stale_for:
            await self._join()
        elif now >= self._expires and self._may_ask():
            # nobody waits for keys that are only a little old, nor for an issuer that is down
            self._begin()

    async def again(self) -> None:
        """Asks for the keys once more, for a token whose kid is unknown; at most once a second. Raises `Unavailable`
        when nobody can tell whether there is such a key.
        """
        if self._failed or self._flying or self._may_ask():
            await self._join()

    def expire(self) -> None:
        """Has the keys asked for again at the next use: one of them was revoked or added."""
        self._expires = min(self._expires, self._clock.monotonic())

    async def close(self) -> None:
        """Stops asking."""
        if self._flight is not None and self._flight.get_loop() is asyncio.get_running_loop():
            self._flight.cancel()
            with contextlib.suppress(asyncio.CancelledError, Unavailable):
                await self._flight

    @property
    def _flying(self) -> bool:
        flight = self._flight
        return flight is not None and not flight.done() and flight.get_loop() is asyncio.get_running_loop()

    def _may_ask(self) -> bool:
        return self._clock.monotonic() >= self._tried + AGAIN_AFTER

    async def _join(self) -> None:
        if not self._flying:
            if not self._may_ask():
                if self._failed:
                    raise Unavailable(PART)
                return
            self._begin()
        assert self._flight is not None  # noqa: S101
        # shielded: one caller who goes away must not take the answer from the others
        await asyncio.shield(self._flight)

    def _begin(self) -> None:
        if self._flying:
            return
        self._tried = self._clock.monotonic()
        self._flight = asyncio.get_running_loop().create_task(self._ask(), name="admit-jwks")
        self._flight.add_done_callback(_seen)

    async def _ask(self) -> None:
        begun = self._clock.monotonic()
        try:
            found = await self._fetch()
        except BaseException:
            self._failed = True
            raise
        self._failed = False
        self._keys = found.keys
        age = MAX_AGE if found.max_age is None else min(max(found.max_age, SHORTEST), LONGEST)
        self._expires = begun + age


def _seen(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
