"""What scanners make of a token (M01 to M60), through a real protected route, in the header and in the cookie."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from admit import Admit
from admit.crypto.keys import SigningKey
from admit.flows.password import RESET
from admit.ground.events import Via
from admit.people.account import Account
from tests.attacks.conftest import Make
from tests.attacks.mutations import b64, mutations, public_code
from tests.attacks.wire import Header, Reply, Wire
from tests.flows.stand import OTHER_PASSWORD, Stand

ALGORITHMS = ("ES256", "RS256", "HS256")


@pytest.fixture(params=ALGORITHMS)
async def signed(request: pytest.FixtureRequest, make: Make) -> AsyncIterator[Wire]:
    """The application with each kind of signing key."""
    tokens: dict[str, Any] = {"algorithm": request.param}
    if request.param == "HS256":
        tokens["hs256_secret"] = "8rT1vJw0qYcXo2Zb5uKd7nLh3mPf6sGa9eRiVyQx4tE"
    async with make(tokens=tokens) as stand:
        await stand.person("alice", mail=False)
        yield Wire(stand)


def _signer(auth: Admit, kid: str) -> SigningKey:
    return next(key for key in auth.rooms.signing_keys.ring.keys if key.kid == kid)


async def _bearer(wire: Wire, token: str) -> Reply:
    return await wire.send("GET", "/protected", [(b"authorization", b"Bearer " + token.encode("utf-8", "replace"))])


def _stripped(reply: Reply) -> dict[str, Any]:
    return {name: value for name, value in json.loads(reply.content).items() if name != "request_id"}


@pytest.mark.proof("RFC8725-3.1", "RFC8725-3.6", "RFC8725bis-3.13", "RFC8725bis-3.14", "RFC8725bis-3.15", "ASVS-9.1.1")
async def test_every_mutation_gets_the_answer_of_a_random_token(signed: Wire) -> None:
    caller = await signed.stand.signed_in("alice")
    token = caller.headers["authorization"].removeprefix("Bearer ")
    kid = json.loads(_decode(token.split(".")[0]))["kid"]
    key = _signer(signed.stand.auth, kid)

    def sign(header: bytes, payload: bytes) -> str:
        text = f"{b64(header)}.{b64(payload)}"
        return f"{text}.{b64(key.sign(text.encode()))}"

    random = await _bearer(signed, "x.y.z")
    assert random.status == 401
    found = []
    public = None if key.alg == "HS256" else key.public_jwk()
    for name, text in mutations(token, public, sign):
        reply = await _bearer(signed, text)
        wanted = public_code(name)
        if reply.status != 401 or reply.code != wanted:
            found.append(f"{name}: {reply.status} {reply.content[:100]!r}, wanted {wanted}")
        elif wanted == "token_invalid" and (_stripped(reply) != _stripped(random) or b"m4rk3r" in reply.content):
            found.append(f"{name}: another body {reply.content[:200]!r}")
    assert found == []
    # jwt_tool's persistence check
    assert (await _bearer(signed, token)).status == 200


def _decode(part: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


async def test_a_cookie_opens_for_none_of_them_either(signed: Wire) -> None:
    caller = await signed.stand.signed_in("alice", "cookie")
    token = next(cookie.value for cookie in caller.cookies.jar if cookie.name == "admit-access")
    assert token is not None
    kid = json.loads(_decode(token.split(".")[0]))["kid"]
    key = _signer(signed.stand.auth, kid)
    found = []
    for name, text in mutations(token, None if key.alg == "HS256" else key.public_jwk()):
        cookie = text.encode("utf-8", "replace")
        for unstored in (b";", b'"', b",", b" ", b"\n"):
            cookie = cookie.replace(unstored, b"")
        if cookie == token.encode():
            continue  # a blank around it is not part of a cookie's value (RFC 6265 section 5.2)
        reply = await signed.send("GET", "/protected", [(b"cookie", b"admit-access=" + cookie)])
        if reply.status != 401 or reply.code not in ("not_authenticated", "token_invalid", "token_expired"):
            found.append(f"{name}: {reply.status} {reply.content[:100]!r}")
    assert found == []
    assert (await signed.send("GET", "/protected", [(b"cookie", b"admit-access=" + token.encode())])).status == 200


@pytest.mark.proof("ASVS-9.2.2", "RFC8725-3.12", "ASVS-10.3.1")
async def test_m49_other_secrets_are_no_bearer_tokens(stand: Stand) -> None:
    """A refresh token, a session's secret, a CSRF token and the ticket of a mailed link open nothing as a bearer."""
    wire = Wire(stand)
    await stand.person("alice", "editor")
    login = await stand.caller().post(
        "/auth/login", json={"identifier": "alice", "password": "Correct Horse 1 Battery!"}
    )
    browser = await stand.signed_in("alice", "session")
    ticket = await _ticket(stand)
    session = next(cookie.value for cookie in browser.cookies.jar if cookie.name == "admit-session")
    others = [login.json()["refresh_token"], session, browser.headers["x-csrf-token"], ticket]
    for secret in others:
        assert secret
        for header in ((b"authorization", b"Bearer " + secret.encode()), (b"x-api-key", secret.encode())):
            reply = await wire.send("GET", "/protected", [header])
            assert (reply.status, reply.code) in ((401, "token_invalid"), (401, "api_key_invalid"))
    # and the other way round: an access token renews nothing and sets no password
    access = login.json()["access_token"]
    refused = await stand.caller().post("/auth/refresh", json={"refresh_token": access})
    assert (refused.status_code, refused.json()["code"]) == (401, "refresh_token_invalid")
    reset = await stand.caller().post("/auth/password/reset", json={"ticket": access, "new": OTHER_PASSWORD})
    assert (reset.status_code, reset.json()["code"]) == (400, "ticket_invalid")
    cookie = [(b"cookie", b"admit-session=" + access.encode())]
    assert (await wire.send("GET", "/protected", cookie)).status == 401


