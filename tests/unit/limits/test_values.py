"""Limits and waits as values."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit.limits import Limit, Waits
from admit.limits.store import bounded, bucket
from admit.limits.values import outcome

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("text", "most", "per"),
    [
        ("5/minute", 5, MINUTE),
        ("5/m", 5, MINUTE),
        (" 100 / 15 minutes ", 100, 15 * MINUTE),
        ("1000/h", 1000, 60 * MINUTE),
        ("2/day", 2, timedelta(days=1)),
        ("10/30s", 10, timedelta(seconds=30)),
        ("1/10min", 1, 10 * MINUTE),
    ],
)
def test_a_limit_as_text(text: str, most: int, per: timedelta) -> None:
    assert Limit.parse(text) == Limit(most, per)


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/minute", "5/fortnight", "-5/minute", "0/minute", "5/0m", "5.5/minute", "5/minute;1/s",
             "5/400 days", "٥/minute", "9999999/s\n5"]
)  # fmt: skip
def test_other_text_is_no_limit(text: str) -> None:
    with pytest.raises(ValueError, match="limit"):
        Limit.parse(text)


def test_a_limit_keeps_its_name() -> None:
    assert Limit.parse("5/minute", name="login").name == "login"
    assert Limit(5, MINUTE).name == "route"


@pytest.mark.parametrize(
    "values",
    [
        {"max": 0, "per": MINUTE},
        {"max": -1, "per": MINUTE},
        {"max": 1, "per": timedelta(0)},
        {"max": 1, "per": -MINUTE},
        {"max": 1, "per": timedelta(days=367)},
        {"max": 2, "per": timedelta(microseconds=1)},
        {"max": 1, "per": MINUTE, "name": ""},
        {"max": 1, "per": MINUTE, "name": 'a"; b="c'},
        {"max": 1, "per": MINUTE, "name": "a\r\nset-cookie: x"},
        {"max": 1, "per": MINUTE, "name": "a\n"},
        {"max": 1, "per": MINUTE, "name": "ä"},
        {"max": 1, "per": MINUTE, "name": "a" * 65},
    ],
)
def test_what_cannot_be_counted_is_refused_when_it_is_written(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"limit|counted"):
        Limit(**values)  # type: ignore[arg-type]


def test_a_limit_is_a_value() -> None:
    limit = Limit.parse("5/minute")
    assert limit == Limit(5, timedelta(seconds=60))
    assert len({limit, Limit(5, MINUTE), Limit(5, MINUTE, "other")}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        limit.max = 6  # type: ignore[misc]


@given(st.integers(1, 10**6), st.timedeltas(timedelta(seconds=1), timedelta(days=366)))
def test_rounding_never_gives_back_too_early(most: int, per: timedelta) -> None:
    limit = Limit(most, per)
    assert timedelta(microseconds=limit.window) >= per
    assert timedelta(microseconds=limit.window - most) < per


def test_a_full_bucket_that_drained_meanwhile_is_still_a_refusal_with_a_time() -> None:
    limit = Limit.parse("5/minute")
    hit = outcome(limit, now=100, tat=0, refused_cost=limit.cost(1))
    assert not hit.allowed
    assert hit.retry_after > timedelta(0)


@pytest.mark.parametrize(
    "values",
    [
        {"after": 0},
        {"first": timedelta(0)},
        {"first": timedelta(hours=1)},
        {"forget": MINUTE},
        {"forget": timedelta(days=367)},
    ],
)
def test_waits_that_contradict_themselves(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="wait"):
        Waits(**values)  # type: ignore[arg-type]


@given(st.integers(0, 10**9))
def test_waits_never_shrink_and_never_exceed_the_longest(failures: int) -> None:
    waits = Waits()
    assert waits.wait(failures) <= waits.wait(failures + 1) <= timedelta(minutes=15)


def test_the_default_waits_grow_to_fifteen_minutes() -> None:
    waits = Waits()
    assert [waits.wait(number).total_seconds() for number in (4, 5, 6, 7, 14, 15, 1000)] == [0, 1, 2, 4, 512, 900, 900]


@given(st.text(max_size=300))
def test_a_stored_key_is_short_plain_and_nobody_elses(key: str) -> None:
    stored = bounded(key)
    assert len(stored) <= 128
    assert stored.isascii()
    assert stored.isprintable()
    assert (stored == key) or stored.startswith("#")
    assert bounded(stored) == stored or stored.startswith("#")


def test_a_written_key_cannot_name_a_hashed_one() -> None:
    hashed = bounded("x" * 1_000_000)
    assert bounded(hashed) != hashed
    assert bucket("a|5/60000000", Limit.parse("1/s")) != bucket("a", Limit.parse("5/m"))
