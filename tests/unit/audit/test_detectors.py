"""Each detector: a case that fires, and near misses that do not."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from admit.audit.detectors import (
    DETECTORS,
    Thresholds,
    credential_stuffing,
    dormant_key,
    password_spraying,
    refresh_theft,
)
from admit.audit.findings import Suspicion
from admit.audit.patterns import Tallies, source
from admit.ground.clock import SECOND
from admit.ground.events import EVENTS
from admit.stores.sql.events import EventRow

LIMITS = Thresholds()
START = 1_800_000_000_000_000
DAY = 86_400 * SECOND


def event(type_: str, second: float = 0, **fields: Any) -> EventRow:
    values: dict[str, Any] = {
        "seq": 1, "xid": 0, "id": bytes(16), "tenant": 1, "at": START + int(second * SECOND), "type": type_, "version": 1,
        "outcome": "refused", "reason": None, "actor": None, "subject": None, "credential": None, "client": None,
        "session": None, "request_id": None, "count": 1, "data": {}, "personal": None, "salt": None, "address": None,
        "agent": None, "identifier": None,
    }  # fmt: skip
    return EventRow(**values | fields)


def unknown(number: int, second: float = 0, address: str = "203.0.113.9", **fields: Any) -> EventRow:
    return event(
        "login.failed", second, reason="login.unknown", identifier=f"nobody-{number}", address=address, **fields
    )


def wrong(number: int, second: float = 0, address: str = "203.0.113.9", **fields: Any) -> EventRow:
    """A wrong password for an account that exists."""
    return event(
        "login.failed", second, reason="login.password", identifier=f"name-{number}", subject=f"usr_{number}",
        address=address, **fields,
    )  # fmt: skip


def success(number: int, second: float = 0, address: str = "203.0.113.9") -> EventRow:
    return event("login.succeeded", second, outcome="success", subject=f"usr_{number}", address=address)


def told(make: Any, rows: Iterable[EventRow], limits: Thresholds = LIMITS) -> dict[str, Suspicion]:
    """The last word on each pattern."""
    see = make(limits)
    return {suspicion.key: suspicion for row in rows for suspicion in see(row)}


class TestCredentialStuffing:
    def test_many_names_without_an_account(self) -> None:
        found = told(credential_stuffing, [unknown(n, n) for n in range(20)])
        (key, suspicion), *rest = found.items()
        assert not rest
        assert key == "203.0.113.9@2027-01-15"
        assert suspicion.severity == "medium"
        assert suspicion.data["names"] == 20
        assert (suspicion.first_at, suspicion.last_at) == (START, START + 19 * SECOND)

    def test_a_success_among_them_makes_it_grave_and_names_the_account(self) -> None:
        rows = [unknown(n, n) for n in range(40)] + [success(7, 41)]
        (suspicion,) = told(credential_stuffing, rows).values()
        assert suspicion.severity == "high"
        assert suspicion.data["signed_in"] == ["usr_7"]

    def test_what_people_typed_is_not_in_the_finding(self) -> None:
        (suspicion,) = told(credential_stuffing, [unknown(n, n) for n in range(20)]).values()
        assert "nobody" not in repr(suspicion)

    def test_one_below_the_threshold(self) -> None:
        assert not told(credential_stuffing, [unknown(n, n) for n in range(LIMITS.stuffing_names - 1)])

    def test_one_name_typed_wrong_a_hundred_times(self) -> None:
        assert not told(credential_stuffing, [unknown(1, n) for n in range(100)])

    def test_the_same_names_slower_than_the_window(self) -> None:
        apart = LIMITS.stuffing_window.total_seconds() / (LIMITS.stuffing_names - 2)
        assert not told(credential_stuffing, [unknown(n, n * apart) for n in range(60)])

    def test_an_office_where_most_people_get_in(self) -> None:
        rows = [row for n in range(40) for row in (unknown(n, n), success(n, n), success(n + 100, n))]
        assert not told(credential_stuffing, rows)

    def test_accounts_that_exist_are_the_other_pattern(self) -> None:
        assert not told(credential_stuffing, [wrong(n, n) for n in range(40)])

    def test_folded_rows_count_for_what_they_stand_for(self) -> None:
        (suspicion,) = told(credential_stuffing, [unknown(n, n, count=10) for n in range(20)]).values()
        assert suspicion.data["failed"] == 200

    def test_from_many_addresses_with_a_few_tries_each(self) -> None:
        rows = [unknown(n, n / 2, address=f"198.51.{n % 50}.7") for n in range(150)]
        (key,) = told(credential_stuffing, rows)
        assert key == "many addresses@2027-01-15"

    def test_many_names_from_fewer_addresses_than_that(self) -> None:
        rows = [unknown(n, n / 2, address=f"198.51.{n % 29}.7") for n in range(150)]
        assert not told(credential_stuffing, rows)

    def test_one_ipv6_network_is_one_source(self) -> None:
        rows = [unknown(n, n, address=f"2001:db8:1:2::{n:x}") for n in range(20)]
        assert list(told(credential_stuffing, rows)) == ["2001:db8:1:2::/64@2027-01-15"]
        rows = [unknown(n, n, address=f"2001:db8:1:{n:x}::1") for n in range(20)]
        assert not told(credential_stuffing, rows)


class TestPasswordSpraying:
    @pytest.mark.proof("ASVS-6.3.1")
    def test_one_password_on_many_accounts(self) -> None:
        (suspicion,) = told(password_spraying, [wrong(n, n) for n in range(20)]).values()
        assert suspicion.detector == "password_spraying"
        assert suspicion.data["accounts"] == 20

    def test_slowly_over_an_hour(self) -> None:
        assert told(password_spraying, [wrong(n, n * 180) for n in range(20)])

    def test_a_success_makes_it_grave(self) -> None:
        (suspicion,) = told(password_spraying, [*(wrong(n, n) for n in range(20)), success(3, 30)]).values()
        assert (suspicion.severity, suspicion.data["signed_in"]) == ("high", ["usr_3"])

    def test_one_account_fewer(self) -> None:
        assert not told(password_spraying, [wrong(n, n) for n in range(LIMITS.spraying_accounts - 1)])

    def test_slower_than_the_window(self) -> None:
        apart = LIMITS.spraying_window.total_seconds() / (LIMITS.spraying_accounts - 2)
        assert not told(password_spraying, [wrong(n, n * apart) for n in range(60)])

    def test_guessing_at_few_accounts_with_many_tries(self) -> None:
        assert not told(password_spraying, [wrong(n // 4, n) for n in range(20 * 4)])

    def test_an_office_on_monday_morning(self) -> None:
        rows = [row for n in range(40) for row in (wrong(n, n), success(n, n + 0.5))]
        assert not told(password_spraying, rows)

    def test_mostly_unknown_names_are_the_other_pattern(self) -> None:
        rows = [*(wrong(n, n) for n in range(20)), *(unknown(n, 20 + n) for n in range(21))]
        assert told(password_spraying, rows[:20])
        see = password_spraying(LIMITS)
        last: list[Suspicion] = []
        for row in rows:
            last = list(see(row))
        assert last == []

    def test_without_an_address_nothing_can_be_said(self) -> None:
        rows = [event("login.failed", n, reason="login.password", subject=f"usr_{n}") for n in range(40)]
        assert not told(password_spraying, rows)


HERE = {"address": "192.0.2.1", "agent": "app/1", "session": "grt_1", "subject": "usr_1"}


class TestRefreshTheft:
    def test_a_used_token_from_elsewhere(self) -> None:
        rows = [
            event("refresh.rotated", 0, **HERE),
            event("refresh.reused", 5, **HERE | {"address": "203.0.113.9"}),
        ]
        (suspicion,) = told(refresh_theft, rows).values()
        assert (suspicion.key, suspicion.severity) == ("grt_1", "high")
        assert suspicion.data["last_address"] == "192.0.2.1"
        assert suspicion.data["address"] == "203.0.113.9"

    def test_from_the_same_address_with_another_agent(self) -> None:
        rows = [event("refresh.rotated", 0, **HERE), event("refresh.reused", 5, **HERE | {"agent": "curl"})]
        assert told(refresh_theft, rows)

    def test_from_the_same_place_long_after(self) -> None:
        rows = [event("refresh.rotated", 0, **HERE), event("refresh.reused", 61, **HERE)]
        assert told(refresh_theft, rows)

    def test_without_knowing_who_rotated(self) -> None:
        assert told(refresh_theft, [event("refresh.reused", 0, **HERE)])

    def test_two_reuses_in_one_grant_are_one_finding(self) -> None:
        assert len(told(refresh_theft, [event("refresh.reused", n, **HERE) for n in range(3)])) == 1

    def test_a_client_that_repeats_its_own_exchange(self) -> None:
        rows = [event("refresh.rotated", 0, **HERE), event("refresh.reused", 59, **HERE)]
        assert not told(refresh_theft, rows)

    def test_the_same_unknown_place_is_no_excuse(self) -> None:
        nowhere = {"session": "grt_1"}
        rows = [event("refresh.rotated", 0, **nowhere), event("refresh.reused", 5, **nowhere)]
        assert told(refresh_theft, rows)

    def test_a_repeat_within_the_grace_is_not_even_looked_at(self) -> None:
        (detector,) = [one for one in DETECTORS if one.name == "refresh_theft"]
        assert "refresh.repeated" not in detector.types


class TestDormantKey:
    def woke(self, days: float, type_: str = "api_key.woke") -> EventRow:
        return event(type_, credential="key_1", subject="usr_1", data={"previous_use": START - int(days * DAY)})

    def test_after_a_long_silence(self) -> None:
        (suspicion,) = told(dormant_key, [self.woke(120)]).values()
        assert suspicion.key == "key_1@2027-01-15"
        assert "120 days" in suspicion.title

    def test_counted_use_tells_it_too(self) -> None:
        assert told(dormant_key, [self.woke(120, "api_key.used")])

    def test_made_long_ago_and_never_used(self) -> None:
        row = event("api_key.woke", credential="key_1", data={"previous_use": None})
        assert told(dormant_key, [row])

    def test_a_day_short_of_it(self) -> None:
        assert not told(dormant_key, [self.woke(89.9)])

    def test_a_new_key_used_for_the_first_time(self) -> None:
        assert not told(dormant_key, [event("api_key.used", credential="key_1", data={})])


def test_the_thresholds_are_values() -> None:
    strict = Thresholds(stuffing_names=3, stuffing_window=timedelta(seconds=5))
    assert told(credential_stuffing, [unknown(n, n) for n in range(3)], strict)
    assert not told(credential_stuffing, [unknown(n, n * 3) for n in range(9)], strict)


def test_detectors_ask_for_events_that_exist() -> None:
    names = [detector.name for detector in DETECTORS]
    assert len(set(names)) == len(names)
    for detector in DETECTORS:
        assert detector.types <= EVENTS.keys()
        assert detector.make.__doc__


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (None, None), ("", None), ("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::/64"), ("testclient", "testclient"), ("x" * 100, "x" * 64),
    ],
)  # fmt: skip
def test_who_counts_as_one_source(address: str | None, name: str | None) -> None:
    assert source(address) == name


def test_the_number_of_watched_sources_is_bounded() -> None:
    tallies = Tallies(timedelta(minutes=10), most=2)
    tallies.add("a", unknown(1))
    tallies.add("b", unknown(2))
    tallies.add("a", unknown(3))
    tallies.add("c", unknown(4))
    assert len(tallies.add("a", unknown(5)).names) == 3
    assert len(tallies.add("b", unknown(6)).names) == 1


def test_a_late_event_does_not_bring_the_past_back() -> None:
    see = credential_stuffing(LIMITS)
    rows = [unknown(0, 7200), *(unknown(n, n) for n in range(1, 40))]
    assert not [suspicion for row in rows for suspicion in see(row)]
