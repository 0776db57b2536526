"""Custom claims: what an application may put into a token that anyone can read."""

from __future__ import annotations

import enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit.crypto import jwt, strict_json
from admit.crypto.claims import RESERVED
from admit.crypto.jwt import check_custom_claims


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_reserved_name_is_refused(name: str) -> None:
    for spelled in (name, name.upper(), name.title()):
        with pytest.raises(ValueError, match=f"'{spelled}' is reserved"):
            check_custom_claims({spelled: "x"})


def test_the_claims_that_the_token_carries_are_reserved() -> None:
    assert {"iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "sid", "typ", "cnf", "act", "azp",
            "auth_time", "acr", "amr", "org_id", "tenant"} <= RESERVED  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "password", "Password", "user_password", "userPassword", "PASSWORD_HASH", "passwd", "pwd", "client-secret",
        "secret", "token", "accessToken", "refresh_token", "ssn", "credit_card", "creditCardNumber", "card_number", "CVV",
        "apiKey", "api_key", "private_key", "PrivateKey", "otp", "totp_seed", "pin", "cardPIN", "recovery_codes" + "_",
        "https://app.example/password", "\uff50assword", "passphrase", "sessionId",
    ],
)  # fmt: skip
def test_a_sensitive_looking_name_is_refused_at_every_depth(name: str) -> None:
    for claims in ({name: "x"}, {"profile": {name: "x"}}, {"list": [{"deep": [{name: 1}]}]}):
        with pytest.raises(ValueError, match="looks sensitive") as refused:
            check_custom_claims(claims)
        assert name in str(refused.value) or repr(name).strip("'") in str(refused.value)


@pytest.mark.parametrize(
    "claims",
    [
        {}, {"role": "editor"}, {"plan": {"name": "pro", "seats": 3, "trial": False, "until": None}},
        {"groups": ["a", "b"]}, {"https://app.example/sub": "x"}, {"profile": {"sub": "nested"}}, {"spin": 1},
        {"shipping_opinion": 1}, {"keyboard": "qwertz"}, {"ratio": 0.5}, {"pinned": True}, {"tokenizer": "bpe"},
        {"name": "Zoë"}, {"n": 2**53 - 1},
    ],
)  # fmt: skip
def test_ordinary_claims_pass(claims: dict[str, Any]) -> None:
    check_custom_claims(claims)


@pytest.mark.parametrize(
    "value",
    [
        float("nan"), float("inf"), b"x", (1, 2), {1, 2}, object(), Colour.RED, {1: "x"}, {"a": {None: 1}}, [b"x"],
        2**53, -(2**53), 10**400, 1j, {"a": float("-inf")},
    ],
)  # fmt: skip
def test_what_is_not_json_is_refused_by_name(value: object) -> None:
    with pytest.raises(ValueError, match="'flag"):
        check_custom_claims({"flag": value})


def test_half_of_a_pair_is_refused() -> None:
    for claims in ({"note": "\ud800"}, {"no\udc00te": 1}):
        with pytest.raises(ValueError, match=r"no.*te"):
            check_custom_claims(claims)


def test_the_size_is_capped_with_the_names() -> None:
    check_custom_claims({"note": "x" * (2048 - len('{"note": ""}'))})
    with pytest.raises(ValueError, match="note take 2049 bytes; 2048 are allowed"):
        check_custom_claims({"note": "x" * (2049 - len('{"note": ""}'))})
    with pytest.raises(ValueError, match="2048 are allowed"):
        check_custom_claims({"note": "é" * 1024})


def test_nesting_is_capped() -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(ValueError, match="levels"):
        check_custom_claims({"deep": deep})


def test_a_loop_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ValueError, match="levels"):
        check_custom_claims({"loop": loop})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_what_passes_is_read_back_by_the_verifier(claims: dict[str, Any]) -> None:
    try:
        check_custom_claims(claims)
    except ValueError:
        return
    assert strict_json.parse(jwt._json(claims)) == claims
