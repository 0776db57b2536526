"""Key sets as an issuer, or somebody in its place, may answer them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import httpx2
import pytest

from admit.crypto.keys import generate_key
from admit.ground.errors import Unavailable
from admit.outbound.http import Guarded, OutboundRefused
from admit.testing.clock import ManualClock
from admit.verifier import Issuer, Jwks

GOOD = generate_key("ES256", 0)
OTHER = generate_key("ES256", 0)
SHORT = {"kty": "RSA", "alg": "RS256", "kid": "short", "e": "AQAB", "n": "y" * 171}
SYMMETRIC = {"kty": "oct", "alg": "HS256", "kid": "oct", "k": "x" * 43}
PRIVATE = GOOD.public_jwk() | {"d": "x" * 43}


class Answers:
    """Stands for the guarded client."""

    def __init__(self, *answers: httpx2.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def request(self, request: httpx2.Request, *, part: str) -> httpx2.Response:
        """As `Guarded`."""
        assert part == "issuer"
        self.asked.append(str(request.url))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def keys(*jwks: dict[str, Any], **headers: str) -> httpx2.Response:
    return httpx2.Response(200, json={"keys": list(jwks)}, headers={n.replace("_", "-"): v for n, v in headers.items()})


def jwks(clock: ManualClock, *answers: httpx2.Response | Exception) -> tuple[Jwks, Answers]:
    client = Answers(*answers)
    issuer = Issuer(cast("Guarded", client), "https://login.example.test", "/auth", None)
    return Jwks(issuer.keys, clock, 3600), client


@pytest.mark.proof("ASVS-9.1.3", "ASVS-16.5.3")
@pytest.mark.parametrize(
    "answer",
    [
        keys(),
        keys(SYMMETRIC),
        keys(PRIVATE),
        keys(SHORT),
        keys(GOOD.public_jwk() | {"use": "enc"}),
        keys(GOOD.public_jwk() | {"alg": "none"}),
        keys(GOOD.public_jwk() | {"kid": 1}),
        keys(GOOD.public_jwk(), OTHER.public_jwk() | {"kid": GOOD.kid}),
        keys(*[GOOD.public_jwk() | {"kid": str(n)} for n in range(101)]),
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, text='{"keys": [], "keys": [{}]}'),
        httpx2.Response(200, json=[]),
        httpx2.Response(200, json={"keys": {}}),
        httpx2.Response(404),
        httpx2.Response(500, json={"keys": [GOOD.public_jwk()]}),
        OutboundRefused("redirect"),
        Unavailable("issuer"),
    ],
)
async def test_a_forged_or_broken_set_gives_no_key(answer: httpx2.Response | Exception) -> None:
    found, client = jwks(ManualClock(), answer)
    with pytest.raises(Unavailable):
        await found.ready()
    assert found.key(GOOD.kid) is None
    # nor is the issuer asked again at once
    with pytest.raises(Unavailable):
        await found.ready()
    assert len(client.asked) == 1


async def test_keys_that_cannot_be_used_are_passed_over() -> None:
    found, client = jwks(ManualClock(), keys(SYMMETRIC, SHORT, {"kty": "new"}, GOOD.public_jwk()))
    await found.ready()
    assert found.key(GOOD.kid) is not None
    assert found.key("oct") is found.key("short") is None
    assert client.asked == ["https://login.example.test/.well-known/jwks.json"]


@pytest.mark.parametrize(("header", "seconds"), [("public, max-age=60", 60), ("max-age=1", 5), ("no-store", 300)])
async def test_keys_are_asked_for_again_after_their_age(header: str, seconds: int) -> None:
    clock = ManualClock()
    found, client = jwks(clock, keys(GOOD.public_jwk(), cache_control=header), keys(OTHER.public_jwk()))
    await found.ready()
    clock.advance(timedelta(seconds=seconds - 0.5))
    await found.ready()
    assert len(client.asked) == 1
    clock.advance(timedelta(seconds=0.5))
    await found.ready()
    await found.again()  # joins the question that `ready` did not wait for
    assert len(client.asked) == 2
    assert found.key(OTHER.kid) is not None
    assert found.key(GOOD.kid) is None


async def test_old_keys_serve_while_nobody_answers_and_not_for_ever() -> None:
    clock = ManualClock()
    down = [Unavailable("issuer") for _ in range(3)]
    found, client = jwks(clock, keys(GOOD.public_jwk()), *down, keys(GOOD.public_jwk()))
    await found.ready()
    clock.advance(timedelta(seconds=300))
    await found.ready()
    with pytest.raises(Unavailable):
        await found.again()
    assert found.key(GOOD.kid) is not None
    clock.advance(timedelta(seconds=3599))
    await found.ready()
    with pytest.raises(Unavailable):
        await found.again()
    clock.advance(timedelta(seconds=1))
    with pytest.raises(Unavailable):
        await found.ready()
    clock.advance(timedelta(seconds=1))
    await found.ready()
    assert len(client.asked) == 5


async def test_unknown_keys_cause_one_question_a_second() -> None:
    clock = ManualClock()
    found, client = jwks(clock, *(keys(GOOD.public_jwk()) for _ in range(3)))
    await found.ready()
    for _ in range(10):
        await found.again()
    assert len(client.asked) == 1
    clock.advance(timedelta(seconds=1))
    for _ in range(10):
        await found.again()
    assert len(client.asked) == 2
    await found.close()
