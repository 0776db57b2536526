"""One canonical form for each name, and nothing else let in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit.ground.errors import Refusal
from admit.people.identifiers import email, parse, read, username


@pytest.mark.parametrize("text", ["ab", "Ann", "a.b-c_d", "0x", "_bob", "a" * 64, "-a", "a."])
def test_usernames(text: str) -> None:
    found = username(text)
    assert found is not None
    assert (found.kind, found.value, found.shown) == ("username", text.lower(), text)


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a" * 65, "a b", "a@b", "ann ", " ann", "ann\n", "ann\x00", "änn", "ＡＮＮ", "annı", "an\u200bn", "..", "--", "__", "a/b", "a:b", "a%",
    ],
)  # fmt: skip
def test_what_is_no_username(text: str) -> None:
    assert username(text) is None


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [
        ("ann@x.test", "ann@x.test", "ann@x.test"),
        ("Ann.B+tag@X.Test", "ann.b+tag@x.test", "Ann.B+tag@x.test"),
        ("o'neil@x.test", "o'neil@x.test", "o'neil@x.test"),
        ("a@bücher.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example", "a@xn--bcher-kva.example"),
        ("a@x。test", "a@x.test", "a@x.test"),
        ("root@localhost", "root@localhost", "root@localhost"),
        ("a" * 64 + "@x.test", "a" * 64 + "@x.test", "a" * 64 + "@x.test"),
    ],
)
def test_addresses(text: str, value: str, shown: str) -> None:
    assert email(text) == ("email", value, shown)


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "a@", "@x.test", "a", "a@b@x.test", "a b@x.test", "a@x test", " a@x.test", "a@x.test ", "a@x.test\n",
        "a\r\nBcc: v@x.test", "a@x.test\r\nBcc: v@x.test", "a\x00@x.test", "a@x.test\x00", "a@x.test,b@x.test",
        "a@x.test;b@x.test", "<a@x.test>", "Ann <a@x.test>", '"a b"@x.test', "a(c)@x.test", ".a@x.test", "a.@x.test",
        "a..b@x.test", "a@.x.test", "a@x..test", "a@x.test.", "a@-x.test", "a@x-.test", "a@x_y.test", "a@[127.0.0.1]",
        "a@127.0.0.1", "a@1", "ä@x.test", "a" * 65 + "@x.test", "a@" + "b" * 64 + ".test",
        "a@" + ".".join(["b" * 60] * 5), "\u200ba@x.test", "a@x\u202e.test", "a@\ud800.test", "a@" + "x" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    assert email(text) is None
    assert read(text) is None or "@" not in text


@pytest.mark.proof("ASVS-6.3.8")
@pytest.mark.parametrize(
    "twin", ["mıke@x.test", "mİke@x.test", "ｍike@x.test", "mike\u0307@x.test", "mi\u212ae@x.test"]  # the Kelvin sign
)  # fmt: skip
def test_a_twin_that_folds_to_the_same_local_part_is_refused(twin: str) -> None:
    assert email(twin) is None


def test_a_twin_of_the_domain_is_the_same_domain_or_another_one() -> None:
    assert email("a@githu\u212a.test") == email("a@githuk.test")  # the Kelvin sign is a K to every resolver
    dotless = email("a@gıthub.test")
    assert dotless is not None
    assert dotless.value == "a@xn--gthub-n4a.test"


def test_a_refusal_names_the_field() -> None:
    with pytest.raises(Refusal) as caught:
        parse("email", "nonsense")
    assert (caught.value.reason, caught.value.code) == ("register.identifier", "invalid_input")
    assert caught.value.fields == {"errors": [{"field": "email", "message": "Not a valid e-mail address"}]}


@given(st.text(max_size=400))
def test_reading_never_raises_and_is_stable(text: str) -> None:
    found = read(text)
    if found is not None:
        assert found.value.isascii()
        assert found.value == found.value.lower()
        assert found.value.isprintable()
        assert " " not in found.shown
        assert read(found.value) == (found.kind, found.value, found.value)
        again = read(found.shown)
        assert again is not None
        assert again.value == found.value
