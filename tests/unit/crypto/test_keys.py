"""Signing keys: one algorithm each, switched by time, published without what must stay here."""

from __future__ import annotations

import json
from itertools import count
from typing import Any, get_args

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from hypothesis import given
from hypothesis import strategies as st
from joserfc.errors import BadSignatureError
from joserfc.jwk import JWKRegistry
from joserfc.jws import JWSRegistry

from admit.crypto import keys
from admit.crypto.keys import Algorithm, PublicKey, Ring, SigningKey, generate_key, hs256_key
from admit.ground.clock import SECOND
from admit.ground.errors import SettingsError, Unavailable

NOW = 1_800_000_000 * SECOND
MADE = {alg: generate_key(alg, NOW) for alg in get_args(Algorithm)}
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


def at(key: SigningKey, **times: Any) -> SigningKey:
    """The same key with other times."""
    fields = {name: getattr(key, name) for name in ("not_before", "active_from", "retire_at", "revoked_at")}
    return SigningKey(key.kid, key.alg, key.secret, **(fields | times))


def der(native: Any) -> bytes:
    return bytes(native.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


@pytest.mark.parametrize("alg", get_args(Algorithm))
def test_a_key_checks_what_it_signed_and_nothing_else(alg: Algorithm) -> None:
    key = MADE[alg]
    signature = key.sign(b"message")
    assert key.verify(b"message", signature)
    assert not key.verify(b"massage", signature)
    assert not generate_key(alg, NOW).verify(b"message", signature)


@pytest.mark.parametrize("alg", get_args(Algorithm))
@given(signature=st.binary(max_size=600))
def test_no_bytes_make_the_check_raise(alg: Algorithm, signature: bytes) -> None:
    assert not MADE[alg].verify(b"message", signature)


@pytest.mark.proof("ASVS-11.2.5")
@pytest.mark.parametrize("error", [ValueError, TypeError, OverflowError, BadSignatureError])
def test_an_error_of_the_library_is_a_wrong_signature(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    signature = MADE["ES256"].sign(b"message")

    def fail(*_: object) -> bool:
        raise error

    monkeypatch.setattr(JWSRegistry.algorithms["ES256"], "verify", fail)
    assert not MADE["ES256"].verify(b"message", signature)


@pytest.mark.rfc("RFC 7518 3.4")
def test_an_es256_signature_is_64_raw_bytes() -> None:
    assert {len(MADE["ES256"].sign(bytes([n]))) for n in range(20)} == {64}


@pytest.mark.parametrize("alg", get_args(Algorithm))
def test_no_secret_is_in_repr(alg: Algorithm) -> None:
    shown = repr(MADE[alg]) + repr(Ring((MADE[alg],)))
    assert MADE[alg].kid in shown
    assert "secret" not in shown
    assert repr(MADE[alg].secret) not in shown


@pytest.mark.parametrize("alg", sorted(keys.ASYMMETRIC))
def test_a_published_key_has_its_public_half_only(alg: Algorithm) -> None:
    jwk = MADE[alg].public_jwk()
    assert (jwk["kid"], jwk["alg"], jwk["use"], jwk["key_ops"]) == (MADE[alg].kid, alg, "sig", ["verify"])
    assert not PRIVATE_MEMBERS & jwk.keys()
    read = PublicKey.of(json.loads(json.dumps(jwk)))
    assert (read.kid, read.alg, read.revoked_at) == (MADE[alg].kid, alg, None)
    assert read.verify(b"message", MADE[alg].sign(b"message"))
    assert not read.verify(b"message", b"")


def test_a_symmetric_key_is_never_published() -> None:
    with pytest.raises(ValueError, match="no public half"):
        MADE["HS256"].public_jwk()
    assert Ring((MADE["HS256"],)).jwks(NOW) == {"keys": []}


@pytest.mark.proof("RFC8725-3.4", "RFC8725-3.1", "ASVS-11.2.3")
@pytest.mark.parametrize(
    "change",
    [
        {"kid": None}, {"kid": ""}, {"kid": 1}, {"alg": None}, {"alg": "none"}, {"alg": "HS256"}, {"alg": "RS256"},
        {"alg": "ES384"}, {"alg": ["ES256"]}, {"use": "enc"}, {"d": "AA"}, {"k": "AA"}, {"kty": "oct"}, {"kty": "RSA"},
        {"kty": None}, {"crv": "P-384"}, {"crv": "X"}, {"x": "AAAA"}, {"x": 1}, {"y": None}, {"x": "=!"}, {"x": ""},
    ],
    ids=str,
)  # fmt: skip
def test_a_published_key_that_is_not_plainly_one_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="key"):
        PublicKey.of(MADE["ES256"].public_jwk() | change)


@given(st.dictionaries(st.sampled_from(["kty", "kid", "alg", "use", "crv", "x", "y", "n", "e", "key_ops", "x5c"]), st.one_of(
    st.text(max_size=8), st.integers(), st.none(), st.lists(st.text(max_size=2)),
    st.sampled_from(["EC", "RSA", "OKP", "ES256", "RS256", "Ed25519", "P-256", "AQAB", "sig"]))))  # fmt: skip
def test_no_published_key_makes_reading_raise_anything_else(jwk: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="key"):
        PublicKey.of(jwk)


@pytest.mark.proof("RFC8725-3.1", "RFC8725-3.4")
@pytest.mark.parametrize(
    ("alg", "secret"),
    [
        ("ES256", der(ec.generate_private_key(ec.SECP384R1()))),
        ("ES256", der(ec.generate_private_key(ec.SECP256K1()))),
        ("ES256", MADE["RS256"].secret),
        ("RS256", MADE["ES256"].secret),
        ("Ed25519", MADE["ES256"].secret),
        ("Ed25519", der(x25519.X25519PrivateKey.generate())),
        ("RS256", der(dsa.generate_private_key(2048))),
        ("RS256", b"junk"),
        ("HS256", b"x" * 31),
        ("none", b""),
        ("RS512", MADE["RS256"].secret),
        ("RS256", load_der_private_key(MADE["RS256"].secret, None).private_bytes(
            Encoding.DER, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))),
    ],
    ids=(f"unfit-{number}" for number in count()),
)  # fmt: skip
def test_a_key_that_does_not_fit_its_algorithm_is_refused(alg: Any, secret: bytes) -> None:
    with pytest.raises(ValueError, match=r"key|algorithm|Could not deserialize"):
        SigningKey("k", alg, secret)


