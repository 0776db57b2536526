"""A verifier as the guide teaches it, PyJWT with a pinned algorithm, accepts our tokens."""

from __future__ import annotations

import json
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.serialization import load_der_private_key

from admit.crypto import jwt
from admit.crypto.keys import Algorithm, PublicKey, Ring, generate_key, hs256_key
from admit.ground.errors import Refusal

NOW = 1_800_000_000_000_000
SECONDS = NOW // 1_000_000
ISSUER, AUDIENCE = "https://login.example", "https://api.example"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "usr_0000000000000000000001",
    "aud": AUDIENCE,
    # PyJWT reads the wall clock, so this token outlives it; ours is told the time
    "exp": 32_503_680_000,
    "iat": 1_700_000_000,
    "jti": "0000000000000000000002",
    "client_id": "cli_0000000000000000000003",
}


def decode(token: str, key: Any, alg: str) -> dict[str, Any]:
    found: dict[str, Any] = pyjwt.decode(token, key, algorithms=[alg], audience=AUDIENCE, issuer=ISSUER)
    return found


def test_the_guides_verifier_accepts_our_hs256_token() -> None:
    secret = "T7q-xZ0mB4vK9sW2cR8nL1yH6uJ3eD5gP0aF7iO4tQk"
    token = jwt.sign(CLAIMS, hs256_key(secret))
    assert decode(token, secret, "HS256") == CLAIMS
    with pytest.raises(pyjwt.InvalidSignatureError):
        decode(token, secret[::-1], "HS256")


@pytest.mark.parametrize("alg", ["RS256", "ES256", "PS256"])
def test_the_guides_verifier_accepts_our_tokens_through_the_key_set(alg: Algorithm) -> None:
    ring = Ring((generate_key("ES256", NOW), generate_key("RS256", NOW), generate_key("PS256", NOW)))
    token = jwt.sign(CLAIMS, ring.active(NOW, {alg}))
    key_set = pyjwt.PyJWKSet.from_dict(json.loads(json.dumps(ring.jwks(NOW))))
    key = key_set[pyjwt.get_unverified_header(token)["kid"]]
    assert decode(token, key, alg) == CLAIMS
    with pytest.raises(pyjwt.InvalidAlgorithmError):
        decode(token, key, "HS256")


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
def test_our_verifier_accepts_a_token_that_pyjwt_made(alg: Algorithm) -> None:
    key = generate_key(alg, NOW)
    public = PublicKey.of(key.public_jwk())
    rules = jwt.Rules(lambda kid: public if kid == public.kid else None, ISSUER, frozenset({AUDIENCE}))
    private: Any = load_der_private_key(key.secret, None)
    headers = {"typ": "at+jwt", "kid": key.kid}
    token = pyjwt.encode(CLAIMS, private, alg, headers=headers)
    assert jwt.verify(token, rules, NOW).claims == CLAIMS
    with pytest.raises(Refusal):
        jwt.verify(pyjwt.encode(CLAIMS, private, alg, headers={"kid": key.kid}), rules, NOW)
