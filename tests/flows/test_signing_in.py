"""Sign in, refresh and sign out in each way of delivery; every 401 told apart. All in all five mounts."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import httpx2
import jwt as pyjwt
import pytest

from admit.crypto import jwt
from tests.flows.conftest import Open
from tests.flows.stand import OTHER_PASSWORD, PASSWORD, Stand, code, login, set_cookies

COOKIES = {
    "tokens": {"device"},
    "cookie": {"device", "access", "refresh"},
    "session": {"device", "session"},
    "spa": {"device", "refresh"},
}
MEMBERS = {
    "tokens": {"access_token", "refresh_token", "token_type", "expires_in"},
    "cookie": {"csrf_token", "token_type", "expires_in"},
    "session": {"csrf_token", "expires_in"},
    "spa": {"access_token", "csrf_token", "token_type", "expires_in"},
}
DELIVERIES = tuple(COOKIES)
LIVES = {"access": 900, "refresh": 7 * 86_400, "session": 86_400, "device": 180 * 86_400}


@pytest.mark.proof("ASVS-3.3.2", "ASVS-3.3.4", "ASVS-14.2.2", "ASVS-14.3.2", "ASVS-7.2.1")
async def test_each_delivery_signs_in_refreshes_and_signs_out(stand: Stand) -> None:
    await stand.person()
    path = httpx2.URL(stand.base).path.rstrip("/")
    for deliver in DELIVERIES:
        client = stand.caller()
        assert code(await client.get("/protected")) == (401, "not_authenticated")
        answer = await login(client, deliver=deliver)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == MEMBERS[deliver]
        assert answer.headers["cache-control"] == "no-store"
        made = set_cookies(answer)
        assert {name.removeprefix("admit-") for name in made} == COOKIES[deliver]
        for name, cookie in made.items():
            kind = name.removeprefix("admit-")
            assert cookie["max-age"] == str(LIVES[kind])
            assert (cookie["samesite"], "httponly" in cookie) == ("Lax", True)
            assert cookie["path"] == (f"{path}/auth" if kind == "refresh" else "/")
            assert "domain" not in cookie
            assert "secure" not in cookie  # http on loopback, where no browser would send it back
            assert cookie["value"] not in answer.text
        await _use_and_end(stand, client, deliver, answer.json())


async def _use_and_end(stand: Stand, client: httpx2.AsyncClient, deliver: str, body: dict[str, Any]) -> None:
    if deliver in ("tokens", "spa"):
        client.headers["Authorization"] = f"Bearer {body['access_token']}"
    if "csrf_token" in body:
        client.headers["X-CSRF-Token"] = body["csrf_token"]
    kind = "session" if deliver == "session" else "access_token"
    assert (await client.get("/protected")).json()["by"] == kind
    posted = await client.post("/protected")
    assert posted.json()["scopes"] == ["read:posts", "read:profile"]
    if deliver != "session":
        given = {"refresh_token": body["refresh_token"]} if deliver == "tokens" else None
        answer = await client.post("/auth/refresh", json=given)
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == MEMBERS[deliver]
        assert {name.removeprefix("admit-") for name in set_cookies(answer)} == COOKIES[deliver] - {"device"}
        body |= answer.json()
        if "access_token" in body:
            client.headers["Authorization"] = f"Bearer {body['access_token']}"
        assert (await client.get("/protected")).status_code == 200
    copies = dict(client.cookies.items())
    answer = await client.post("/auth/logout")
    assert answer.status_code == 204, answer.text
    assert answer.headers["cache-control"] == "no-store"
    gone = set_cookies(answer)
    assert {name.removeprefix("admit-") for name in gone} == {"session", "access", "refresh"}
    assert all((cookie["value"], cookie["max-age"]) == ("", "0") for cookie in gone.values())
    assert set(dict(client.cookies.items())) <= {"admit-device"}
    await _replay(stand, client, copies, body)


async def _replay(stand: Stand, client: httpx2.AsyncClient, copies: dict[str, str], body: dict[str, Any]) -> None:
    """Copies made before the logout are worth nothing (CVE-2025-46344)."""
    thief = stand.caller()
    thief.headers["X-CSRF-Token"] = client.headers.get("X-CSRF-Token", "")
    for name, value in copies.items():
        answer = await thief.get("/protected", headers={"Cookie": f"{name}={value}"})
        assert answer.status_code == 401
        answer = await thief.post("/auth/refresh", headers={"Cookie": f"{name}={value}"})
        assert code(answer) == (401, "refresh_token_invalid")
    if "access_token" in body:
        answer = await thief.get("/protected", headers={"Authorization": f"Bearer {body['access_token']}"})
        assert code(answer) == (401, "token_invalid")
    if "refresh_token" in body:
        answer = await thief.post("/auth/refresh", json={"refresh_token": body["refresh_token"]})
        assert code(answer) == (401, "refresh_token_invalid")


@pytest.mark.proof("ASVS-3.3.1", "ASVS-3.3.3", "NIST-5.1.1", "ASVS-3.4.1")
async def test_over_https_cookies_are_secure_and_bound_to_the_host(opened: Open) -> None:
    for mount in ("fastapi", "starlette", "asgi"):
        async with opened(mount, issuer="https://auth.example.test") as stand:
            await stand.person()
            names: set[str] = set()
            for deliver in DELIVERIES:
                client = await stand.signed_in(deliver=deliver)
                assert (await client.get("/protected")).status_code == 200
                for name, cookie in set_cookies(await login(stand.caller(), deliver=deliver)).items():
                    names.add(name)
                    assert "secure" in cookie
                    assert len(name) + len(cookie["value"]) < 4096
                    assert "alice" not in cookie["value"]
                if deliver in ("cookie", "spa"):
                    assert (await client.post("/auth/refresh")).status_code == 200
            assert names == {
                "__Host-admit-session", "__Host-admit-access", "__Secure-admit-refresh", "__Secure-admit-device",
            }  # fmt: skip


@pytest.mark.proof("ASVS-9.2.1", "ASVS-9.2.2", "ASVS-7.4.1", "ASVS-7.3.1")
@pytest.mark.rfc("RFC 6750 3")
async def test_every_401_is_told_apart(stand: Stand) -> None:
    await stand.person()
    tokens = (await login(stand.caller())).json()
    access, refresh = tokens["access_token"], tokens["refresh_token"]
    claims = pyjwt.decode(access, options={"verify_signature": False})
    key = stand.auth.rooms.signing_keys.active()
    other_type = jwt.sign(claims, key, "JWT")
    session = await stand.signed_in(deliver="session")
    caller = stand.caller()

    async def asked(token: str) -> httpx2.Response:
        return await caller.get("/protected", headers={"Authorization": f"Bearer {token}"})

    table = [
        (await caller.get("/protected"), "not_authenticated", None),
        (await asked(access[:-4] + "AAAA"), "token_invalid", "invalid_token"),
        (await asked("nonsense"), "token_invalid", "invalid_token"),
        (await asked(refresh), "token_invalid", "invalid_token"),
        (await asked(other_type), "token_type_invalid", "invalid_token"),
        (await caller.get("/protected", headers={"X-API-Key": "admit_plive_x"}), "api_key_invalid", "invalid_token"),
        (await caller.get("/protected", headers={"Cookie": "admit-session=x"}), "not_authenticated", None),
        (await login(caller, password="Wrong Horse 9 Battery!"), "login_failed", None),
        (await caller.post("/auth/refresh", json={"refresh_token": "x"}), "refresh_token_invalid", None),
        (await caller.post("/auth/refresh"), "refresh_token_invalid", None),
    ]
    renewed = (await caller.post("/auth/refresh", json={"refresh_token": refresh})).json()
    successor = await caller.post("/auth/refresh", json={"refresh_token": renewed["refresh_token"]})
    assert successor.status_code == 200
    reused = await caller.post("/auth/refresh", json={"refresh_token": refresh})
    table.append((reused, "refresh_token_reused", None))
    # theft was seen: the whole family is dead
    table.append((await asked(successor.json()["access_token"]), "token_invalid", "invalid_token"))

    old = (await login(stand.caller())).json()
    stand.clock.advance(timedelta(minutes=15, seconds=31))
    expired = await asked(old["access_token"])
    table.append((expired, "token_expired", "invalid_token"))
    stand.clock.advance(timedelta(hours=8))
    table.append((await session.get("/protected"), "session_expired", None))
    stand.clock.advance(timedelta(days=7))
    idle = await caller.post("/auth/refresh", json={"refresh_token": old["refresh_token"]})
    table.append((idle, "refresh_token_expired", None))
    for answer, wanted, error in table:
        assert code(answer) == (401, wanted)
        challenge = answer.headers["www-authenticate"]
        assert challenge.startswith("Bearer realm=")
        assert (f'error="{error}"' in challenge) is (error is not None)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
    # before signature, issuer and audience hold, there is one body
    bodies = [answer.json() | {"request_id": ""} for answer, wanted, _ in table if wanted == "token_invalid"]
    assert all(body == bodies[0] for body in bodies)


async def test_dead_credentials_do_not_stand_in_the_way(stand: Stand) -> None:
    await stand.person()
    spa = await stand.signed_in(deliver="spa")
    session = await stand.signed_in(deliver="session")
    stand.clock.advance(timedelta(hours=9))
    assert code(await spa.get("/protected")) == (401, "token_expired")
    assert code(await spa.get("/maybe")) == (401, "token_expired")  # explicit and wrong: refused
    answer = await spa.post("/auth/refresh")
    assert answer.status_code == 200, answer.text
    assert (await session.get("/maybe")).json() == {"who": None}  # ambient and dead: nobody
    assert (await session.get("/open")).status_code == 200
    again = await login(session, deliver="session")
    assert again.status_code == 200
    assert (await session.get("/protected")).status_code == 200
    # signing out works with an access token that has expired, as long as the refresh token proves whose it is
    stand.clock.advance(timedelta(hours=1))
    copies = dict(spa.cookies.items())
    assert (await spa.post("/auth/logout")).status_code == 204
    thief = stand.caller(**{"X-CSRF-Token": spa.headers["X-CSRF-Token"]})
    answer = await thief.post("/auth/refresh", headers={"Cookie": f"admit-refresh={copies['admit-refresh']}"})
    assert code(answer) == (401, "refresh_token_invalid")


@pytest.mark.proof("ASVS-1.5.3")
async def test_two_explicit_credentials_are_ambiguous(stand: Stand) -> None:
    await stand.person()
    client = await stand.signed_in()
    _, program = await stand.keyed(client)
    bearer, key = client.headers["Authorization"], program.headers["X-API-Key"]
    pairs: list[list[tuple[str, str]]] = [
        [("Authorization", bearer), ("X-API-Key", key)],
        [("Authorization", bearer), ("Authorization", bearer)],
        [("X-API-Key", key), ("X-API-Key", key)],
    ]
    for headers in pairs:
        answer = await stand.caller().get("/protected", headers=headers)
        if stand.over_sockets and headers == pairs[1]:
            assert answer.status_code == 400  # nginx itself refuses that one
        else:
            assert code(answer) == (400, "credentials_ambiguous")
    # a key as a bearer is one credential; another scheme is none of ours
    assert (await stand.caller().get("/protected", headers={"Authorization": f"Bearer {key}"})).status_code == 200
    answer = await stand.caller().get("/protected", headers=[("Authorization", "Basic eDp5"), ("X-API-Key", key)])
    assert answer.status_code == 200


@pytest.mark.proof("ASVS-7.2.4", "ASVS-7.2.2", "NIST-5.1-secret")
async def test_a_new_secret_at_login_and_at_reauthentication(stand: Stand) -> None:
    await stand.person()
    await stand.person("mallory")
    # what an attacker put into the browser before is not what the login gives (CVE-2024-28197)
    mallory = await stand.signed_in("mallory", "session")
    planted = mallory.cookies["admit-session"]
    victim = stand.caller()
    answer = await victim.post(
        "/auth/login", json={"identifier": "alice", "password": PASSWORD, "deliver": "session"},
        headers={"Cookie": f"admit-session={planted}"},
    )  # fmt: skip
    first = set_cookies(answer)["admit-session"]["value"]
    assert first != planted
    assert (await mallory.get("/auth/me")).json()["username"] == "mallory"
    victim.headers["X-CSRF-Token"] = answer.json()["csrf_token"]
    before = (await victim.get("/auth/sessions")).json()["sessions"]
    answer = await victim.post("/auth/reauthenticate", json={"password": PASSWORD})
    assert answer.status_code == 204, answer.text
    second = victim.cookies["admit-session"]
    assert second != first
    old = await stand.caller().get("/protected", headers={"Cookie": f"admit-session={first}"})
    assert old.status_code == 401
    assert (await victim.get("/protected")).status_code == 200
    # the public id of the session does not change, nor does its CSRF token die with the secret
    after = (await victim.get("/auth/sessions")).json()["sessions"]
    assert [row["id"] for row in after] == [row["id"] for row in before]
    assert (await victim.post("/protected")).status_code == 200
    # two values at once, one of them planted from a sibling domain: neither counts
    both = {"Cookie": f"admit-session={second}; admit-session={planted}"}
    assert code(await stand.caller().get("/protected", headers=both)) == (401, "not_authenticated")
    # an API key or an access token in the session cookie is none
    tokens = (await login(stand.caller())).json()
    wrong = {"Cookie": f"admit-session={tokens['access_token']}"}
    assert code(await stand.caller().get("/protected", headers=wrong)) == (401, "not_authenticated")


@pytest.mark.proof("ASVS-7.3.1", "ASVS-7.3.2", "NIST-5.2", "ASVS-7.1.1", "NIST-2.1.3")
async def test_idle_and_absolute_limits(stand: Stand) -> None:
    await stand.person()
    idle, busy = await stand.signed_in(deliver="session"), await stand.signed_in(deliver="session")
    for _ in range(4):
        stand.clock.advance(timedelta(hours=5))
        assert (await busy.get("/protected")).status_code == 200
        await stand.auth.rooms.seen.flush()
    assert code(await idle.get("/protected")) == (401, "session_expired")
    stand.clock.advance(timedelta(hours=4, seconds=1))
    assert code(await busy.get("/protected")) == (401, "session_expired")


@pytest.mark.proof("NIST-2.1.3")
async def test_a_refresh_family_ends_after_thirty_days_whatever_the_activity(stand: Stand) -> None:
    await stand.person()
    tokens = (await login(stand.caller())).json()
    for _ in range(4):
        stand.clock.advance(timedelta(days=6))
        answer = await stand.caller().post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        tokens = answer.json()
    stand.clock.advance(timedelta(days=6))
    answer = await stand.caller().post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert code(answer) == (401, "refresh_token_expired")


@pytest.mark.proof("ASVS-7.5.2", "ASVS-8.2.2", "ASVS-7.4.1")
async def test_sign_ins_are_listed_and_ended(stand: Stand) -> None:
    await stand.person()
    await stand.person("mallory")
    callers = []
    for deliver in ("session", "cookie", "tokens"):
        callers.append(await stand.signed_in(deliver=deliver))
        stand.clock.advance(timedelta(seconds=1))
    mine, cookie, tokens = callers
    listed = (await mine.get("/auth/sessions")).json()["sessions"]
    assert [row["kind"] for row in listed] == ["tokens", "cookie", "session"]
    assert [row["current"] for row in listed] == [False, False, True]
    assert all(row["address"] and row["created_at"] and row["seen_at"] and row["agent"] for row in listed)
    # another person's is not there
    mallory = await stand.signed_in("mallory", "session")
    for identifier in (listed[0]["id"], "ses_nonsense", "usr_x"):
        assert code(await mallory.delete(f"/auth/sessions/{identifier}")) == (404, "not_found")
    assert (await tokens.get("/protected")).status_code == 200
    assert (await mine.delete(f"/auth/sessions/{listed[0]['id']}")).status_code == 204
    assert code(await tokens.get("/protected")) == (401, "token_invalid")
    assert (await cookie.get("/protected")).status_code == 200
    assert (await mine.delete("/auth/sessions")).status_code == 204
    assert (await cookie.get("/protected")).status_code == 401
    assert (await mine.get("/protected")).status_code == 200
    assert (await mallory.get("/protected")).status_code == 200
    # one's own: ended like a logout, cookies and all
    answer = await mine.delete(f"/auth/sessions/{listed[2]['id']}")
    assert answer.status_code == 204
    assert "admit-session" in set_cookies(answer)
    assert (await mine.get("/protected")).status_code == 401


@pytest.mark.proof("ASVS-7.4.2", "ASVS-8.3.2")
async def test_a_disabled_person_is_dead_everywhere_at_once(stand: Stand) -> None:
    alice = await stand.person()
    tokens = (await login(stand.caller())).json()
    callers = [await stand.signed_in(deliver=deliver) for deliver in DELIVERIES]
    _, program = await stand.keyed(callers[0], "read:posts")
    for caller in (*callers, program):
        assert (await caller.get("/protected")).status_code == 200  # also fills the cache
    await stand.disable(alice)
    for caller in (*callers, program):
        assert (await caller.get("/protected")).status_code == 401
    assert code(await program.get("/protected")) == (401, "api_key_disabled")
    answer = await stand.caller().post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert code(answer) == (401, "refresh_token_invalid")
    assert code(await callers[1].post("/auth/refresh")) == (401, "refresh_token_invalid")
    right, wrong = await login(stand.caller()), await login(stand.caller(), password="Wrong Horse 9 Battery!")
    assert code(right) == code(wrong) == (401, "login_failed")


@pytest.mark.proof("ASVS-6.2.2", "ASVS-6.2.3", "ASVS-7.4.3")
async def test_a_changed_password_ends_the_other_sign_ins(stand: Stand) -> None:
    await stand.person()
    mine = await stand.signed_in(deliver="session")
    others = [await stand.signed_in(deliver=deliver) for deliver in DELIVERIES]
    _, program = await stand.keyed(others[0])
    for body in (
        {"new": OTHER_PASSWORD},
        {"current": PASSWORD, "new": OTHER_PASSWORD, "user_id": "x"},
    ):
        assert code(await mine.post("/auth/password/change", json=body)) == (422, "invalid_input")
    wrong = await mine.post("/auth/password/change", json={"current": "x" * 12, "new": OTHER_PASSWORD})
    assert code(wrong) == (401, "login_failed")
    weak = await mine.post("/auth/password/change", json={"current": PASSWORD, "new": "Password1234!"})
    assert code(weak) == (422, "password_too_common")
    assert (await others[0].get("/protected")).status_code == 200
    answer = await mine.post("/auth/password/change", json={"current": PASSWORD, "new": OTHER_PASSWORD})
    assert answer.status_code == 204, answer.text
    for other in others:
        assert (await other.get("/protected")).status_code == 401
    assert (await mine.get("/protected")).status_code == 200
    assert (await program.get("/protected")).status_code == 200  # keys stay unless asked
    assert code(await login(stand.caller())) == (401, "login_failed")
    assert (await login(stand.caller(), password=OTHER_PASSWORD)).status_code == 200
    answer = await mine.post(
        "/auth/password/change", json={"current": OTHER_PASSWORD, "new": PASSWORD, "end_api_keys": True}
    )
    assert answer.status_code == 204
    assert code(await program.get("/protected")) == (401, "api_key_invalid")


@pytest.mark.proof("ASVS-7.5.1", "ASVS-8.3.1")
@pytest.mark.rfc("RFC 9470 3")
async def test_a_fresh_proof_is_asked_for_and_counts(stand: Stand) -> None:
    await stand.person()
    for deliver in ("session", "tokens"):
        client = await stand.signed_in(deliver=deliver)
        assert (await client.get("/sensitive")).status_code == 200
        stand.clock.advance(timedelta(minutes=6))
        stale = await client.get("/sensitive")
        assert code(stale) == (401, "step_up_required")
        assert 'error="insufficient_user_authentication"' in stale.headers["www-authenticate"]
        assert 'max_age="300"' in stale.headers["www-authenticate"]
        wrong = await client.post("/auth/reauthenticate", json={"password": "Wrong Horse 9 Battery!"})
        assert code(wrong) == (401, "login_failed")
        assert code(await client.get("/sensitive")) == (401, "step_up_required")
        assert (await client.post("/auth/reauthenticate", json={"password": PASSWORD})).status_code == 204
        assert (await client.get("/sensitive")).status_code == 200
    # a machine has no presence to prove
    _, program = await stand.keyed(client)
    assert code(await program.get("/sensitive")) == (401, "step_up_required")


async def test_tokens_say_what_they_are(stand: Stand) -> None:
    alice = await stand.person()
    tokens = (await login(stand.caller())).json()
    header = pyjwt.get_unverified_header(tokens["access_token"])
    claims = pyjwt.decode(tokens["access_token"], options={"verify_signature": False})
    assert (header["typ"], header["alg"]) == ("at+jwt", "ES256")
    assert set(claims) == {
        "iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid", "auth_time",
    }  # fmt: skip
    assert (claims["sub"], claims["iss"]) == (alice, stand.base)
    assert claims["exp"] - claims["iat"] == tokens["expires_in"] == 900
    assert re.fullmatch(r"admit_r_[0-9A-Za-z]{80,}", tokens["refresh_token"])
    narrowed = await stand.caller().post(
        "/auth/refresh", json={"refresh_token": tokens["refresh_token"], "scope": "read:posts"}
    )
    claims = pyjwt.decode(narrowed.json()["access_token"], options={"verify_signature": False})
    assert claims["scope"] == "read:posts"
