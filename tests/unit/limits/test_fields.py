"""The response fields of limits."""

from __future__ import annotations

from datetime import timedelta

import pytest

from admit.limits import Hit, Limit, headers, seconds

SECOND = timedelta(seconds=1)
ZERO = timedelta(0)
DRAFT = pytest.mark.rfc("draft-ietf-httpapi-ratelimit-headers 3")


def _allowed(name: str, remaining: int, reset: timedelta, text: str = "5/minute") -> Hit:
    return Hit(True, Limit.parse(text, name=name), remaining, reset, ZERO)


def _refused(name: str, retry: timedelta, text: str = "5/minute") -> Hit:
    return Hit(False, Limit.parse(text, name=name), 0, 60 * SECOND, retry)


def test_no_limit_no_fields() -> None:
    assert headers([]) == []


@DRAFT
def test_an_allowed_hit_tells_what_is_left_and_has_no_retry_after() -> None:
    assert headers([_allowed("login", 3, 24 * SECOND)]) == [
        (b"ratelimit-policy", b'"login";q=5;w=60'),
        (b"ratelimit", b'"login";r=3;t=24'),
    ]


@DRAFT
@pytest.mark.rfc("RFC 9110 10.2.3")
def test_a_refused_hit_tells_when_to_come_again_rounded_up_in_both_fields() -> None:
    assert headers([_refused("login", timedelta(seconds=11, microseconds=1))]) == [
        (b"ratelimit-policy", b'"login";q=5;w=60'),
        (b"ratelimit", b'"login";r=0;t=12'),
        (b"retry-after", b"12"),
    ]


@DRAFT
def test_several_limits_are_one_list_and_the_longest_wait_counts() -> None:
    hits = [
        _allowed("address", 19, SECOND, "20/minute"),
        _refused("login", 3 * SECOND),
        _refused("day", 9 * SECOND, "1/d"),
    ]
    assert dict(headers(hits)) == {
        b"ratelimit-policy": b'"address";q=20;w=60, "login";q=5;w=60, "day";q=1;w=86400',
        b"ratelimit": b'"address";r=19;t=1, "login";r=0;t=3, "day";r=0;t=9',
        b"retry-after": b"9",
    }


@DRAFT
@pytest.mark.parametrize("turned", [False, True])
def test_of_two_with_one_name_the_stricter_is_shown(turned: bool) -> None:
    def shown(*hits: Hit) -> bytes:
        return dict(headers(hits[::-1] if turned else hits))[b"ratelimit"]

    assert shown(_allowed("a", 3, SECOND), _allowed("a", 1, SECOND)) == b'"a";r=1;t=1'
    assert shown(_allowed("a", 0, SECOND), _refused("a", 2 * SECOND)) == b'"a";r=0;t=2'
    assert shown(_refused("a", 7 * SECOND), _refused("a", 2 * SECOND)) == b'"a";r=0;t=7'


def test_seconds_are_rounded_up() -> None:
    assert [seconds(timedelta(microseconds=value)) for value in (0, 1, 999_999, 1_000_000, 1_000_001)] == [
        0,
        1,
        1,
        1,
        2,
    ]
