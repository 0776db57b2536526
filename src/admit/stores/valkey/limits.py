"""Hits and failures in Valkey: one script each, so that nothing comes between the check and the count."""

from __future__ import annotations

from admit.stores.valkey.client import Valkey

PART = "limits"


class LimitScripts:
    """All times are microseconds; rows expire by themselves once they say nothing any more."""

    def __init__(self, client: Valkey) -> None:
        self._client = client

    async def hit(self, key: str, now: int, cost: int, window: int) -> tuple[bool, int]:
        """Adds `cost` unless more than `window` would be used; (whether it did, the theoretical arrival time)."""
        allowed, tat = await self._client.run("hit", [f"limit:{key}"], [now, cost, window], part=PART)
        return bool(allowed), int(tat)

    async def refund(self, key: str, now: int, cost: int) -> None:
        """Takes `cost` back, never below empty."""
        await self._client.run("refund", [f"limit:{key}"], [now, cost], part=PART)

    async def fail(self, key: str, now: int, after: int, lengths: tuple[int, int, int]) -> int:
        """Counts one failure; the wait it brings. `lengths`: the first wait, the longest, and when to forget."""
        return int(await self._client.run("fail", [f"wait:{key}"], [now, after, *lengths], part=PART))

    async def until(self, key: str) -> int:
        """When the wait is over; 0 when there is none."""
        with self._client.guard(PART):
            return int(await self._client.redis.hget(self._wait(key), "until") or 0)

    async def clear(self, key: str) -> None:
        """Forgets failures and wait."""
        with self._client.guard(PART):
            await self._client.redis.delete(self._wait(key))

    def _wait(self, key: str) -> str:
        return f"{self._client.prefix}wait:{key}"
