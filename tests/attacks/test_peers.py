"""Vulnerabilities of our peers, replayed (attacks.md section 1). What other tests replay already stands there:

22 hosts and origins, 50 path from Host, 49 forms of a path, 53 caches: tests/flows/test_origins_and_hosts.py.
40 reset without its link, 41 poisoned links, 61 enumeration: tests/flows/test_mail.py. 46 racing guesses, 47 forged
addresses: tests/flows/test_limits.py. 52 sealed sessions, 55 fixation: tests/flows/test_signing_in.py. 59 sign-in by
GET and cross-site POST: tests/flows/test_csrf.py. 62 broken headers: test_bad_headers.py. All token mutations:
test_tokens_over_http.py. The others concern parts of later releases.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey, JWKRegistry, RSAKey
from joserfc.jws import JWSRegistry

from admit import Admit
from admit.ground.errors import SettingsError
from tests.attacks.conftest import Make
from tests.attacks.mutations import b64, compact, unb64
from tests.flows.stand import Stand, code, login


async def _token(stand: Stand, deliver: str = "tokens") -> str:
    await stand.person("alice", "editor", mail=False)
    caller = await stand.signed_in("alice", deliver)
    return caller.headers["authorization"].removeprefix("Bearer ")


async def _answer(stand: Stand, token: str) -> tuple[int, str]:
    return code(await stand.caller(Authorization=f"Bearer {token}").get("/protected"))


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, body, _ = token.split(".")
    return json.loads(unb64(head)), json.loads(unb64(body))


def _signed(header: Mapping[str, Any], claims: Mapping[str, Any], key: bytes, digest: str = "sha256") -> str:
    text = f"{b64(compact(header))}.{b64(compact(claims))}"
    return f"{text}.{b64(hmac.digest(key, text.encode(), digest))}"


async def _confused(stand: Stand, token: str) -> list[str]:
    """The published key in every spelling as an HMAC secret; what was not refused."""
    header, claims = _parts(token)
    (jwk,) = [
        key
        for key in (await stand.caller().get("/.well-known/jwks.json")).json()["keys"]
        if key["kid"] == header["kid"]
    ]
    native: Any = JWKRegistry.import_key(jwk).public_key
    spellings = {
        "PEM": native.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": native.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "ssh": native.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "JWK": json.dumps(jwk).encode(),
        "compact JWK": compact(jwk),
    }
    if jwk["kty"] == "EC":
        spellings |= {
            "point": native.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint),
            "x": unb64(jwk["x"]), "y": unb64(jwk["y"]), "x as text": jwk["x"].encode(),
        }  # fmt: skip
    else:
        spellings |= {"PKCS1": native.public_bytes(Encoding.PEM, PublicFormat.PKCS1), "n": unb64(jwk["n"])}
    found = []
    for name, key in spellings.items():
        for end in (b"", b"\n"):
            for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512")):
                forged = _signed(header | {"alg": alg}, claims, key.rstrip(b"\n") + end, digest)
                if await _answer(stand, forged) != (401, "token_invalid"):
                    found.append(f"{name} {alg} {end!r}")
    return found


@pytest.mark.proof("RFC8725-3.1", "ASVS-9.1.2")
async def test_attack_01_rsa_key_as_hmac_secret(make: Make) -> None:
    """CVE-2022-29217 (CVE-2017-11424), PyJWT: the public key passed the PEM check and served as an HMAC secret."""
    async with make(tokens={"algorithm": "RS256"}) as stand:
        assert await _confused(stand, await _token(stand)) == []


@pytest.mark.proof("RFC8725-3.1", "ASVS-9.1.2")
async def test_attack_02_ec_key_as_hmac_secret(stand: Stand) -> None:
    """CVE-2024-33663, CVE-2026-85394, python-jose: an OpenSSH or DER key of a curve as an HMAC secret."""
    assert await _confused(stand, await _token(stand)) == []


@pytest.mark.parametrize("kid", ["ours", "none", "theirs"])
async def test_attack_04_the_key_in_the_header(stand: Stand, kid: str) -> None:
    """CVE-2026-27962 (CVE-2018-0114), Authlib: the token brought the key that it was verified with."""
    header, claims = _parts(await _token(stand))
    for alg, key in (("ES256", ECKey.generate_key("P-256")), ("RS256", RSAKey.generate_key(2048))):
        own = dict(key.as_dict(private=False))
        head = {**header, "alg": alg, "jwk": own}
        if kid != "ours":
            head.pop("kid")
        if kid == "theirs":
            head["kid"] = own["kid"] = "theirs"
        text = f"{b64(compact(head))}.{b64(compact(claims))}"
        forged = f"{text}.{b64(JWSRegistry.algorithms[alg].sign(text.encode(), key))}"
        assert await _answer(stand, forged) == (401, "token_invalid")


async def test_attack_05_no_algorithm(stand: Stand) -> None:
    """CVE-2026-28802 (CVE-2015-9235), Authlib: alg none with a blank signature."""
    token = await _token(stand)
    header, claims = _parts(token)
    for alg in ("none", "None", "NONE", "nOnE", "none ", "", None, 0, ["none"]):
        for signature in ("", token.rsplit(".", 1)[1], b64(b"\0")):
            forged = f"{b64(compact(header | {'alg': alg}))}.{b64(compact(claims))}.{signature}"
            assert await _answer(stand, forged) == (401, "token_invalid"), alg


@pytest.mark.proof("ASVS-11.2.3", "ASVS-13.3.1")
async def test_attack_07_the_empty_key(make: Make) -> None:
    """CVE-2026-114616, CVE-2026-45363, Authlib and ruby-jwt: a missing key was "", and HMAC("") verified."""
    secret = "8rT1vJw0qYcXo2Zb5uKd7nLh3mPf6sGa9eRiVyQx4tE"
    for tokens in ({"algorithm": "ES256"}, {"algorithm": "HS256", "hs256_secret": secret}):
        async with make(tokens=tokens) as stand:
            header, claims = _parts(await _token(stand))
            for kid in (header.get("kid"), "", "unknown", None, "../../../dev/null"):
                for key in (b"", b"\0", b"null", b"None"):
                    forged = _signed(header | {"alg": "HS256", "kid": kid}, claims, key)
                    assert await _answer(stand, forged) == (401, "token_invalid"), (kid, key)
    for weak in ("", "short", "your-256-bit-secret", "secret" * 8):
        with pytest.raises(SettingsError):
            Admit(database="sqlite://", tokens={"algorithm": "HS256", "hs256_secret": weak}).rooms  # noqa: B018


async def _resigned(stand: Stand, header: Mapping[str, Any], claims: Mapping[str, Any]) -> tuple[int, str]:
    """The answer to a header and claims of ours under our own key: what is behind the signature is reached."""
    kid = stand.auth.rooms.signing_keys.ring.keys[0].kid
    key = next(one for one in stand.auth.rooms.signing_keys.ring.keys if one.kid == header.get("kid", kid))
    text = f"{b64(compact(header))}.{b64(compact(claims))}"
    return await _answer(stand, f"{text}.{b64(key.sign(text.encode()))}")


@pytest.mark.proof("RFC7515-4.1.11")
async def test_attack_08_critical_headers(stand: Stand) -> None:
    """CVE-2026-32597, CVE-2025-59420, PyJWT and Authlib: an unknown critical header was read over."""
    header, claims = _parts(await _token(stand))
    for extra in (
        {"crit": ["x"]},
        {"crit": []},
        {"crit": ["x"], "x": 1},
        {"crit": "x"},
        {"crit": ["b64"], "b64": False},
    ):
        assert await _resigned(stand, {**header, **extra}, claims) == (401, "token_invalid"), extra


@pytest.mark.proof("RFC8725-3.8", "ASVS-9.2.3", "ASVS-10.3.1")
async def test_attack_10_issuer_and_audience_are_compared_whole(stand: Stand) -> None:
    """CVE-2024-53861, CVE-2026-75509, PyJWT and joserfc: a substring or a list that holds the right one."""
    header, claims = _parts(await _token(stand))
    iss, aud = claims["iss"], claims["aud"] if isinstance(claims["aud"], str) else claims["aud"][0]
    wrong = [iss[:-1], iss + "/", iss + ".evil.example", [iss], {"iss": iss}, 1, None, "", iss.upper(), "http"]
    for value in wrong:
        assert await _resigned(stand, header, {**claims, "iss": value}) == (401, "token_invalid"), value
    for value in (aud[:-1], aud + "/x", [aud, 1], [[aud]], [], 1, None, {"aud": aud}, "http"):
        assert await _resigned(stand, header, {**claims, "aud": value}) == (401, "token_invalid"), value
    for value in ([claims["sub"]], 1, None, "", {"sub": claims["sub"]}):
        assert await _resigned(stand, header, {**claims, "sub": value}) == (401, "token_invalid"), value


async def test_attack_11_two_readings_of_one_text(stand: Stand) -> None:
    """CVE-2022-39227, python-jwt: JSON to the verifier, compact form to the reader."""
    token = await _token(stand)
    head, _, signature = token.split(".")
    forged = b64(compact({**_parts(token)[1], "scope": "admit:admin"}))
    texts = (
        json.dumps(
            {f"{head}.{forged}.": "", "protected": head, "payload": token.split(".")[1], "signature": signature}
        ),
        json.dumps({f"{head}.{forged}.{signature}": 1}),
        f'{{"{head}.{forged}.":"","protected":"{head}","payload":"{forged}","signature":"{signature}"}}',
        f"{head}.{forged}.{signature}.{token}",
    )
    for text in texts:
        assert await _answer(stand, text.replace(" ", "")) == (401, "token_invalid")


@pytest.mark.proof("ASVS-10.4.5")
async def test_attack_26_racing_refreshes(stand: Stand) -> None:
    """CVE-2026-53517, CVE-2026-1035, better-auth and Keycloak: read, check, write let one family become many."""
    await stand.person("alice", mail=False)
    first = (await login(stand.caller(), "alice")).json()["refresh_token"]

    async def refresh(token: str) -> tuple[int, str]:
        answer = await stand.caller().post("/auth/refresh", json={"refresh_token": token})
        return answer.status_code, answer.json().get("refresh_token") or answer.json()["code"]

    answers = await asyncio.gather(*(refresh(first) for _ in range(20)))
    assert {status for status, _ in answers} == {200}
    (second,) = {token for _, token in answers}
    status, third = await refresh(second)
    assert status == 200
    # the successor was used: now the first one is a theft, and nothing of the family lives on
    assert await refresh(first) == (401, "refresh_token_reused")
    assert (await refresh(third))[0] == 401
    assert (await refresh(second))[0] == 401


async def test_attack_37_a_revocation_that_revokes(stand: Stand) -> None:
    """CVE-2018-1000211, doorkeeper, CVE-2020-15223, fosite: 200 without having revoked; an error of the store hidden."""
    await stand.person("alice", mail=False)
    await stand.person("mallory", mail=False)
    body = (await login(stand.caller(), "alice")).json()
    caller = stand.caller(Authorization=f"Bearer {body['access_token']}")
    assert (await caller.get("/protected")).status_code == 200
    # with nobody's credential but the refresh token itself; what is no token revokes nothing and tells nothing
    for text in ("x", body["access_token"], body["refresh_token"][:-1]):
        await stand.caller().post("/auth/logout", json={"refresh_token": text})
        assert (await caller.get("/protected")).status_code == 200
    assert (await stand.caller().post("/auth/logout", json={"refresh_token": body["refresh_token"]})).status_code == 204
    assert code(await caller.get("/protected")) == (401, "token_invalid")
    refused = await stand.caller().post("/auth/refresh", json={"refresh_token": body["refresh_token"]})
    assert refused.status_code == 401


@pytest.mark.proof("ASVS-7.4.2", "ASVS-8.3.2")
async def test_attack_56_disabled_people(stand: Stand) -> None:
    """CVE-2025-65430, CVE-2024-22513, allauth and simplejwt: what a disabled person held went on working."""
    person = await stand.person("alice", "editor", mail=False)
    body = (await login(stand.caller(), "alice")).json()
    bearer = stand.caller(Authorization=f"Bearer {body['access_token']}")
    _, key = await stand.keyed(bearer, "read:posts")
    robot = (await bearer.post("/auth/service-accounts", json={"name": "robot"})).json()["id"]
    _, robot_key = await stand.keyed(bearer, service_account=robot)
    browser = await stand.signed_in("alice", "session")
    callers = (bearer, key, robot_key, browser)
    assert [(await one.get("/protected")).status_code for one in callers] == [200] * 4
    await stand.disable(person)
    assert [(await one.get("/protected")).status_code for one in callers] == [401] * 4
    refused = await stand.caller().post("/auth/refresh", json={"refresh_token": body["refresh_token"]})
    assert code(refused) == (401, "refresh_token_invalid")
    assert code(await login(stand.caller(), "alice")) == (401, "login_failed")


@pytest.mark.proof("ASVS-6.3.8")
async def test_attack_61_who_is_there_is_not_told(stand: Stand) -> None:
    """CVE-2026-23511, ZITADEL, CVE-2024-41952: answers differed with the account. Times: `make timing`."""
    await stand.person("alice")
    asked: dict[str, list[dict[str, str]]] = {
        "/auth/login": [{"identifier": name, "password": "Wrong 1 Horse Battery?"} for name in ("alice", "nobody")],
        "/auth/password/forgot": [{"identifier": name} for name in ("alice@example.test", "nobody@example.test")],
        "/auth/email/resend": [{"email": name} for name in ("alice@example.test", "nobody@example.test")],
        "/auth/register": [
            {"email": name, "password": "Fresh 4 Horses, please!"}
            for name in ("alice@example.test", "new@example.test")
        ],
    }
    for path, bodies in asked.items():
        shown = []
        for body in bodies:
            answer = await stand.caller().post(path, json=body)
            content = {name: value for name, value in answer.json().items() if name != "request_id"}
            headers = {
                name: value for name, value in answer.headers.items() if name not in ("x-request-id", "ratelimit")
            }
            shown.append((answer.status_code, content, headers))
        assert shown[0] == shown[1], path


async def test_attack_57_a_token_that_is_costly_to_refuse(stand: Stand) -> None:
    """CVE-2024-28102, jwcrypto, and CVE-2022-36087 type: key derivation and inflation at the attacker's choice."""
    heads: tuple[dict[str, Any], ...] = (
        {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31 - 1, "p2s": "AAAA"},
        {"alg": "dir", "enc": "A128GCM", "zip": "DEF"},
        {"alg": "RSA1_5", "enc": "A128CBC-HS256"},
        {"alg": "RSA-OAEP", "enc": "A128CBC-HS256"},
        {"alg": "ECDH-ES", "enc": "A256GCM", "epk": {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}},
    )
    filler = base64.urlsafe_b64encode(bytes(90_000)).decode()
    began = time.process_time()
    for head in heads:
        assert await _answer(stand, f"{b64(compact(head))}.AA.AAAA.{filler}.AAAA") == (401, "token_invalid")
    # one derivation with that count would take minutes
    assert time.process_time() - began < 5
