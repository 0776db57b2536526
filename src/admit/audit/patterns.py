"""What detectors count with: events of one source within a sliding window."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict, deque
from datetime import timedelta

from admit.ground.clock import micros
from admit.stores.sql.events import EventRow

#: sources that are watched at once; past that, the one that was silent longest is forgotten
SOURCES = 20_000
#: signed-in accounts that a finding names
NAMED = 20


def source(address: str | None) -> str | None:
    """Who counts as one: an IPv4 address, or an IPv6 /64, since one customer holds all of it."""
    if not address:
        return None
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed), 64), strict=False))
    return str(parsed)


class Tally:
    """Sign-ins within one window: how many failed and for whom. Adding and forgetting cost the same however long the
    window is, so that a flood does not slow the detector down.
    """

    def __init__(self, window: timedelta) -> None:
        self._window = micros(window)
        self._entries: deque[EventRow] = deque()
        self._newest = 0
        self.names: Counter[str] = Counter()  # failed tries per identifier
        self.accounts: Counter[str] = Counter()  # failed tries per account that exists
        self.signed_in: Counter[str] = Counter()
        self.sources: Counter[str] = Counter()  # of failed tries
        self.failed = 0
        self.unknown = 0  # failed tries for accounts that do not exist
        self.succeeded = 0

    @property
    def first_at(self) -> int:
        """When the oldest sign-in within the window was."""
        return min(self._entries[0].at, self._entries[-1].at) if self._entries else self._newest

    def add(self, event: EventRow) -> None:
        """Counts a `login.failed` or `login.succeeded`, and forgets what lies before the window."""
        self._newest = max(self._newest, event.at)
        if event.at < self._newest - self._window:
            return
        self._entries.append(event)
        self._count(event, event.count)
        while self._entries and self._entries[0].at < self._newest - self._window:
            old = self._entries.popleft()
            self._count(old, -old.count)

    def _count(self, event: EventRow, number: int) -> None:
        if event.type == "login.succeeded":
            self.succeeded += number
            _shift(self.signed_in, event.subject, number)
            return
        self.failed += number
        _shift(self.sources, source(event.address), number)
        _shift(self.names, event.identifier or event.subject, number)
        if event.reason == "login.unknown":
            self.unknown += number
        else:
            _shift(self.accounts, event.subject, number)

    def mostly_failing(self, share: float) -> bool:
        """Whether at most `share` of all tries succeeded: not an office where many people sign in."""
        return self.succeeded <= share * (self.failed + self.succeeded)


def _shift(counter: Counter[str], name: str | None, number: int) -> None:
    if name is None:
        return
    counter[name] += number
    if counter[name] <= 0:
        del counter[name]


class Tallies:
    """One tally per source, bounded in number."""

    def __init__(self, window: timedelta, most: int = SOURCES) -> None:
        self._window = window
        self._most = most
        self._of: OrderedDict[str, Tally] = OrderedDict()

    def add(self, name: str, event: EventRow) -> Tally:
        """Counts the event for this source and returns its tally."""
        tally = self._of.get(name)
        if tally is None:
            tally = self._of[name] = Tally(self._window)
            if len(self._of) > self._most:
                self._of.popitem(last=False)
        self._of.move_to_end(name)
        tally.add(event)
        return tally
