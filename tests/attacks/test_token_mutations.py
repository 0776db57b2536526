"""What scanners make of a valid token, against `jwt.verify`: a typed refusal each, and no other effect."""

from __future__ import annotations

import socket
from typing import Any, get_args

import pytest

from admit.crypto import jwt
from admit.crypto.keys import ALGORITHMS, Algorithm, Ring, SigningKey, generate_key
from admit.crypto.known import KNOWN_SECRETS
from admit.ground.errors import Refusal
from tests.attacks.mutations import b64, high_s_twin, mutations, public_code

NOW = 1_800_000_000_000_000
SECONDS = NOW // 1_000_000
CLAIMS: dict[str, Any] = {
    "iss": "https://login.example",
    "sub": "usr_0000000000000000000001",
    "aud": "https://api.example",
    "exp": SECONDS + 900,
    "iat": SECONDS,
    "jti": "0000000000000000000002",
    "client_id": "cli_0000000000000000000003",
    "scope": "read:posts",
    "sid": "ses_0000000000000000000004",
}
KEYS = {alg: generate_key(alg, NOW) for alg in get_args(Algorithm)}


def rules_for(key: SigningKey, algorithms: frozenset[str]) -> jwt.Rules:
    # a second key of each kind is in the ring as well: a token must not be able to choose one
    others = tuple(other for alg, other in KEYS.items() if alg != key.alg)
    ring = Ring((key, *others))
    return jwt.Rules(
        lambda kid: ring.claimed(kid, NOW), CLAIMS["iss"], frozenset({CLAIMS["aud"]}), algorithms=algorithms
    )


def all_mutations(key: SigningKey, token: str) -> list[tuple[str, str]]:
    def sign(header: bytes, payload: bytes) -> str:
        signed = f"{b64(header)}.{b64(payload)}"
        return f"{signed}.{b64(key.sign(signed.encode()))}"

    public = None if key.alg == "HS256" else key.public_jwk()
    return list(mutations(token, public, sign))


@pytest.mark.proof(
    "ASVS-9.1.1", "ASVS-9.1.2", "ASVS-9.1.3", "ASVS-9.2.1", "ASVS-9.2.2", "ASVS-9.2.3", "ASVS-1.5.3", "ASVS-4.2.5",
    "RFC8725-3.1", "RFC8725-3.3", "RFC8725-3.7", "RFC8725-3.8", "RFC8725-3.10", "RFC8725-3.11",
    "RFC8725bis-3.14", "RFC7515-4.1.11",
)  # fmt: skip
@pytest.mark.rfc("RFC 8725 3")
@pytest.mark.parametrize("listed", ["its own algorithm", "every algorithm"])
@pytest.mark.parametrize("alg", get_args(Algorithm))
def test_every_mutation_is_refused(alg: Algorithm, listed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    key = KEYS[alg]
    rules = rules_for(key, frozenset({alg}) if listed == "its own algorithm" else ALGORITHMS)
    token = jwt.sign(CLAIMS, key)
    made = all_mutations(key, token)
    monkeypatch.setattr(socket, "socket", _no_network)
    wrong = [f"{name}: {found}" for name, text in made if (found := _answer(text, rules)) != public_code(name)]
    assert wrong == []
    assert token not in {text for _, text in made}
    # jwt_tool's persistence check: the original still works
    assert jwt.verify(token, rules, NOW).claims == CLAIMS


def _answer(text: str, rules: jwt.Rules) -> str:
    try:
        verified = jwt.verify(text, rules, NOW)
    except Refusal as refusal:
        return "reflected" if "m4rk3r" in str(refusal) else refusal.code
    return f"accepted with {dict(verified.claims)}"


def _no_network(*_: object, **__: object) -> None:
    raise AssertionError("a token caused a connection")


def test_the_list_is_the_one_that_scanners_use() -> None:
    names = {name.split()[0] for name, _ in all_mutations(KEYS["ES256"], jwt.sign(CLAIMS, KEYS["ES256"]))}
    wanted = {f"M{number:02}" for number in range(1, 57)} | {"M59"}
    # M34 verifies and has its own test; M49 needs the other kinds of token of a running server
    assert wanted - names == {"M34", "M49"}
    assert len(KNOWN_SECRETS) >= 95


@pytest.mark.proof("CS-JWT-denylist")
def test_the_malleable_twin_is_the_same_token_to_whoever_keys_on_jti() -> None:
    key = KEYS["ES256"]
    token = jwt.sign(CLAIMS, key)
    twin = high_s_twin(token)
    rules = rules_for(key, frozenset({"ES256"}))
    assert twin != token
    assert jwt.verify(twin, rules, NOW).claims["jti"] == jwt.verify(token, rules, NOW).claims["jti"]


@pytest.mark.proof("RFC8725-3.12", "ASVS-9.2.2")
def test_each_kind_of_token_is_accepted_only_as_that_kind() -> None:
    kinds = [
        "at+jwt",
        "JWT",
        "logout+jwt",
        "dpop+jwt",
        "client-authentication+jwt",
        "secevent+jwt",
        "introspection",
        "x",
    ]
    key = KEYS["ES256"]
    ring = Ring((key,))
    for made in kinds:
        token = jwt.sign(CLAIMS, key, made)
        for wanted in kinds:
            rules = jwt.Rules(lambda kid: ring.claimed(kid, NOW), CLAIMS["iss"], frozenset({CLAIMS["aud"]}), typ=wanted)
            if made == wanted:
                assert jwt.verify(token, rules, NOW).kid == key.kid
                continue
            with pytest.raises(Refusal) as refused:
                jwt.verify(token, rules, NOW)
            assert refused.value.reason == "jwt.type"
