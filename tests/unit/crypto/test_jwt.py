"""JWTs: the header that is written, and the order in which a token is checked."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admit.crypto import jwt
from admit.crypto.keys import ALGORITHMS, Algorithm, PublicKey, Ring, SigningKey, generate_key
from admit.ground.clock import SECOND
from admit.ground.errors import Refusal

SECONDS = 1_800_000_000
NOW = SECONDS * SECOND
MADE = {alg: generate_key(alg, NOW) for alg in get_args(Algorithm)}
KEY = MADE["ES256"]
RING = Ring(tuple(MADE.values()))
RULES = jwt.Rules(
    lambda kid: RING.claimed(kid, NOW), "https://login.example", frozenset({"https://api.example", "api"})
)
CLAIMS: dict[str, Any] = {
    "iss": "https://login.example",
    "sub": "usr_0000000000000000000001",
    "aud": "https://api.example",
    "exp": SECONDS + 900,
    "iat": SECONDS,
    "jti": "0000000000000000000002",
    "client_id": "cli_0000000000000000000003",
    "scope": "read:posts",
}
TOKEN = jwt.sign(CLAIMS, KEY)


def reason(token: str, rules: jwt.Rules = RULES, now: int = NOW) -> str:
    with pytest.raises(Refusal) as refused:
        jwt.verify(token, rules, now)
    return refused.value.reason


def raw(header: Any, payload: Any, key: SigningKey = KEY) -> str:
    """A right signature over any header and payload."""
    parts = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in (header, payload)]
    signed = ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts)
    return f"{signed}.{base64.urlsafe_b64encode(key.sign(signed.encode())).rstrip(b'=').decode()}"


def changed(**changes: Any) -> str:
    return jwt.sign({k: v for k, v in (CLAIMS | changes).items() if v is not ...}, KEY)


@pytest.mark.parametrize("alg", get_args(Algorithm))
def test_a_token_of_every_algorithm_is_accepted_by_name(alg: Algorithm) -> None:
    token = jwt.sign(CLAIMS, MADE[alg])
    verified = jwt.verify(token, replace(RULES, algorithms=frozenset({alg})), NOW)
    assert verified.claims == CLAIMS
    assert (verified.kid, verified.alg, verified.subject) == (MADE[alg].kid, alg, CLAIMS["sub"])
    assert (verified.expires, verified.issued) == (NOW + 900 * SECOND, NOW)
    assert reason(token, replace(RULES, algorithms=ALGORITHMS - {alg})) == "jwt.algorithm"


@pytest.mark.proof("RFC8725-3.11")
@pytest.mark.rfc("RFC 9068 2.1")
@pytest.mark.parametrize("alg", get_args(Algorithm))
def test_the_header_has_three_members_and_no_more(alg: Algorithm) -> None:
    header = jwt.sign(CLAIMS, MADE[alg]).split(".")[0]
    decoded = json.loads(base64.urlsafe_b64decode(header + "=="))
    assert decoded == {"alg": alg, "typ": "at+jwt", "kid": MADE[alg].kid}


def test_hs256_is_not_in_the_default_list() -> None:
    assert reason(jwt.sign(CLAIMS, MADE["HS256"])) == "jwt.algorithm"


def test_a_service_with_the_published_key_alone_verifies() -> None:
    public = PublicKey.of(KEY.public_jwk())
    rules = replace(RULES, key_for=lambda kid: public if kid == public.kid else None)
    assert jwt.verify(TOKEN, rules, NOW).claims == CLAIMS


def test_a_claim_set_of_letters_of_the_world_survives() -> None:
    claims = CLAIMS | {"name": "Zoë 山田 \U0001f600", "nested": {"list": [1, None, 0.5]}}
    assert jwt.verify(jwt.sign(claims, KEY), RULES, NOW).claims == claims


@pytest.mark.parametrize("claims", [{"x": float("nan")}, {"x": float("inf")}, {"x": b"bytes"}, {"x": object()}])
def test_what_is_not_json_is_not_signed(claims: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        jwt.sign(CLAIMS | claims, KEY)


def test_the_order_of_the_checks_is_the_documented_one() -> None:
    """Each token has the fault named and every later one; the first in the order must be the answer."""
    dead = at_revoked(KEY)
    bad_claims = {"iss": "x", "aud": "x", "exp": 1, "nbf": SECONDS + 99, "iat": SECONDS + 99, "sub": 1}
    header = {"alg": "ES256", "kid": KEY.kid, "typ": "JWT"}
    unsigned = raw(header, bad_claims).rpartition(".")[0] + "." + TOKEN.split(".")[2]
    revoked = replace(RULES, key_for=lambda kid: dead)
    steps: list[tuple[str, str, jwt.Rules]] = [
        ("jwt.too_long", "." * 9000, RULES),
        ("jwt.malformed", "e30.e30", RULES),
        ("jwt.header", raw({"alg": "none", "crit": []}, b"{"), RULES),
        ("jwt.algorithm", raw({"alg": "none"}, b"{"), RULES),
        ("jwt.kid", raw({"alg": "ES256", "kid": "x"}, b"{"), RULES),
        ("jwt.algorithm", raw({"alg": "RS256", "kid": KEY.kid}, b"{"), RULES),
        ("jwt.key_revoked", unsigned, revoked),
        ("jwt.signature", unsigned, RULES),
        ("jwt.claims", raw(header, b"{"), RULES),
        ("jwt.issuer", raw(header, bad_claims), RULES),
        ("jwt.audience", raw(header, bad_claims | {"iss": CLAIMS["iss"]}), RULES),
    ]
    bad_claims |= {"iss": CLAIMS["iss"], "aud": "api"}
    steps.append(("jwt.type", raw(header, bad_claims), RULES))
    header["typ"] = "at+jwt"
    for wanted, mended in (
        ("jwt.expired", {}),
        ("jwt.not_yet", {"exp": SECONDS + 1}),
        ("jwt.issued_ahead", {"nbf": SECONDS}),
        ("jwt.subject", {"iat": SECONDS}),
        ("jwt.claims", {"sub": "x"}),
    ):
        bad_claims |= mended
        steps.append((wanted, raw(header, dict(bad_claims)), RULES))
    assert [reason(token, rules) for _, token, rules in steps] == [wanted for wanted, _, _ in steps]


def at_revoked(key: SigningKey) -> SigningKey:
    return SigningKey(key.kid, key.alg, key.secret, revoked_at=NOW)


@pytest.mark.proof("RFC8725-3.1")
def test_a_key_serves_its_own_algorithm_only() -> None:
    # RSA keys fit both: only the comparison with the key's own algorithm tells them apart
    for key, other in ((MADE["RS256"], "PS256"), (MADE["PS256"], "RS256")):
        assert reason(raw({"alg": other, "kid": key.kid, "typ": "at+jwt"}, CLAIMS, key)) == "jwt.algorithm"


@pytest.mark.rfc("RFC 7519 4.1.4")
@pytest.mark.proof("ASVS-9.2.1")
def test_a_token_ends_on_the_second_of_its_exp() -> None:
    end = (SECONDS + 900) * SECOND
    assert jwt.verify(TOKEN, RULES, end - 1).expires == end
    assert reason(TOKEN, now=end) == "jwt.expired"
    late = replace(RULES, expiry_leeway=timedelta(seconds=30))
    assert jwt.verify(TOKEN, late, end + 30 * SECOND - 1).expires == end
    assert reason(TOKEN, late, end + 30 * SECOND) == "jwt.expired"


@pytest.mark.rfc("RFC 7519 4.1.5")
@pytest.mark.proof("ASVS-9.2.1")
@pytest.mark.parametrize(("claim", "refused"), [("nbf", "jwt.not_yet"), ("iat", "jwt.issued_ahead")])
def test_a_clock_may_be_ahead_by_the_leeway(claim: str, refused: str) -> None:
    assert jwt.verify(changed(**{claim: SECONDS + 30}), RULES, NOW).claims[claim] == SECONDS + 30
    assert reason(changed(**{claim: SECONDS + 31})) == refused
    assert reason(changed(**{claim: SECONDS + 1}), replace(RULES, leeway=timedelta(0))) == refused


@pytest.mark.rfc("RFC 7519 4.1.3")
@pytest.mark.proof("ASVS-9.2.3", "ASVS-9.2.4")
def test_one_of_the_audiences_must_be_named_exactly() -> None:
    for audience in ("api", ["api"], ["other", "https://api.example"]):
        assert jwt.verify(changed(aud=audience), RULES, NOW).claims["aud"] == audience
    for other in (..., None, [], "ap", "api2", "API", ["other"], ["api", None], {"api": 1}, 1):
        assert reason(changed(aud=other)) == "jwt.audience"


@pytest.mark.proof("RFC8725-3.8")
def test_the_issuer_is_equal_to_the_last_character() -> None:
    iss = CLAIMS["iss"]
    for other in (..., None, iss + "/", iss[:-1], iss.upper(), [iss], {"iss": iss}, 1, ""):
        assert reason(changed(iss=other)) == "jwt.issuer"


def test_a_token_without_exp_is_refused_under_its_own_reason() -> None:
    assert reason(changed(exp=...)) == reason(changed(exp=None)) == "jwt.no_expiry"
    assert reason(changed(exp=str(SECONDS + 900))) == "jwt.claims"


def test_required_claims_are_named_by_the_rules() -> None:
    for name in ("iat", "jti", "client_id"):
        assert reason(changed(**{name: ...})) == "jwt.claims"
        loose = replace(RULES, required=())
        assert name not in jwt.verify(changed(**{name: ...}), loose, NOW).claims
    assert jwt.verify(changed(iat=...), replace(RULES, required=()), NOW).issued is None


@pytest.mark.proof("ASVS-4.2.5")
def test_the_length_is_the_first_check() -> None:
    at_limit = replace(RULES, max_length=len(TOKEN))
    assert jwt.verify(TOKEN, at_limit, NOW).kid == KEY.kid
    assert reason(TOKEN, replace(RULES, max_length=len(TOKEN) - 1)) == "jwt.too_long"
    assert reason("x" * 50_000_000) == "jwt.too_long"


@pytest.mark.proof("RFC8725-3.10")
def test_a_kid_is_asked_for_only_when_it_may_be_one() -> None:
    asked: list[str] = []

    def key_for(kid: str) -> None:
        asked.append(kid)

    for kid in ("", "k" * 256, "k" * 255):
        assert reason(raw({"alg": "ES256", "kid": kid}, CLAIMS), replace(RULES, key_for=key_for)) == "jwt.kid"
    assert reason(raw({"alg": "ES256", "kid": ["k"]}, CLAIMS), replace(RULES, key_for=key_for)) == "jwt.header"
    assert asked == ["k" * 255]


def test_claims_cannot_be_changed_after_the_check() -> None:
    with pytest.raises(TypeError):
        jwt.verify(TOKEN, RULES, NOW).claims["sub"] = "x"  # type: ignore[index]


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(RULES, audience=frozenset()),
        lambda: replace(RULES, audience="api"),  # type: ignore[arg-type]
        lambda: replace(RULES, issuer=""),
        lambda: replace(RULES, algorithms=frozenset()),
    ],
)
@pytest.mark.proof("RFC8725-3.2")
def test_rules_that_demand_nothing_are_refused(make: Callable[[], jwt.Rules]) -> None:
    with pytest.raises(ValueError, match="rules name"):
        make()


def test_the_caller_learns_more_only_once_signature_issuer_and_audience_held() -> None:
    """Mission S2: one body before, told apart after."""
    told_apart = {"jwt.expired": "token_expired", "jwt.type": "token_type_invalid"}
    for token in (changed(exp=1), jwt.sign(CLAIMS, KEY, "JWT")):
        with pytest.raises(Refusal) as refused:
            jwt.verify(token, RULES, NOW)
        assert refused.value.code == told_apart[refused.value.reason]
        for spoiled in (token[:-8] + "AAAAAAAA", changed(exp=1, iss="x"), changed(exp=1, aud="x")):
            with pytest.raises(Refusal) as before:
                jwt.verify(spoiled, RULES, NOW)
            assert (before.value.code, before.value.detail) == ("token_invalid", "Invalid token")


PART = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=+/. ", max_size=60)


@given(st.text() | st.builds("{}.{}.{}".format, PART, PART, PART) | st.just(TOKEN).map(str.upper))
def test_no_text_gives_anything_but_a_refusal(token: str) -> None:
    assert reason(token).startswith("jwt.")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(CLAIMS)), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "cnf", "sid"]), JSON, max_size=5))
def test_no_signed_claims_give_anything_but_a_refusal_or_themselves(changes: dict[str, Any]) -> None:
    token = raw({"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"}, CLAIMS | changes)
    try:
        found = dict(jwt.verify(token, RULES, NOW).claims)
    except Refusal:
        found = {}
    # refused, never read as something else
    assert found in ({}, CLAIMS | changes)
    assert found or changes


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "x"]), JSON, min_size=1))
def test_no_signed_header_gives_anything_but_a_refusal(changes: dict[str, Any]) -> None:
    assert reason(raw({"alg": "ES256", "kid": KEY.kid, "typ": "at+jwt"} | changes, CLAIMS)).startswith("jwt.")


@given(st.integers(0, len(TOKEN) - 1), st.characters())
def test_no_other_letter_anywhere_is_accepted(position: int, letter: str) -> None:
    other = TOKEN[:position] + letter + TOKEN[position + 1 :]
    if other != TOKEN:
        assert reason(other).startswith("jwt.")
