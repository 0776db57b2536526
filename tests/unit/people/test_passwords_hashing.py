"""Hashing, verifying, upgrading: our own formats and those of Django and passlib (vectors made by the real ones)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from admit.ground.errors import Refusal, SettingsError
from admit.people.passwords import PROFILES, Bounds, Hasher, Verdict, profile_of

FILE = json.loads((Path(__file__).parents[2] / "vectors" / "password_hashes.json").read_text("utf-8"))
PASSWORD: str = FILE["password"]
VECTORS: list[dict[str, str]] = FILE["vectors"]
CHEAP = Hasher(profile_of("cheap"))
CHEAP_BCRYPT = Hasher(profile_of("cheap-bcrypt"))
BOTH = pytest.mark.parametrize("hasher", [CHEAP, CHEAP_BCRYPT], ids=repr)
FOREIGN = pytest.mark.parametrize("vector", VECTORS, ids=[f"{v['origin']} {v['format']}" for v in VECTORS])

NO = Verdict(ok=False, upgrade=False)
FINE = Verdict(ok=True, upgrade=False)
OLD = Verdict(ok=True, upgrade=True)


@pytest.mark.proof("ASVS-6.2.8", "NIST-3.1.1.2-full")
@BOTH
def test_a_password_is_verified_exactly(hasher: Hasher) -> None:
    password = "Correct Horse 1 Battery!" + "x" * 40 + "Z"
    stored = hasher.hash(password)
    assert hasher.verify(stored, password) == FINE
    for wrong in (password[:-1], password[:-1] + "z", password + " ", " " + password, password.upper(), ""):
        assert hasher.verify(stored, wrong) == NO


@pytest.mark.proof("ASVS-11.4.2", "NIST-3.1.1.2-store")
def test_the_default_is_argon2id_with_owasp_costs_and_fresh_salts() -> None:
    hasher = Hasher()
    first, second = hasher.hash("a" * 20), hasher.hash("a" * 20)
    shape = re.compile(r"\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}")
    assert shape.fullmatch(first)
    assert shape.fullmatch(second)
    assert first.split("$")[4:] != second.split("$")[4:]
    assert hasher.verify(first, "a" * 20) == FINE


def test_bcrypt_by_name_has_cost_12() -> None:
    assert PROFILES["bcrypt"].cost == 12
    assert Hasher(profile_of("bcrypt")).dummy.startswith("$2b$12$")
    assert CHEAP_BCRYPT.hash("a" * 20).startswith("$2b$04$")


@pytest.mark.proof("ASVS-11.4.2")
def test_only_profiles_for_tests_are_below_the_floor() -> None:
    owasp = {(46 * 1024, 1, 1), (19 * 1024, 2, 1), (12 * 1024, 3, 1), (64 * 1024, 3, 4)}
    for profile in PROFILES.values():
        strong = (profile.memory, profile.passes, profile.lanes) in owasp or profile.cost >= 12
        assert strong is not profile.for_tests
    with pytest.raises(SettingsError, match="argon2id"):
        profile_of("md5")


@pytest.mark.proof("NIST-3.1.1.2-nfc")
def test_both_spellings_of_an_accent_are_one_password() -> None:
    stored = CHEAP.hash("caf\u00e9 caf\u00e9 caf\u00e9")
    assert stored != CHEAP.hash("caf\u00e9 caf\u00e9 caf\u00e9")
    assert CHEAP.verify(stored, "cafe\u0301 cafe\u0301 cafe\u0301") == FINE
    assert CHEAP.verify(CHEAP.hash("cafe\u0301 cafe\u0301"), "caf\u00e9 caf\u00e9") == FINE


def test_an_imported_hash_of_the_typed_form_still_verifies() -> None:
    # Django hashes what was typed: "cafe" and a combining accent, which NFC would make one letter
    stored = FILE["decomposed"]["hash"]
    assert CHEAP.verify(stored, "cafe\u0301") == OLD
    assert CHEAP.verify(stored, "caf\u00e9") == NO
    assert CHEAP.verify(stored, "cafe") == NO


@FOREIGN
def test_foreign_hashes_verify_and_ask_for_an_upgrade(vector: dict[str, str]) -> None:
    assert CHEAP.verify(vector["hash"], PASSWORD) == OLD
    assert CHEAP_BCRYPT.verify(vector["hash"], PASSWORD) == OLD
    assert CHEAP.verify(vector["hash"], PASSWORD + "x") == NO
    assert CHEAP.verify(vector["hash"], PASSWORD[:-1]) == NO


@pytest.mark.proof("ASVS-11.2.2")
def test_a_change_of_cost_or_scheme_asks_for_an_upgrade() -> None:
    stored = CHEAP.hash(PASSWORD)
    assert CHEAP.verify(stored, PASSWORD) == FINE
    assert Hasher().verify(stored, PASSWORD) == OLD
    assert CHEAP_BCRYPT.verify(stored, PASSWORD) == OLD
    assert CHEAP.verify(CHEAP_BCRYPT.hash(PASSWORD), PASSWORD) == OLD
    assert Hasher(profile_of("bcrypt")).verify(CHEAP_BCRYPT.hash(PASSWORD), PASSWORD) == OLD
    assert Hasher().verify(stored, "wrong") == NO


@pytest.mark.proof("NIST-3.1.1.2-full")
def test_bcrypt_never_cuts() -> None:
    base = "x" * 72
    stored = CHEAP_BCRYPT.hash(base)
    assert CHEAP.verify(stored, base) == OLD
    for longer in (base + "y", base + "yz", base + "x"):
        assert CHEAP.verify(stored, longer) == NO
        with pytest.raises(Refusal) as refused:
            CHEAP_BCRYPT.hash(longer)
        assert refused.value.reason == "password.too_long"
    assert (CHEAP.max_bytes, CHEAP_BCRYPT.max_bytes) == (None, 72)


@pytest.mark.parametrize(
    ("password", "reason"),
    [("a\x00b", "unreadable"), ("a\ud800", "unreadable"), ("a\n", "unreadable"), ("x" * 1025, "too_long")],
)
@BOTH
def test_what_cannot_be_read_is_neither_hashed_nor_verified(hasher: Hasher, password: str, reason: str) -> None:
    with pytest.raises(Refusal) as refused:
        hasher.hash(password)
    assert refused.value.reason == f"password.{reason}"
    assert password not in str(refused.value)
    assert hasher.verify(hasher.hash("other"), password) == NO
    assert hasher.verify(None, password) == NO


MALFORMED = [
    "",
    "plain text",
    "$argon2id$",
    "$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$",
    "$argon2id$v=19$m=8,t=0,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
    "$argon2id$v=19$m=8,t=1,p=0$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
    "$argon2id$v=19$m=8,t=1,p=1$A$A",
    "$argon2id$v=19$m=٨,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
    "$2b$12$short",
    "$2b$03$" + "." * 53,
    "$2x$05$" + "." * 53,
    "$2b$05$" + "." * 53 + "\n",
    "bcrypt_sha256$$2b$05$",
    "pbkdf2_sha256$1000$salt$",
    "pbkdf2_sha256$0$salt$IQDHScsZpzzBHSCaIlvi+v1UyGBDmoTAGnuOShU8QcA=",
    "pbkdf2_sha256$1000$salt$=",
    "pbkdf2_sha256$1000$salt$AAAAA",
    "pbkdf2_md5$1000$salt$IQDHScsZpzzBHSCaIlvi+v1UyGBDmoTAGnuOShU8QcA=",
    "$pbkdf2-sha256$1000$A$V4VDmXpnpyZAXsbG4rxFEgIB72kuB/UwXZ4D2JE72A0",
    "scrypt$15$saltsaltsalt$8$5$W2hDProaDUr3xDAvj22jL9JNVIrPF/TbrmuvyWQluJg=",
    "scrypt$1$saltsaltsalt$8$5$W2hDProaDUr3xDAvj22jL9JNVIrPF/TbrmuvyWQluJg=",
    "scrypt$16$saltsaltsalt$0$0$W2hDProaDUr3xDAvj22jL9JNVIrPF/TbrmuvyWQluJg=",
    "$scrypt$ln=4,r=8,p=1$uVcqxXjvvZeyVqp1jtGaMw$",
    "x" * 100_000,
]


@pytest.mark.parametrize("stored", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_hash_matches_nothing(stored: str) -> None:
    for password in ("", "password", PASSWORD):
        assert CHEAP.verify(stored, password) == NO


DIGEST = "W2hDProaDUr3xDAvj22jL9JNVIrPF/TbrmuvyWQluJg="
TOO_DEAR = [
    f"$argon2id$v=19$m=4194304,t=1,p=1$c2FsdHNhbHQ${DIGEST.rstrip('=')}",
    f"$argon2id$v=19$m=65536,t=100000,p=1$c2FsdHNhbHQ${DIGEST.rstrip('=')}",
    f"$argon2id$v=19$m=65536,t=1,p=4096$c2FsdHNhbHQ${DIGEST.rstrip('=')}",
    "$2b$31$" + "." * 53,
    "bcrypt_sha256$$2b$31$" + "." * 53,
    "$bcrypt-sha256$v=2,t=2b,r=31$ivJxH1gS0PaDTvliiXDx..$sdZCeo5VuhK3cfZRKLu6thGxR40POWm",
    f"pbkdf2_sha256$999999999$salt${DIGEST}",
    f"$pbkdf2-sha512$999999999$c2FsdA${DIGEST}",
    "pbkdf2_sha256$3000000$salt$" + "A" * 400,
    f"scrypt$1048576$salt$64$1${DIGEST}",
    f"scrypt$1024$salt$8$999999999${DIGEST}",
    f"$scrypt$ln=63,r=8,p=1$c2FsdA${DIGEST}",
]


@pytest.mark.proof("ASVS-15.2.2")
@pytest.mark.parametrize("stored", TOO_DEAR, ids=range(len(TOO_DEAR)))
def test_an_imported_hash_cannot_order_ruinous_work(stored: str) -> None:
    assert CHEAP.verify(stored, PASSWORD) == NO


def test_the_bounds_are_a_setting() -> None:
    vector = next(v["hash"] for v in VECTORS if v["format"] == "pbkdf2_sha256")
    assert Hasher(profile_of("cheap"), Bounds(pbkdf2_rounds=1000)).verify(vector, PASSWORD) == OLD
    assert Hasher(profile_of("cheap"), Bounds(pbkdf2_rounds=999)).verify(vector, PASSWORD) == NO


@pytest.mark.parametrize("stored", ["no hash at all", None, "$2b$31$" + "." * 53])
def test_unknown_and_malformed_cost_one_hash_of_the_profile(stored: str | None, monkeypatch: Any) -> None:
    asked: list[str] = []
    real = CHEAP.verify.__globals__["recognise"]
    monkeypatch.setitem(CHEAP.verify.__globals__, "recognise", lambda s, b: _counted(real(s, b), s, asked))
    assert CHEAP.verify(stored, PASSWORD) == NO
    assert asked == [CHEAP.dummy]
    asked.clear()
    known = CHEAP.hash("another password")
    assert CHEAP.verify(known, PASSWORD) == NO
    assert asked == [known]


def _counted(check: Any, stored: str, asked: list[str]) -> Any:
    def counted(secret: bytes) -> bool:
        asked.append(stored)
        return bool(check(secret))

    return check and counted


@BOTH
def test_the_dummy_is_well_formed_and_of_the_profile(hasher: Hasher) -> None:
    stored = hasher.hash("any")
    assert len(hasher.dummy) == len(stored)
    assert hasher.is_current(hasher.dummy)
    assert hasher.is_current(stored)
    assert hasher.dummy != Hasher(hasher.profile).dummy
    assert hasher.verify(hasher.dummy, "any") == NO


def test_no_secret_in_any_repr() -> None:
    stored = CHEAP.hash(PASSWORD)
    shown = repr(CHEAP) + repr(CHEAP.verify(stored, PASSWORD)) + repr(CHEAP.profile) + repr(CHEAP.bounds)
    for secret in (PASSWORD, stored, CHEAP.dummy, stored.rpartition("$")[2]):
        assert secret not in shown


PIECES = st.sampled_from(
    [
        *("$", "$argon2id$", "v=19$", "m=8,t=1,p=1$", "$2b$04$", "pbkdf2_sha256$", "scrypt$", "$scrypt$"),
        *("16$", "8$", "1$", "ln=1,", "r=1,p=1$", "$bcrypt-sha256$", "v=2,t=2b,r=4$", "salt$", "c2FsdA$"),
        *("=", ".", DIGEST, "A" * 53, "A" * 31, "A" * 22, "A"),
    ]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=8).map("".join) | st.text(max_size=60), st.text(st.characters(), max_size=30))
@example("$2b$04$" + "A" * 53, "x")
@example("$argon2id$v=19$m=8,t=1,p=1$c2FsdA$" + "A" * 22, "x")
@example("$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHQ$" + "A" * 22, "x")
def test_verify_never_raises(stored: str, password: str) -> None:
    assert CHEAP.verify(stored, password) == NO


@settings(deadline=None, max_examples=100)
@given(st.sampled_from(VECTORS), st.integers(0, 400), st.characters(codec="ascii"))
def test_a_changed_vector_never_raises(vector: dict[str, str], at: int, char: str) -> None:
    stored = vector["hash"]
    at %= len(stored)
    changed = stored[:at] + char + stored[at + 1 :]
    assert CHEAP.verify(changed, PASSWORD + "x") == NO
