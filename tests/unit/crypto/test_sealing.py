"""Master secrets and sealed values: nothing opens in another place, under another key, or changed."""

from __future__ import annotations

import base64
from itertools import count

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from admit.crypto import sealing
from admit.crypto.sealing import MasterSecrets, Sealer, SealError
from admit.ground.errors import SettingsError

OLD, NEW = sealing.generate(), sealing.generate()
PLACE = sealing.aad(1, "signing_keys", "secret", b"row")
SEALER = Sealer({1: b"1" * 32, 2: b"2" * 32}, 2)


@given(st.binary(), st.binary())
def test_a_sealed_value_opens_in_its_place(plain: bytes, place: bytes) -> None:
    blob = SEALER.seal(plain, place)
    assert SEALER.open(blob, place) == plain
    assert len(blob) == len(plain) + 33
    assert not plain or len(plain) < 4 or plain not in blob


@pytest.mark.proof("ASVS-11.2.5")
def test_it_opens_nowhere_else_and_not_when_changed() -> None:
    blob = SEALER.seal(b"value", PLACE)
    broken = [blob[:i] + bytes([blob[i] ^ 1]) + blob[i + 1 :] for i in range(len(blob))]
    broken += [b"", blob[:-1], blob + b"\0", blob[:32], bytes(40), b"\2" + blob[1:]]
    for other in broken:
        with pytest.raises(SealError, match="a sealed value does not open"):
            SEALER.open(other, PLACE)
    for place in (
        sealing.aad(2, "signing_keys", "secret", b"row"),
        sealing.aad(1, "signing_key", "ssecret", b"row"),
        sealing.aad(1, "signing_keys", "secret", b"row2"),
        b"",
    ):
        with pytest.raises(SealError):
            SEALER.open(blob, place)


def test_the_place_has_one_spelling() -> None:
    places = {
        sealing.aad(tenant, table, column, row)
        for tenant in (1, 11)
        for table in ("a", "ab")
        for column in ("b", "bb")
        for row in (b"", b"|", b"b|")
    }
    assert len(places) == 24
    with pytest.raises(ValueError, match="name"):
        sealing.aad(1, "a|b", "c", b"")
    with pytest.raises(ValueError, match="name"):
        sealing.aad(1, "a", "b|c", b"")


def test_an_old_data_key_opens_and_asks_to_be_renewed() -> None:
    old = Sealer({1: b"1" * 32}, 1).seal(b"value", PLACE)
    assert SEALER.open(old, PLACE) == b"value"
    assert SEALER.needs_reseal(old)
    assert not SEALER.needs_reseal(SEALER.seal(b"value", PLACE))
    with pytest.raises(SealError):
        Sealer({3: b"3" * 32}, 3).open(old, PLACE)


def test_equal_values_do_not_look_equal() -> None:
    assert SEALER.seal(b"value", PLACE) != SEALER.seal(b"value", PLACE)


@pytest.mark.parametrize(("keys", "current"), [({}, 1), ({1: b"x" * 31}, 1), ({1: b"x" * 32}, 2)])
def test_a_sealer_without_its_key_is_refused(keys: dict[int, bytes], current: int) -> None:
    with pytest.raises(ValueError, match="data keys"):
        Sealer(keys, current)


@pytest.mark.proof("ASVS-11.2.2")
def test_a_new_master_rewraps_and_the_old_one_still_opens() -> None:
    blob = MasterSecrets.parse(OLD).wrap(b"d" * 32, PLACE)
    both = MasterSecrets.parse(f"2:{NEW}, 1:{OLD}")
    assert both.unwrap(blob, PLACE) == b"d" * 32
    assert both.needs_rewrap(blob)
    again = both.wrap(both.unwrap(blob, PLACE), PLACE)
    assert not both.needs_rewrap(again)
    assert MasterSecrets.parse(f"2:{NEW}").unwrap(again, PLACE) == b"d" * 32


