"""Bounded looks at something that another process or thread brings about: the one place where tests wait."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

BETWEEN = 0.01  # seconds between two looks
LOOKS = 1000


async def pause() -> None:
    """The time between two looks."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BETWEEN):
            await asyncio.Event().wait()


async def eventually(ask: Callable[[], Awaitable[bool]], looks: int = LOOKS) -> int:
    """Asks until the answer is yes; how many looks it took. A bound, not a wait: it ends with the first yes."""
    for look in range(looks):
        if await ask():
            return look
        await pause()
    raise AssertionError("it did not come to that")
