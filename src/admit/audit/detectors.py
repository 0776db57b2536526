"""Detectors: each is one function in the list `DETECTORS`, over the events of a sliding window.

`make(limits)` gives `see(event)`, which keeps what it needs of the window and says what it suspects. The same
functions watch the live log and walk over the past.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from admit.audit.findings import Severity, Suspicion
from admit.audit.patterns import NAMED, Tallies, Tally, source
from admit.audit.reading import time
from admit.ground.clock import micros
from admit.stores.sql.events import EventRow


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a detector speaks. `…_names` and `…_accounts` are distinct ones; shares are of all tries in the window."""

    stuffing_window: timedelta = timedelta(minutes=10)
    stuffing_names: int = 15
    stuffing_unknown: float = 0.5  # at least this share of the failures is for accounts that do not exist
    spread_names: int = 100  # the same from many addresses, each with a few tries
    spread_addresses: int = 30
    spraying_window: timedelta = timedelta(hours=1)
    spraying_accounts: int = 15
    spraying_tries: float = 3.0  # at most so many tries per account: more is guessing at one person
    success_share: float = 0.1  # more successes than that are an office behind one address
    theft_retry: timedelta = timedelta(seconds=60)  # a reuse so soon, from the same place, is a client that retries
    dormant: timedelta = timedelta(days=90)


See = Callable[[EventRow], Iterable[Suspicion]]


class Detector(NamedTuple):
    """One detector: the event types it wants, how far back it looks, and what makes it."""

    name: str
    types: frozenset[str]
    window: Callable[[Thresholds], timedelta]
    make: Callable[[Thresholds], See]


def credential_stuffing(limits: Thresholds) -> See:
    """Lists of stolen names and passwords are tried: many names, most of which have no account here, hardly any
    success; from one source, or from many with a few tries each.
    """
    tallies, everywhere = Tallies(limits.stuffing_window), Tally(limits.stuffing_window)

    def see(event: EventRow) -> Iterator[Suspicion]:
        everywhere.add(event)
        if (place := source(event.address)) is not None:
            tally = tallies.add(place, event)
            if _stuffed(tally, limits.stuffing_names, limits):
                title = f"Credential stuffing from {place}: {len(tally.names)} names, {tally.failed} failures"
                yield _of_logins("credential_stuffing", place, title, event, tally)
        spread = len(everywhere.sources) >= limits.spread_addresses
        if spread and _stuffed(everywhere, limits.spread_names, limits):
            title = f"Credential stuffing from {len(everywhere.sources)} addresses: {len(everywhere.names)} names"
            yield _of_logins("credential_stuffing", "many addresses", title, event, everywhere)

    return see


def _stuffed(tally: Tally, names: int, limits: Thresholds) -> bool:
    unknown = tally.unknown >= limits.stuffing_unknown * tally.failed
    return len(tally.names) >= names and unknown and tally.mostly_failing(limits.success_share)


def password_spraying(limits: Thresholds) -> See:
    """A few likely passwords are tried on many accounts that exist, below the limit of each account."""
    tallies = Tallies(limits.spraying_window)

    def see(event: EventRow) -> Iterator[Suspicion]:
        place = source(event.address)
        if place is None:
            return
        tally = tallies.add(place, event)
        accounts, tries = len(tally.accounts), tally.failed - tally.unknown
        wide = accounts >= limits.spraying_accounts and tries <= limits.spraying_tries * accounts
        known = tally.unknown < limits.stuffing_unknown * tally.failed
        if wide and known and tally.mostly_failing(limits.success_share):
            title = f"Password spraying from {place}: {accounts} accounts, {tries} failures"
            yield _of_logins("password_spraying", place, title, event, tally)

    return see


def _of_logins(detector: str, place: str, title: str, event: EventRow, tally: Tally) -> Suspicion:
    signed_in = sorted(tally.signed_in)[:NAMED]
    data = {
        "source": place, "failed": tally.failed, "unknown": tally.unknown, "names": len(tally.names),
        "accounts": len(tally.accounts), "addresses": len(tally.sources), "signed_in": signed_in,
    }  # fmt: skip
    # somebody got in from there: these accounts are to be looked at first
    severity: Severity = "high" if signed_in else "medium"
    # a day in the key: a closed finding stays closed, and the same source next week is a new one
    key = f"{place}@{time(event.at)[:10]}"
    return Suspicion(detector, key, severity, title, tally.first_at, event.at, data)


def refresh_theft(limits: Thresholds) -> See:
    """A used refresh token came back: two parties hold it. Not when the same place repeats its own exchange a moment
    later: that is a client without care (its grant ended all the same).
    """
    retry, last = micros(limits.theft_retry), OrderedDict[str, EventRow]()

    def see(event: EventRow) -> Iterator[Suspicion]:
        grant = event.session or event.credential or event.subject or event.id.hex()
        if event.type == "refresh.rotated":
            last[grant] = event
            last.move_to_end(grant)
            while last and (len(last) > 50_000 or next(iter(last.values())).at < event.at - retry):
                last.popitem(last=False)
            return
        before = last.get(grant)
        if before is not None and event.at - before.at <= retry and _place(before) == _place(event) != (None, None):
            return
        data = {
            "grant": grant, "subject": event.subject, "client": event.client, "address": event.address,
            "last_address": before.address if before else None,
        }  # fmt: skip
        title = f"A used refresh token of {event.subject or grant} came back"
        yield Suspicion("refresh_theft", grant, "high", title, event.at, event.at, data)

    return see


def _place(event: EventRow) -> tuple[str | None, str | None]:
    return event.address, event.agent


def dormant_key(limits: Thresholds) -> See:
    """An API key is used again after a long silence: forgotten keys are the ones that leak unseen."""
    dormant = micros(limits.dormant)

    def see(event: EventRow) -> Iterator[Suspicion]:
        previous = event.data.get("previous_use")
        # `api_key.woke` without an earlier use: made long ago and never used, which its writer has measured
        silent = event.at - previous if isinstance(previous, int) else None
        if (silent is None and event.type != "api_key.woke") or (silent is not None and silent < dormant):
            return
        key = event.credential or event.id.hex()
        told = "its making" if silent is None else f"{silent // micros(timedelta(days=1))} days of silence"
        data = {"key": event.credential, "subject": event.subject, "address": event.address, "previous_use": previous}
        title = f"API key {key} was used after {told}"
        yield Suspicion("dormant_key", f"{key}@{time(event.at)[:10]}", "medium", title, event.at, event.at, data)

    return see


_LOGINS = frozenset({"login.failed", "login.succeeded"})

DETECTORS: Sequence[Detector] = (
    Detector("credential_stuffing", _LOGINS, lambda limits: limits.stuffing_window, credential_stuffing),
    Detector("password_spraying", _LOGINS, lambda limits: limits.spraying_window, password_spraying),
    Detector(
        "refresh_theft", frozenset({"refresh.reused", "refresh.rotated"}), lambda limits: limits.theft_retry,
        refresh_theft,
    ),
    Detector("dormant_key", frozenset({"api_key.woke", "api_key.used"}), lambda _: timedelta(0), dormant_key),
)  # fmt: skip