def test_a_wrapped_key_opens_only_under_its_master_and_in_its_place() -> None:
    blob = MasterSecrets.parse(OLD).wrap(b"d" * 32, PLACE)
    for masters, place in ((NEW, PLACE), (f"2:{OLD}", PLACE), (OLD, b"elsewhere")):
        with pytest.raises(SealError):
            MasterSecrets.parse(masters).unwrap(blob, place)
    with pytest.raises(SealError):
        MasterSecrets.parse(OLD).needs_rewrap(b"junk")


@pytest.mark.parametrize("spell", ["urlsafe", "standard", "hex"])
def test_one_secret_may_be_spelled_in_three_ways(spell: str) -> None:
    raw = bytes(range(7, 7 + 64, 2))
    text = {
        "urlsafe": base64.urlsafe_b64encode(raw).decode(),
        "standard": base64.b64encode(raw).decode(),
        "hex": raw.hex(),
    }[spell]
    assert MasterSecrets.parse(f" {text} ").masters == {1: raw}


@pytest.mark.proof("ASVS-13.3.1", "RFC8725-3.5")
@pytest.mark.parametrize(
    "value",
    [
        "", ",", "1:", "changeme", "your-256-bit-secret", "secret" * 8, "A" * 43, "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
        "pJ3vQ8nX2kL5mR7tW9yB1cD4fG6hJ0aSeU2iO5zK", "9f3a1c7be2d84065b1f7093ad5c6e28f", "T7q-xZ0mB4vK9sW2cR8nL1yH6uJ3eD5gP0aF7iO4tQkVy", "x y z " * 10, "0:" + NEW, "-1:" + NEW, "a:" + NEW,
        f"1:{OLD},2:{NEW}", f"1:{OLD},1:{NEW}", f"{OLD},{NEW}", f"2:{NEW},1:changeme", f"2:{NEW},", base64.b64encode(bytes(32)).decode(),
        "a-string-secret-at-least-256-bits-long", "00112233" * 8, NEW + "=" * 3, "MUST_CHANGE_ME_IN_PRODUCTION_PLEASE_NOW_123",
    ],
    ids=(f"unfit-{number}" for number in count()),
)  # fmt: skip
def test_an_unfit_secret_stops_the_start_with_the_mend(value: str) -> None:
    with pytest.raises(SettingsError, match=r"^ADMIT_SECRET .*secrets\.token_urlsafe\(32\)") as refused:
        MasterSecrets.parse(value)
    assert len(value) < 8 or value not in str(refused.value)


def test_the_newest_secret_comes_first() -> None:
    assert MasterSecrets.parse(f"3:{NEW},1:{OLD}").current == 3


def test_a_generated_secret_is_fit_and_fresh() -> None:
    made = {sealing.generate() for _ in range(100)}
    assert len(made) == 100
    for text in made:
        assert len(MasterSecrets.parse(text).masters[1]) == 32


def test_purposes_give_keys_that_have_nothing_in_common() -> None:
    masters = MasterSecrets.parse(f"2:{NEW},1:{OLD}")
    csrf, codes = masters.derive("csrf"), masters.derive("codes")
    assert len({*csrf, *codes}) == 4
    assert all(len(key) == 32 for key in csrf)
    assert csrf[0] == sealing.derive(masters.masters[2], "csrf")
    assert csrf[1] == MasterSecrets.parse(OLD).derive("csrf")[0]


@pytest.mark.rfc("RFC 5869 2")
def test_derive_is_hkdf_with_the_purpose_as_info() -> None:
    expected = HKDF(SHA256(), 32, None, b"admit/csrf").derive(b"m" * 32)
    assert sealing.derive(b"m" * 32, "csrf") == expected


def test_nothing_secret_is_in_repr() -> None:
    masters = MasterSecrets.parse(f"2:{NEW},1:{OLD}")
    shown = f"{masters!r} {SEALER!r} {masters} {SEALER}"
    assert shown.count("MasterSecrets(ids=[2, 1])") == 2
    for secret in (NEW, OLD, "1111", "2222", masters.masters[2].hex(), repr(masters.masters[2])):
        assert secret not in shown
