"""Opaque tokens: one spelling each, and a reason for everything that is not one."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit.crypto import opaque
from admit.crypto.opaque import KeyParts, RefreshParts, SessionParts, TicketParts, TokenFormat
from admit.ground.ids import ALPHABET, base62

FORMATS = {
    "api key": opaque.api_key_format("admit", "p", "live"),
    "service key": opaque.api_key_format("admit", "s", "test"),
    "refresh": opaque.refresh_format("admit"),
    "session": opaque.session_format("admit"),
    "ticket": opaque.ticket_format("admit"),
}
KEY = FORMATS["api key"]


def a_token(form: TokenFormat = KEY) -> str:
    return form.issue(bytes(range(form.size)))


def with_checksum(text: str) -> str:
    """`text` with a right checksum, so that only the body can be wrong."""
    return text + opaque._checksum(text)


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@given(data=st.data())
def test_what_was_issued_parses_to_the_same_bytes(form: TokenFormat, data: st.DataObject) -> None:
    payload = data.draw(st.binary(min_size=form.size, max_size=form.size))
    text = form.issue(payload)
    assert form.parse(text) == payload
    assert form.problem(text) is None
    assert len(text) == form.length
    assert set(text.removeprefix(form.prefix)) <= set(ALPHABET)


@given(st.text() | st.text(ALPHABET, min_size=82, max_size=82).map(KEY.prefix.__add__))
def test_nothing_else_parses_and_nothing_raises(text: str) -> None:
    assert KEY.parse(text) is None
    assert KEY.problem(text) is not None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "prefix"),
        ("admit_plive", "prefix"),
        ("ADMIT_PLIVE_" + a_token()[12:], "prefix"),
        (opaque.api_key_format("admit", "p", "test").issue(bytes(52)), "prefix"),
        (FORMATS["session"].issue(bytes(52)), "prefix"),
        (a_token()[:-1], "length"),
        (a_token() + "0", "length"),
        (a_token() + "\n", "length"),
        (KEY.prefix + "x" * 50_000_000, "length"),
        (a_token()[:20] + "-" + a_token()[21:], "letters"),
        (a_token()[:20] + "\u0660" + a_token()[21:], "letters"),
        (a_token()[:20] + "\ud800" + a_token()[21:], "letters"),
        (a_token()[:-1] + "_", "letters"),
        (with_checksum(KEY.prefix + "z" * 70), "letters"),
        (a_token()[:-1] + ("0" if a_token()[-1] != "0" else "1"), "checksum"),
        (a_token()[:20] + ("0" if a_token()[20] != "0" else "1") + a_token()[21:], "checksum"),
    ],
)
def test_each_malformed_key_has_its_reason(text: str, problem: str) -> None:
    assert KEY.problem(text) == problem
    assert KEY.parse(text) is None


def test_a_value_out_of_range_is_not_a_second_spelling() -> None:
    # 256**52 fits in 70 letters but not in 52 bytes
    over = with_checksum(KEY.prefix + base62((256**52).to_bytes(53, "big"), 70))
    assert KEY.problem(over) == "letters"


@pytest.mark.parametrize("position", range(len(KEY.prefix), KEY.length))
def test_every_changed_letter_is_found(position: int) -> None:
    text = a_token()
    other = "0" if text[position] != "0" else "1"
    assert KEY.problem(text[:position] + other + text[position + 1 :]) in ("checksum", "letters")


def test_no_token_of_one_kind_is_read_as_another() -> None:
    for name, form in FORMATS.items():
        for other, reader in FORMATS.items():
            assert (reader.parse(a_token(form)) is None) == (name != other)


def test_the_prefixes_are_stable() -> None:
    assert [form.prefix for form in FORMATS.values()] == [
        "admit_plive_", "admit_stest_", "admit_r_", "admit_s_", "admit_t_",
    ]  # fmt: skip
    assert [form.length for form in FORMATS.values()] == [88, 88, 106, 84, 84]


@pytest.mark.parametrize("brand", ["", "Admit", "ad_mit", "1admit", "a" * 17, "ädmit", "a\n"])
def test_a_brand_that_would_blur_the_prefix_is_refused(brand: str) -> None:
    with pytest.raises(ValueError, match="brand"):
        opaque.session_format(brand)


@pytest.mark.parametrize(
    ("kind", "environment"), [("x", "live"), ("p", ""), ("p", "li_ve"), ("p", "LIVE"), ("", "live")]
)
def test_a_kind_or_environment_that_would_blur_the_prefix_is_refused(kind: str, environment: str) -> None:
    with pytest.raises(ValueError, match="kind"):
        opaque.api_key_format("admit", kind, environment)  # type: ignore[arg-type]


def test_a_key_of_another_environment_is_told_from_junk() -> None:
    assert opaque.api_key_shape("admit", a_token()) == ("p", "live")
    assert opaque.api_key_shape("admit", a_token(FORMATS["service key"])) == ("s", "test")
    for text in ("", "admit", "admit_", a_token(FORMATS["session"]), a_token(FORMATS["refresh"]), "other_plive_x"):
        assert opaque.api_key_shape("admit", text) is None


@pytest.mark.parametrize("parts", [KeyParts, SessionParts, TicketParts])
def test_parts_come_back_as_they_went(parts: type[KeyParts]) -> None:
    made = parts(2**32 - 1, b"i" * 16, b"s" * 32)
    assert parts.unpack(made.pack()) == made
    assert len(made.pack()) == opaque.KEY_SIZE
    assert isinstance(parts.unpack(made.pack()), parts)


def test_refresh_parts_come_back_as_they_went() -> None:
    made = RefreshParts(1, b"f" * 16, b"p" * 16, b"s" * 32)
    assert RefreshParts.unpack(made.pack()) == made
    assert len(made.pack()) == opaque.REFRESH_SIZE


@pytest.mark.parametrize("parts", [KeyParts(1, b"i" * 15, b"s" * 32), KeyParts(1, b"i" * 16, b"s" * 33)])
def test_parts_of_the_wrong_size_are_not_packed(parts: KeyParts) -> None:
    with pytest.raises(ValueError, match="size"):
        parts.pack()
    with pytest.raises(ValueError, match="bytes"):
        KEY.issue(b"short")


def test_secrets_are_masked_in_repr() -> None:
    secret, proof = b"\xaa" * 32, b"\xbb" * 16
    for parts in (KeyParts(1, bytes(16), secret), RefreshParts(1, bytes(16), proof, secret)):
        shown = f"{parts!r} {parts}"
        assert "***" in shown
        assert not any(mark in shown for mark in ("aaaa", "bbbb", "\\xaa", "\\xbb"))


def test_the_next_secret_needs_both_the_token_and_the_row() -> None:
    secret, nonce = b"s" * 32, b"n" * 16
    assert opaque.next_secret(secret, nonce) == hmac.digest(secret, nonce, "sha256")
    assert opaque.next_secret(secret, b"m" * 16) != opaque.next_secret(secret, nonce)
    assert opaque.next_secret(b"t" * 32, nonce) != opaque.next_secret(secret, nonce)


def test_the_digest_of_a_short_code_depends_on_key_and_ticket() -> None:
    seen = {
        opaque.code_digest(key, ticket, code)
        for key in (b"k" * 32, b"l" * 32)
        for ticket in (b"t" * 16, b"u" * 16, b"t" * 15)
        for code in ("123456", "123457", "", "t123456", "\ud800")
    }
    assert len(seen) == 2 * 3 * 5
    assert opaque.sha256(b"123456") not in seen


def test_sha256_is_the_standard_one() -> None:
    # FIPS 180-4, the example "abc"
    assert opaque.sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
