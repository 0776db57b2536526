"""The limits before every door where a secret can be guessed or a mail be caused: counted before any work is done."""

from __future__ import annotations

import asyncio
import hashlib
import math
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

from admit.ground.errors import Refusal
from admit.limits import Limit, LimitStore, Waits
from admit.people import identifiers
from admit.settings import LimitSettings


class Reasons(NamedTuple):
    """The private reasons of a door: its limit is used up, and too many failures in a row."""

    limited: str
    waiting: str


class Entered(NamedTuple):
    """One guess that was let through: its key and limit, to be given back if the guess is right."""

    key: str
    limit: Limit


def limited(reason: str, wait: timedelta) -> Refusal:
    """The refusal of a limit, with whole seconds, rounded up: whoever comes then is not refused again."""
    seconds = max(1, math.ceil(wait.total_seconds()))
    detail = f"Too many requests. Try again in {seconds} second{'s' if seconds > 1 else ''}"
    return Refusal(reason, detail=detail, retry_after=timedelta(seconds=seconds))


def network(address: str) -> str:
    """What counts as one address: an IPv6 customer has a /64 of them to pick from, and may write IPv4 in IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)


def identifier_key(typed: str) -> str:
    """One key for every spelling of an identifier; what cannot be one counts under its own spelling.

    Never the account behind it: a username and an address that share a limit would tell that they share an account.
    """
    found = identifiers.read(typed)
    if found is None:
        # what is no name may be a password or a key in the wrong field: counted, and not written down
        return f"text:{hashlib.sha256(typed.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return f"{found.kind}:{found.value}"


class Gate:
    """The doors and their limits. Every verb raises `Unavailable` when the limits cannot be counted."""

    def __init__(self, limits: LimitStore, settings: LimitSettings) -> None:
        self._limits = limits
        self._waits = Waits(after=settings.waits_from, longest=settings.max_wait)
        self._login = Limit(settings.login, settings.per, "login")
        self._login_address = Limit(settings.login_address, settings.per, "login-address")
        self._register = Limit(settings.register_, settings.per, "register")
        self._forgot = Limit(settings.forgot, settings.per, "forgot")

    async def address(self, address: str | None, reason: str) -> Entered | None:
        """Counts a sign-in from an address; None for the command line, which has none."""
        if address is None:
            return None
        return await self._hit(f"login:address:{network(address)}", self._login_address, reason)

    async def guess(self, key: str, reasons: Reasons) -> Entered:
        """Counts a guess at the secret behind `key`, unless failures in a row make it wait.

        The hit is atomic and comes before the hash, so of a hundred guesses at once only as many are tried as the
        limit allows (CVE-2019-5421).
        """
        wait = await self._limits.waiting(f"login:{key}")
        hit = await self._limits.hit(f"login:{key}", self._login)
        if wait:
            if hit.allowed:
                await self._limits.refund(f"login:{key}", self._login)
            # the longer of the two: whoever comes back then is not told to wait again by the other
            raise limited(reasons.waiting, max(wait, hit.retry_after))
        if not hit.allowed:
            raise limited(reasons.limited, hit.retry_after)
        return Entered(f"login:{key}", self._login)

    async def wrong(self, key: str) -> None:
        """The guess was wrong: counts towards the growing waits."""
        await self._limits.fail(f"login:{key}", self._waits)

    async def right(self, key: str, *entered: Entered | None) -> None:
        """The guess was right: ends the waits of its own key and gives back its own hits, nobody else's."""
        refunds = [self._limits.refund(hit.key, hit.limit) for hit in entered if hit is not None]
        await asyncio.gather(self._limits.clear(f"login:{key}"), *refunds)

    async def register(self, address: str | None) -> None:
        """Counts a registration from an address."""
        if address is not None:
            await self._hit(f"register:{network(address)}", self._register, "register.limited")

    async def mail(self, door: str, address: str | None, typed: str, reason: str) -> None:
        """Counts a request that may send a mail: by the address it comes from, and by the account it names."""
        if address is not None:
            await self._hit(f"{door}:address:{network(address)}", self._forgot, reason)
        await self._hit(f"{door}:{identifier_key(typed)}", self._forgot, reason)

    async def _hit(self, key: str, limit: Limit, reason: str) -> Entered:
        hit = await self._limits.hit(key, limit)
        if not hit.allowed:
            raise limited(reason, hit.retry_after)
        return Entered(key, limit)
