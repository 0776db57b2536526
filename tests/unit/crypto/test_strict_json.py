"""JSON read in one way only."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit.crypto import strict_json

EXACT = st.integers(-(2**53) + 1, 2**53 - 1)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | EXACT | st.floats(allow_nan=False, allow_infinity=False) | PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PLAIN, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES, st.booleans())
def test_what_json_wrote_comes_back(value: object, ascii_only: bool) -> None:
    assert strict_json.parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@given(st.binary())
def test_any_bytes_give_a_value_or_a_value_error(raw: bytes) -> None:
    try:
        strict_json.parse(raw)
    except ValueError:
        return
    json.loads(raw)


@pytest.mark.proof("ASVS-1.5.3", "RFC8725-3.7")
@pytest.mark.rfc("RFC 7493 2")
@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"{", b"{}{}", b"{} x", b'{"a":1,"a":2}', b'{"a":1,"\\u0061":1}', b'[{"a":1,"b":{"c":1,"c":1}}]',
        b"NaN", b"-Infinity", b"[Infinity]", b"1e400", b"-1e999", b"9007199254740992", b"-9007199254740992",
        b"1" + b"0" * 5000, b'"\\ud800"', b'{"\\udfff":1}', b'["\\ud83d\\u0041"]', b'"\xff"', b'"\xc0\xaf"', b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}", '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-32-le"), b"'a'", b"{a:1}", b"[1,]", b"// x\n1",
        b"01", b"+1", b".5", b"1.", b"0x10", b'"\n"', b'"\x00"', b"[" * 100_000, b'{"a":' * 100_000, b"True", b"nul",
    ],
)  # fmt: skip
def test_what_two_parsers_may_read_in_two_ways_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        strict_json.parse(raw)


def test_whole_characters_and_exact_numbers_pass() -> None:
    assert strict_json.parse(b'["\\ud83d\\ude00", 9007199254740991, -9007199254740991, 1.5e3]') == [
        "\U0001f600", 2**53 - 1, 1 - 2**53, 1500.0,
    ]  # fmt: skip
