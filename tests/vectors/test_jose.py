"""The examples of the JOSE standards: signatures, thumbprints, keys, and the tokens that must be refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import JWKRegistry, KeySet, OctKey
from joserfc.util import urlsafe_b64decode

from admit.crypto import jwt
from admit.crypto.keys import ALGORITHMS, PublicKey, Ring, SigningKey, generate_key, thumbprint
from admit.ground.errors import Refusal

HERE = Path(__file__).parent
NOW = 1_300_819_000_000_000  # before the `exp` of the RFC 7515 examples


def cases(kind: str) -> list[Any]:
    found = []
    for path in sorted(HERE.glob("rfc*.json")):
        document = json.loads(path.read_text())
        for case in document["cases"]:
            if case["kind"] == kind:
                clause = f"{document['source']} {case['clause']}"
                found.append(pytest.param(case, id=f"{clause} {case['name']}", marks=pytest.mark.rfc(clause)))
    return found


def key_of(case: dict[str, Any]) -> SigningKey | PublicKey:
    jwk = case["jwk"]
    if jwk["kty"] == "oct":
        return SigningKey("k", case["alg"], urlsafe_b64decode(jwk["k"].encode()))
    if "d" not in jwk:
        return PublicKey.of({**jwk, "kid": "k", "alg": case["alg"]})
    key = JWKRegistry.import_key(jwk)
    assert not isinstance(key, OctKey)
    return SigningKey("k", case["alg"], key.as_der(private=True))


def can_repeat(case: dict[str, Any]) -> bool:
    """ECDSA signatures are random, and the private half of RFC 7515 A.2 is not in the vectors."""
    return case["deterministic"] and (case["jwk"]["kty"] == "oct" or "d" in case["jwk"])


@pytest.mark.parametrize("case", cases("signature"))
def test_the_signature_of_the_standard_is_right_and_no_other(case: dict[str, Any]) -> None:
    signed, _, signature = case["token"].rpartition(".")
    raw = urlsafe_b64decode(signature.encode())
    key = key_of(case)
    assert key.verify(signed.encode(), raw)
    assert not key.verify(signed.encode() + b"A", raw)
    assert not key.verify(signed.encode(), raw[:-1] + bytes([raw[-1] ^ 1]))


@pytest.mark.parametrize("case", [c for c in cases("signature") if can_repeat(c.values[0])])
def test_signing_gives_the_bytes_of_the_standard(case: dict[str, Any]) -> None:
    key = key_of(case)
    assert isinstance(key, SigningKey)
    signed, _, signature = case["token"].rpartition(".")
    assert key.sign(signed.encode()) == urlsafe_b64decode(signature.encode())


@pytest.mark.parametrize("case", cases("thumbprint"))
def test_the_thumbprint_of_the_standard(case: dict[str, Any]) -> None:
    assert thumbprint(JWKRegistry.import_key(case["jwk"])) == case["thumbprint"]


@pytest.mark.parametrize("case", cases("published"))
def test_a_published_key_is_taken_only_when_it_is_public_and_for_signatures(case: dict[str, Any]) -> None:
    if case["accepted"]:
        assert PublicKey.of(case["jwk"]).kid == case["jwk"]["kid"]
    else:
        with pytest.raises(ValueError, match="key"):
            PublicKey.of(case["jwk"])


@pytest.mark.proof("RFC8725-3.3", "RFC8725-3.2")
@pytest.mark.parametrize("case", cases("refused"))
def test_what_the_standard_shows_and_an_access_token_is_not(case: dict[str, Any]) -> None:
    # every algorithm is in the list and every kid has a key, so that only the named check can refuse
    key = SigningKey("k", "HS256", bytes(range(0, 64, 2)))
    rules = jwt.Rules(lambda kid: key, "joe", frozenset({"api"}), algorithms=ALGORITHMS)
    with pytest.raises(Refusal) as refused:
        jwt.verify(case["token"], rules, NOW)
    assert refused.value.reason == case["reason"]


def test_every_file_of_vectors_is_used() -> None:
    used = sum(len(cases(kind)) for kind in ("signature", "refused", "thumbprint", "published"))
    assert used == sum(len(json.loads(path.read_text())["cases"]) for path in HERE.glob("rfc*.json")) > 25


@pytest.mark.rfc("RFC 7517 5")
def test_a_key_set_is_read_by_a_standard_library() -> None:
    ring = Ring((generate_key("ES256", NOW), generate_key("RS256", NOW), generate_key("HS256", NOW)))
    document = json.loads(json.dumps(ring.jwks(NOW)))
    read = KeySet.import_key_set(document)
    assert [key.kid for key in read.keys] == [key.kid for key in ring.keys[:2]]
    assert [key.thumbprint() for key in read.keys] == [key.kid for key in ring.keys[:2]]