@pytest.mark.proof("ASVS-11.2.3")
def test_a_short_or_weak_rsa_key_is_refused() -> None:
    with pytest.raises(ValueError, match="2048"):
        generate_key("RS256", NOW, bits=1024)
    with pytest.raises(ValueError, match="unsafe public exponent"):
        SigningKey("k", "RS256", der(rsa.generate_private_key(3, 2048)))


@pytest.mark.rfc("RFC 7638 3")
@pytest.mark.parametrize("alg", sorted(keys.ASYMMETRIC))
def test_the_kid_is_the_thumbprint(alg: Algorithm) -> None:
    assert JWKRegistry.import_key(MADE[alg].public_jwk()).thumbprint() == MADE[alg].kid


def test_a_generated_hs256_key_has_a_random_kid_and_256_bits() -> None:
    one, other = generate_key("HS256", NOW), generate_key("HS256", NOW)
    assert one.kid != other.kid
    assert len(one.secret) == 32


def test_a_chosen_secret_has_one_kid_in_every_process_and_tells_nothing() -> None:
    text = "T7q-xZ0mB4vK9sW2cR8nL1yH6uJ3eD5gP0aF7iO4tQk"
    key = hs256_key(text)
    assert key == hs256_key(text.encode())
    assert key.secret == text.encode()
    assert key.kid not in text
    assert hs256_key(text[::-1]).kid != key.kid


@pytest.mark.proof("RFC8725-3.5", "ASVS-11.2.3", "ASVS-13.3.1")
@pytest.mark.parametrize(
    "secret", ["", "changeme", "your-256-bit-secret", "x" * 40, b"\0" * 32, "T7q-xZ0mB4vK9sW2cR8nL1yH6uJ3eD5"]
)
def test_an_unfit_chosen_secret_names_its_setting_and_the_mend(secret: str | bytes) -> None:
    with pytest.raises(SettingsError, match=r"^ADMIT_JWT_SECRET .*token_urlsafe\(32\)"):
        hs256_key(secret, setting="ADMIT_JWT_SECRET")


def test_the_active_key_switches_by_time_alone() -> None:
    old, new = at(MADE["ES256"], active_from=NOW), at(generate_key("ES256", NOW), active_from=NOW + 10)
    ring = Ring((new, old))
    assert ring.active(NOW) == old
    assert ring.active(NOW + 9) == old
    assert ring.active(NOW + 10) == new


def test_a_dead_key_never_signs() -> None:
    old = at(MADE["ES256"], active_from=NOW)
    revoked = at(generate_key("ES256", NOW), active_from=NOW + 5, revoked_at=NOW + 7)
    retired = at(generate_key("ES256", NOW), active_from=NOW + 6, retire_at=NOW + 8)
    ring = Ring((old, revoked, retired))
    assert [ring.active(NOW + n) for n in (4, 5, 6, 7, 8)] == [old, revoked, retired, retired, old]
    with pytest.raises(Unavailable, match="signing key"):
        ring.active(NOW - 1)
    with pytest.raises(Unavailable):
        Ring(()).active(NOW)


def test_the_active_key_has_one_of_the_algorithms_asked_for() -> None:
    ring = Ring((at(MADE["ES256"], active_from=NOW), at(MADE["RS256"], active_from=NOW - 5)))
    assert ring.active(NOW).alg == "ES256"
    assert ring.active(NOW, {"RS256"}).alg == "RS256"
    with pytest.raises(Unavailable):
        ring.active(NOW, {"PS256"})


def test_a_key_is_published_before_it_signs_and_until_it_retires() -> None:
    key = at(MADE["ES256"], not_before=NOW, active_from=NOW + 10, retire_at=NOW + 20)
    ring = Ring((key,))
    for moment, known in ((NOW - 1, False), (NOW, True), (NOW + 19, True), (NOW + 20, False)):
        assert (ring.jwks(moment)["keys"] != []) is known
        assert (ring.verifying(key.kid, moment) == key) is known
        assert (ring.claimed(key.kid, moment) == key) is known
    assert ring.verifying("other", NOW) is None
    assert ring.claimed("other", NOW) is None


def test_a_revoked_key_is_known_only_to_the_one_that_names_the_reason() -> None:
    key = at(MADE["ES256"], revoked_at=NOW + 5)
    ring = Ring((key,))
    assert ring.verifying(key.kid, NOW + 4) == key
    assert ring.verifying(key.kid, NOW + 5) is None
    assert ring.jwks(NOW + 5) == {"keys": []}
    assert ring.claimed(key.kid, NOW + 5) == key


def test_two_keys_never_share_a_kid() -> None:
    other = generate_key("RS256", NOW)
    with pytest.raises(ValueError, match="same kid"):
        Ring((MADE["ES256"], SigningKey(MADE["ES256"].kid, "RS256", other.secret)))
