"""The two password policies, as tables: what is refused, with which reasons, and what is not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from admit.ground.errors import REASONS, Refusal, SettingsError
from admit.people.passwords import POLICIES, Policy, policy_of

CLASSIC = policy_of("classic")
NIST = policy_of("nist")
GOOD = "Correct Horse 1 Battery!"


def reasons(policy: Policy, password: str, **known: str) -> set[str]:
    found = policy.check(password, username=known.get("username"), email=known.get("email"))
    assert len(found) == len(set(found))
    return {reason.removeprefix("password.") for reason in found}


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        (GOOD, set()),
        ("Tidal-Lamp?42", set()),
        ("Grün Fjord 7 Laterne", set()),  # the space is a symbol, ü a letter
        ("Tidal€Lamp423", set()),
        ("Tidal-Lamp1", {"too_short"}),
        ("tidal-lamp?42", {"no_upper"}),
        ("TIDAL-LAMP?42", {"no_lower"}),
        ("Tidal-Lamp?xy", {"no_digit"}),
        ("TidalLampxy42", {"no_symbol"}),
        ("Password1234!", {"too_common"}),
        ("P@ssw0rd!2024", {"too_common"}),
        ("password", {"too_short", "no_upper", "no_digit", "no_symbol", "too_common"}),
        ("", {"too_short", "no_upper", "no_lower", "no_digit", "no_symbol"}),
        ("Tidal\x00Lamp?42", {"unreadable"}),
        ("Tidal\nLamp?42", {"unreadable"}),
        ("Tidal\x7fLamp?42", {"unreadable"}),
        ("Tidal\ud800Lamp?42", {"unreadable"}),
        ("Aa1!" * 256 + "b", {"too_long"}),
    ],
)
def test_classic(password: str, expected: set[str]) -> None:
    assert reasons(CLASSIC, password) == expected


@pytest.mark.parametrize("symbol", list("!@#$%^&*(),.?\":{}|<>-_=+[];'/\\`~ §€→"))
def test_classic_counts_the_listed_symbols_and_every_other_printable(symbol: str) -> None:
    assert "no_symbol" not in reasons(CLASSIC, f"TidalLamp42{symbol}xyz")


@pytest.mark.proof("ASVS-6.2.1", "NIST-3.1.1.2-len", "NIST-3.1.1.2-cp")
@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("brqzkvwmxtplfg", {"too_short"}),
        ("brqzkvwmxtplfgh", set()),
        ("🦊🌵🛶🎺🧊🪁🦀🍋🧭🪐🎻🐙🌋🏔🧵", set()),
        ("🦊🌵🛶🎺🧊🪁🦀🍋", {"too_short"}),
        # NFC makes one code point of letter and accent: fourteen, not twenty-eight
        ("e\u0301" * 14, {"too_short"}),
    ],
)
def test_nist_counts_code_points(password: str, expected: set[str]) -> None:
    assert reasons(NIST, password) == expected


@pytest.mark.proof("ASVS-6.2.5", "NIST-3.1.1.2-never", "NIST-3.1.1.2-block", "NIST-3.1.1.2-max")
@pytest.mark.parametrize(
    "password",
    [
        "qhvtzkwmrbxplfgnjdcs",
        "83920174650918273645",
        "あ い う か き く け こ さ し ",
        "correct horse battery staple",
        "correct-password-battery-staple",
        "a longer sentence nobody wrote",
    ],
)
def test_nist_has_no_classes_and_compares_the_whole(password: str) -> None:
    assert reasons(NIST, password) == set()


@pytest.mark.proof("ASVS-6.2.9", "NIST-3.1.1.2-max")
@pytest.mark.parametrize("policy", [CLASSIC, NIST])
@pytest.mark.parametrize("length", [64, 128, 1024])
def test_long_passwords_are_taken_up_to_1024(policy: Policy, length: int) -> None:
    password = ("Fjord 7 Laterne! " * 64)[:length]
    assert reasons(policy, password) == set()
    assert reasons(policy, password.ljust(1025, "x")) == {"too_long"}
    assert reasons(policy, "x" * 1_000_000) == {"too_long"}


def test_length_is_counted_after_nfc() -> None:
    assert reasons(NIST, "o\u0308" * 1024) == set()
    assert reasons(NIST, "o\u0308" * 1025) == {"too_long"}


def test_bcrypt_bounds_the_bytes() -> None:
    policy = policy_of("classic", max_bytes=72)
    assert reasons(policy, GOOD.ljust(72, "x")) == set()
    assert reasons(policy, GOOD.ljust(73, "x")) == {"too_long"}
    assert reasons(policy, GOOD.ljust(50, "ü")) == {"too_long"}  # 76 bytes


@pytest.mark.parametrize(
    ("username", "password"),
    [
        ("marguerite", "Marguerite-7-x!"),
        ("marguerite", "x7!M@rgu3r1t3-Qw"),
        ("marguerite", "x7!Etireugram-Qw"),
        ("marguerite", "Margerite-2024!"),
        ("marguerite", "Marguerite2024Marguerite!"),
        ("marguerite.dupont", "MargueriteDupont-1!"),
        ("bob", "Tidal-Bob-Lamp-42"),
        ("ab", "Abababababab1!"),
        ("mark17", "Tidal+Mark17+Lamp"),
    ],
)
def test_classic_refuses_what_contains_or_resembles_the_username(username: str, password: str) -> None:
    assert "like_username" in reasons(CLASSIC, password, username=username)
    assert "like_username" not in reasons(CLASSIC, password, username="zoroaster")


def test_classic_refuses_the_local_part_of_the_address_and_not_its_domain() -> None:
    assert "like_username" in reasons(CLASSIC, "Tidal+Marguerite7", email="marguerite+news@example.test")
    assert reasons(CLASSIC, "Tidal+Example+77", email="marguerite@example.test") == set()


@pytest.mark.parametrize("username", ["ab", "x", "", "--", "ü"])
def test_short_or_empty_names_refuse_nothing_by_accident(username: str) -> None:
    assert reasons(CLASSIC, "Tidal+Abacus+77x", username=username, email=f"{username}@example.test") == set()


@pytest.mark.proof("ASVS-6.2.11", "NIST-3.1.1.2-block")
@pytest.mark.parametrize(
    "password",
    [
        "margueritemarguerite",
        "etireugram-etireugram",
        "M4rgu3r1t3 M4rgu3r1t3",
        "marguerite-2024!",
        "2024 marguerite!!",
        "marguerite2024marguerite",
    ],
)
def test_nist_refuses_derivatives_of_the_username(password: str) -> None:
    assert "like_username" in reasons(NIST, password, username="marguerite")
    assert "like_username" in reasons(NIST, password, email="marguerite@example.test")
    assert "like_username" not in reasons(NIST, password, username="zoroaster")


@pytest.mark.proof("ASVS-6.2.11")
def test_nist_takes_a_phrase_that_only_contains_the_username() -> None:
    assert reasons(NIST, "the lamp of marguerite burns in march", username="marguerite") == set()


@pytest.mark.proof("ASVS-6.1.2", "ASVS-6.2.11")
@pytest.mark.parametrize("policy", [CLASSIC, NIST])
def test_context_words(policy: Policy) -> None:
    password = "Acme-acme-acme-2026"
    assert policy.check(password, context=("acme",)) == ["password.context"]
    assert policy.check(password, context=("ACME Bank", "acme")) == ["password.context"]
    assert policy.check(password) == []
    assert policy.check(GOOD, context=("acme", "", "-")) == []


def test_classic_refuses_a_context_word_anywhere_and_nist_only_when_little_else_is_there() -> None:
    password = "Tidal lamps of 4cm3 burn 7"
    assert CLASSIC.check(password, context=("acme",)) == ["password.context"]
    assert NIST.check(password, context=("acme",)) == []


def test_policies_by_name() -> None:
    assert set(POLICIES) == {"classic", "nist"}
    assert (CLASSIC.min_length, CLASSIC.classes) == (12, True)
    assert (NIST.min_length, NIST.classes) == (15, False)
    assert reasons(policy_of("nist", min_length=8), "brqzkvwm") == set()
    with pytest.raises(SettingsError, match="classic, nist"):
        policy_of("strict")


@pytest.mark.proof("ASVS-6.2.1", "ASVS-6.2.9")
@pytest.mark.parametrize("length", [-1, 0, 7, 65])
def test_no_setting_goes_below_8_or_above_64(length: int) -> None:
    with pytest.raises(SettingsError, match="min_length"):
        policy_of("nist", min_length=length)


ANY_TEXT = st.text(st.characters(), max_size=40) | st.text("aA1! \x00\ud800é", max_size=1100)


@settings(deadline=None, max_examples=150)
@given(ANY_TEXT, st.none() | ANY_TEXT, st.none() | ANY_TEXT, st.lists(ANY_TEXT, max_size=3))
def test_check_never_raises_and_each_reason_has_a_code(
    password: str, username: str | None, email: str | None, context: list[str]
) -> None:
    for policy in (CLASSIC, NIST, policy_of("classic", max_bytes=72)):
        for reason in policy.check(password, username=username, email=email, context=tuple(context)):
            assert reason in REASONS
            assert Refusal(reason).status == 422