async def _ticket(stand: Stand) -> str:
    account: Account = await stand.account("alice")
    tickets = stand.auth.rooms.passwords.tickets
    return str(await stand.write(lambda tx: tickets.issue(tx, RESET, account.id, {}, timedelta(minutes=5))))


@pytest.mark.proof("ASVS-13.3.4")
async def test_m50_a_revoked_key_and_another_houses_key_sign_nothing(stand: Stand, make: Make) -> None:
    wire = Wire(stand)
    await stand.person("alice", mail=False)
    caller = await stand.signed_in("alice")
    token = caller.headers["authorization"].removeprefix("Bearer ")
    async with make() as elsewhere:
        await elsewhere.person("alice", mail=False)
        other = await elsewhere.signed_in("alice")
        foreign = other.headers["authorization"].removeprefix("Bearer ")
        assert (await _bearer(Wire(elsewhere), foreign)).status == 200
    assert (await _bearer(wire, foreign)).code == "token_invalid"
    keys = stand.auth.rooms.signing_keys
    old = json.loads(_decode(token.split(".")[0]))["kid"]
    await keys.rotate(Via(), at_once=True)
    assert (await _bearer(wire, token)).status == 200
    assert await keys.revoke(old, Via())
    assert (await _bearer(wire, token)).code == "token_invalid"


@pytest.mark.proof("RFC9700-4.3.2", "ASVS-14.2.1")
@pytest.mark.rfc("RFC 6750 2")
async def test_m60_a_token_counts_in_its_own_place_only(stand: Stand) -> None:
    wire = Wire(stand)
    await stand.person("alice", mail=False)
    caller = await stand.signed_in("alice")
    token = caller.headers["authorization"].removeprefix("Bearer ").encode()
    form = (b"content-type", b"application/x-www-form-urlencoded")
    for name in (b"access_token", b"token", b"api_key", b"session", b"authorization", b"admit-access"):
        reply = await wire.send("GET", "/protected", query=name + b"=" + token)
        assert (reply.status, reply.code) == (401, "not_authenticated"), name
        body = name + b"=" + token
        posted = await wire.send("POST", "/protected", [form], body=body)
        assert (posted.status, posted.code) == (401, "not_authenticated"), name
    right = (b"authorization", b"Bearer " + token)
    places: dict[str, Header] = {
        "header": right, "lower case": (b"authorization", b"bearer " + token), "key": (b"x-api-key", token),
        "wrong": (b"authorization", b"Bearer x.y.z"),
    }  # fmt: skip
    for one, two in itertools.product(places, repeat=2):
        reply = await wire.send("GET", "/protected", [places[one], places[two]])
        assert (reply.status, reply.code) == (400, "credentials_ambiguous"), (one, two)
    # RFC 9110 section 11.1: the scheme's case does not matter; what follows it does
    assert (await wire.send("GET", "/protected", [places["lower case"]])).status == 200
    for text in (
        b"Bearer\t" + token,
        b"Bearer," + token,
        b"Bearer  " + token,
        b"Bearer" + token,
        b"Bearer " + token + b",x",
    ):
        reply = await wire.send("GET", "/protected", [(b"authorization", text)])
        assert (reply.status, reply.code) == (401, "token_invalid"), text[:12]
    # a cookie beside a bearer: the explicit one alone counts, right or wrong
    cookie = (b"cookie", b"admit-access=" + token)
    assert (await wire.send("GET", "/protected", [right, cookie])).status == 200
    assert (await wire.send("GET", "/protected", [places["wrong"], cookie])).code == "token_invalid"


async def test_m59_a_long_token_costs_no_more_than_its_length(stand: Stand) -> None:
    wire = Wire(stand)
    for size in (8_192, 100_000, 1_000_000, 20_000_000):
        reply = await _bearer(wire, "A" * size)
        assert (reply.status, reply.code) == (401, "token_invalid")
        reply = await _bearer(wire, ("e30." * (size // 4))[:size])
        assert (reply.status, reply.code) == (401, "token_invalid")
