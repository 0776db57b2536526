"""The list of common passwords: what it holds, how it folds, and that it does not refuse what is strong."""

from __future__ import annotations

import random
import string
from itertools import pairwise

import pytest

from admit.people.passwords import is_common
from admit.people.passwords.common import WIDTH, entries
from admit.people.passwords.folding import entry_key, lookup_keys


def test_the_list_is_large_sorted_and_without_doubles() -> None:
    table = entries()
    digests = [table[at : at + WIDTH] for at in range(0, len(table), WIDTH)]
    assert len(table) % WIDTH == 0
    assert len(digests) >= 100_000
    assert all(left < right for left, right in pairwise(digests))
    assert len(table) < 4_000_000


@pytest.mark.proof("ASVS-6.2.4", "NIST-3.1.1.2-block")
@pytest.mark.parametrize(
    "password",
    [
        "Password1234!",
        "P@ssw0rd!2024",
        "Qwerty123456!",
        "Princ3$$2024!",
        "ILOVEYOU-2024",
        "Letmein!!!!!!!!!!!!!!!!1",
        "1qaz!QAZ2wsx@WSX",
        "Aa123456789!",
        "Ｐａｓｓｗｏｒｄ１２３４！",
        "password",
        "123456789012345",
        "qwertyuiopasdfgh",
        "passwordpassword",
        "thisisapassword",
        "1q2w3e4r5t6y7u8i9o0p",
        "iloveyouforever",
        "trustno1trustno1",
        "jack33_lWR9L",  # four classes, and leaked all the same
    ],
)
def test_common_ones_are_found_after_folding(password: str) -> None:
    assert is_common(password)


@pytest.mark.parametrize(
    "password",
    [
        "Correct Horse 1 Battery!",
        "correct horse battery staple",
        "correct-password-battery-staple",
        "Tidal Lamp 42 Quartz",
        "Grün Fjord 7 Laterne!",
        "Kiosk Lantern 42 Meadow?",
        "Abc!48#29$17",  # folds to three letters that are in every list
        "Dragon$83916402758391640275",  # what follows the dragon is a secret of its own
        "",
        "!",
        "!!!!#?!!!!",
        "a",
    ],
)
def test_others_are_not(password: str) -> None:
    assert not is_common(password)


@pytest.mark.parametrize(
    "alphabet", [string.ascii_letters + string.digits + string.punctuation, string.ascii_lowercase]
)
def test_random_passwords_are_not_refused_by_accident(alphabet: str) -> None:
    draw = random.Random(20_26)
    refused = sum(is_common("".join(draw.choices(alphabet, k=14))) for _ in range(4000))
    assert refused == 0


@pytest.mark.parametrize(
    ("password", "key"),
    [
        ("PASSWORD", "password"),
        ("P@$5w0rd2024!", "password"),
        ("he11o-w0r1d99", "heiio-worid"),
        ("Princ3$$2024", "princess"),
        ("dragon" + "1" * 40, "dragon"),
    ],
)
def test_variants_fold_to_the_key_of_the_word(password: str, key: str) -> None:
    assert key in lookup_keys(password)


@pytest.mark.parametrize("entry", ["123456", "abc123", "hello", "hello1", "p@ss", "1qaz2wsx", "Ünïcödé99"])
def test_an_entry_is_found_by_its_own_key(entry: str) -> None:
    assert entry_key(entry) in lookup_keys(entry)


def test_a_short_body_is_never_a_key() -> None:
    assert "abc" not in lookup_keys("Abc!48#29$17")
    assert lookup_keys("!!!!") == {"iiii"}
