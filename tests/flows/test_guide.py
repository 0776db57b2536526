"""The guide's samples, rebuilt on Admit, over HTTP: its routes, its words, its numbers, its texts."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI

from admit.testing.clock import ManualClock
from examples.guide import api_keys, csrf, jwt_login, passwords, rate_limits, scopes, sessions

PASSWORD = "Correct Horse 1 Battery!"
ORIGIN = "http://127.0.0.1:8000"
CHEAP = {"database": "sqlite://", "passwords": {"hash": "cheap"}}
ALICE = {"username": "alice", "password": PASSWORD}
Call = Callable[..., httpx2.AsyncClient]


@contextlib.asynccontextmanager
async def running(app: FastAPI) -> AsyncIterator[Call]:
    """The application, and a maker of clients with cookie jars of their own."""
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(LifespanManager(cast("Any", app)))

        def caller(address: str = "203.0.113.7", **headers: str) -> httpx2.AsyncClient:
            transport = httpx2.ASGITransport(cast("Any", app), client=(address, 4711))
            client = httpx2.AsyncClient(transport=transport, base_url=ORIGIN, headers=headers)
            stack.push_async_callback(client.aclose)
            return client

        yield caller


async def registered(client: httpx2.AsyncClient, name: str = "alice") -> None:
    answer = await client.post("/auth/register", json={"username": name, "password": PASSWORD})
    assert answer.status_code == 202, answer.text


async def bearer(client: httpx2.AsyncClient, name: str = "alice") -> httpx2.AsyncClient:
    """A person with tokens, whatever the sample's own way to sign in."""
    await registered(client, name)
    answer = await client.post("/auth/login", json={"identifier": name, "password": PASSWORD})
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


def problem(answer: httpx2.Response) -> tuple[int, str, str]:
    """Status, code and the text that the guide would have shown."""
    body = answer.json()
    return answer.status_code, body["code"], body["detail"]


# -- JWT ---------------------------------------------------------------------------------------------------------------


async def test_jwt_register_login_and_a_protected_route() -> None:
    async with running(jwt_login.application(clock=ManualClock(), **CHEAP)) as caller:
        client = caller()
        assert (await client.post("/register", json=ALICE)).status_code == 202
        answer = await client.post("/login", json=ALICE)
        body = answer.json()
        assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", 900)
        assert answer.headers["cache-control"] == "no-store"
        seen = await client.get("/protected", headers={"Authorization": f"Bearer {body['access_token']}"})
        assert seen.status_code == 200
        assert (seen.json()["message"], seen.json()["plan"]) == ("Hello alice", "free")
        assert seen.json()["user_id"].startswith("usr_")


async def test_jwt_refusals_are_told_apart() -> None:
    clock = ManualClock()
    async with running(jwt_login.application(clock=clock, **CHEAP)) as caller:
        client = caller()
        await client.post("/register", json=ALICE)
        wrong = await client.post("/login", json={**ALICE, "password": "wrong"})
        assert problem(wrong) == (401, "login_failed", "Invalid credentials")
        tokens = (await client.post("/login", json=ALICE)).json()

        async def at(token: str) -> tuple[int, str, str]:
            return problem(await client.get("/protected", headers={"Authorization": f"Bearer {token}"}))

        assert problem(await client.get("/protected")) == (401, "not_authenticated", "Not authenticated")
        assert await at("abc.def.ghi") == (401, "token_invalid", "Invalid token")
        assert await at(tokens["refresh_token"]) == (401, "token_invalid", "Invalid token")
        clock.advance(timedelta(minutes=16))
        assert await at(tokens["access_token"]) == (401, "token_expired", "Token has expired")


async def test_jwt_a_refresh_token_works_once_and_for_seven_days() -> None:
    clock = ManualClock()
    async with running(jwt_login.application(clock=clock, **CHEAP)) as caller:
        client = caller()
        await client.post("/register", json=ALICE)
        first = (await client.post("/login", json=ALICE)).json()["refresh_token"]

        async def exchange(token: str) -> httpx2.Response:
            return await client.post("/refresh", json={"refresh_token": token})

        second = (await exchange(first)).json()["refresh_token"]
        clock.advance(timedelta(seconds=11))
        assert problem(await exchange(first))[:2] == (401, "refresh_token_reused")
        # the thief and the owner are both out
        assert problem(await exchange(second))[:2] == (401, "refresh_token_invalid")
        assert problem(await exchange("junk"))[:2] == (401, "refresh_token_invalid")

        third = (await client.post("/login", json=ALICE)).json()["refresh_token"]
        clock.advance(timedelta(days=7, seconds=1))
        assert problem(await exchange(third))[:2] == (401, "refresh_token_expired")


async def test_jwt_logout_ends_the_access_token_as_well() -> None:
    async with running(jwt_login.application(clock=ManualClock(), **CHEAP)) as caller:
        client = caller()
        await client.post("/register", json=ALICE)
        tokens = (await client.post("/login", json=ALICE)).json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        assert (await client.get("/protected")).status_code == 200
        assert (await client.post("/logout", json={"refresh_token": tokens["refresh_token"]})).status_code == 204
        assert problem(await client.get("/protected"))[:2] == (401, "token_invalid")


# -- API keys ----------------------------------------------------------------------------------------------------------


async def test_an_api_key_is_shown_once_and_gives_its_owner_and_name() -> None:
    async with running(api_keys.application(clock=ManualClock(), **CHEAP)) as caller:
        owner = await bearer(caller())
        made = await owner.post("/api-keys", json={"name": "Production Server", "scopes": ["read:data"]})
        assert made.status_code == 201
        program = caller(**{"X-API-Key": made.json()["key"]})
        seen = await program.get("/api/data")
        me = (await owner.get("/auth/me")).json()["id"]
        assert (seen.status_code, seen.json()) == (200, {"owner": me, "key": "Production Server"})
        listed = await owner.get("/auth/api-keys")
        assert made.json()["key"] not in listed.text


async def test_an_api_key_is_revoked_by_its_owner_only() -> None:
    async with running(api_keys.application(clock=ManualClock(), **CHEAP)) as caller:
        owner, other = await bearer(caller()), await bearer(caller(), "mallory")
        made = (await owner.post("/api-keys", json={"name": "CI/CD", "scopes": ["read:data"]})).json()
        program = caller(**{"X-API-Key": made["key"]})
        assert problem(await other.delete(f"/api-keys/{made['id']}"))[:2] == (404, "not_found")
        assert (await program.get("/api/data")).status_code == 200
        assert (await owner.delete(f"/api-keys/{made['id']}")).status_code == 204
        assert problem(await program.get("/api/data")) == (401, "api_key_invalid", "Invalid API key")


async def test_the_key_routes_need_a_caller_and_the_data_route_a_key() -> None:
    async with running(api_keys.application(clock=ManualClock(), **CHEAP)) as caller:
        nobody, person = caller(), await bearer(caller())
        assert problem(await nobody.post("/api-keys", json={"name": "x"}))[:2] == (401, "not_authenticated")
        assert problem(await nobody.delete("/api-keys/key_0"))[:2] == (401, "not_authenticated")
        assert problem(await nobody.get("/api/data"))[:2] == (401, "not_authenticated")
        assert problem(await person.get("/api/data"))[:2] == (403, "insufficient_scope")
        made = (await person.post("/api-keys", json={"name": "CI/CD", "scopes": ["read:data"]})).json()
        program = caller(**{"X-API-Key": made["key"]})
        assert problem(await program.post("/api-keys", json={"name": "more"}))[:2] == (403, "insufficient_scope")
        assert problem(await program.delete(f"/api-keys/{made['id']}"))[:2] == (403, "insufficient_scope")
        unnamed = await person.post("/api-keys", json={"name": ""})
        assert (unnamed.status_code, unnamed.json()["errors"][0]["field"]) == (422, "name")


# -- sessions ----------------------------------------------------------------------------------------------------------


async def signed_in(client: httpx2.AsyncClient) -> str:
    """A session in the client's cookie jar, by the sample's own `/login`; the CSRF token."""
    await registered(client)
    answer = await client.post("/login", json=ALICE)
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["csrf_token"]
    return token


async def test_a_session_lives_in_a_cookie_that_scripts_cannot_read() -> None:
    app = sessions.application(clock=ManualClock(), issuer="https://localhost", **CHEAP)
    async with running(app) as caller:
        client = caller()
        client.base_url = "https://localhost"
        await registered(client)
        answer = await client.post("/login", json=ALICE)
        cookie = next(text for text in answer.headers.get_list("set-cookie") if "admit-session" in text)
        assert "access_token" not in answer.text
        assert set(cookie.split("; ")[1:]) == {"Path=/", "Max-Age=86400", "HttpOnly", "Secure", "SameSite=Lax"}
        assert (await client.get("/protected")).json()["session"].startswith("ses_")


async def test_no_session_and_an_expired_one_are_told_apart() -> None:
    clock = ManualClock()
    async with running(sessions.application(clock=clock, **CHEAP)) as caller:
        client = caller()
        assert problem(await client.get("/protected")) == (401, "not_authenticated", "Not authenticated")
        await signed_in(client)
        assert (await client.get("/protected")).status_code == 200
        kept = next(cookie.value for cookie in client.cookies.jar if cookie.name == "admit-session")
        clock.advance(timedelta(hours=24, seconds=1))
        late = caller(Cookie=f"admit-session={kept}")
        assert problem(await late.get("/protected")) == (401, "session_expired", "Session expired")


async def test_logout_ends_the_session_and_clears_the_cookie() -> None:
    async with running(sessions.application(clock=ManualClock(), **CHEAP)) as caller:
        client = caller()
        token = await signed_in(client)
        kept = next(cookie.value for cookie in client.cookies.jar if cookie.name == "admit-session")
        answer = await client.post("/logout", headers={"X-CSRF-Token": token})
        assert answer.status_code == 204
        assert any(
            text.startswith("admit-session=;") and "Max-Age=0" in text for text in answer.headers.get_list("set-cookie")
        )
        thief = caller(Cookie=f"admit-session={kept}")
        assert problem(await thief.get("/protected")) == (401, "session_expired", "Session expired")


async def test_verify_session_takes_no_other_credential() -> None:
    async with running(sessions.application(clock=ManualClock(), **CHEAP)) as caller:
        assert problem(await (await bearer(caller())).get("/protected"))[:2] == (403, "insufficient_scope")


# -- scopes ------------------------------------------------------------------------------------------------------------


async def test_a_route_asks_for_scopes() -> None:
    async with running(scopes.application(clock=ManualClock(), **CHEAP)) as caller:
        member = await bearer(caller())
        assert (await member.get("/posts")).status_code == 200
        refused = await member.delete("/posts/7")
        assert problem(refused) == (403, "insufficient_scope", "Insufficient permissions")
        assert refused.json()["scopes"] == ["delete:posts"]
        assert 'scope="delete:posts"' in refused.headers["www-authenticate"]
        assert problem(await member.post("/posts"))[:2] == (403, "insufficient_scope")


async def test_who_holds_the_scope_may() -> None:
    app = scopes.application(clock=ManualClock(), **CHEAP)
    async with running(app) as caller:
        client = await bearer(caller())
        schema = app.openapi()["paths"]["/posts/{post_id}"]["delete"]["security"]
        assert {"bearer": ["delete:posts"]} in schema
        key = {"name": "too much", "scopes": ["delete:posts"]}
        assert problem(await client.post("/auth/api-keys", json=key))[:2] == (403, "insufficient_scope")


# -- CSRF --------------------------------------------------------------------------------------------------------------


async def test_csrf_missing_invalid_and_right_are_told_apart() -> None:
    async with running(csrf.application(clock=ManualClock(), **CHEAP)) as caller:
        client = caller()
        await signed_in(client)

        async def act(**headers: str) -> httpx2.Response:
            return await client.post("/sensitive-action", headers=headers)

        token = (await client.get("/csrf-token")).json()["csrf_token"]
        assert problem(await act()) == (403, "csrf_missing", "CSRF token missing")
        assert problem(await act(**{"X-CSRF-Token": "x" * 64})) == (403, "csrf_invalid", "CSRF token invalid")
        crossed = await act(**{"X-CSRF-Token": token, "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
        assert problem(crossed)[:2] == (403, "csrf_cross_site")
        assert (await act(**{"X-CSRF-Token": token})).status_code == 200


async def test_csrf_a_token_of_another_session_is_refused() -> None:
    async with running(csrf.application(clock=ManualClock(), **CHEAP)) as caller:
        alice, mallory = caller(), caller()
        await signed_in(alice)
        await registered(mallory, "mallory")
        foreign = (await mallory.post("/login", json={**ALICE, "username": "mallory"})).json()["csrf_token"]
        answer = await alice.post("/sensitive-action", headers={"X-CSRF-Token": foreign})
        assert problem(answer)[:2] == (403, "csrf_invalid")


async def test_csrf_is_not_asked_of_what_no_browser_sends_unasked() -> None:
    async with running(csrf.application(clock=ManualClock(), **CHEAP)) as caller:
        assert (await (await bearer(caller())).post("/sensitive-action")).status_code == 200


async def test_another_site_cannot_sign_a_browser_in() -> None:
    async with running(csrf.application(clock=ManualClock(), **CHEAP)) as caller:
        client = caller(Origin="https://evil.example")
        await registered(caller())
        answer = await client.post("/login", json=ALICE)
        assert problem(answer)[:2] == (403, "csrf_cross_site")
        assert "set-cookie" not in answer.headers


# -- limits ------------------------------------------------------------------------------------------------------------


async def test_the_sixth_login_within_a_minute_waits() -> None:
    clock = ManualClock()
    async with running(rate_limits.application(clock=clock, **CHEAP)) as caller:
        client = caller()
        await registered(client)
        assert [(await client.post("/login", json=ALICE)).status_code for _ in range(6)] == [200] * 5 + [429]
        refused = await client.post("/login", json=ALICE)
        assert problem(refused) == (429, "rate_limited", "Too many requests. Try again in 12 seconds")
        assert refused.headers["retry-after"] == "12"
        assert (await caller("198.51.100.9").post("/login", json=ALICE)).status_code == 200
        clock.advance(timedelta(seconds=12))
        assert (await client.post("/login", json=ALICE)).status_code == 200


async def test_each_route_counts_for_itself() -> None:
    async with running(rate_limits.application(clock=ManualClock(), **CHEAP)) as caller:
        client = caller()
        for _ in range(6):
            await client.post("/login", json=ALICE)
        answer = await client.get("/api/data")
        assert (answer.status_code, answer.headers["ratelimit"]) == (200, '"route";r=99;t=1')


# -- passwords ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("Sh0rt!", "password_too_short"),
        ("correct horse 1 battery!", "password_no_upper"),
        ("CORRECT HORSE 1 BATTERY!", "password_no_lower"),
        ("Correct Horse One Battery!", "password_no_digit"),
        ("CorrectHorse1Battery", "password_no_symbol"),
        ("P@ssw0rd!2024", "password_too_common"),
        ("Password1234!", "password_too_common"),
        ("Alice-Wonder-1865!", "password_like_username"),
    ],
)
async def test_each_rule_of_the_guide_has_its_own_refusal(password: str, code: str) -> None:
    async with running(passwords.application(hash="cheap", database="sqlite://", clock=ManualClock())) as caller:
        answer = await caller().post("/register", json={"username": "alice", "password": password})
        assert answer.status_code == 422
        assert answer.json()["code"] == code


async def test_bcrypt_by_name_keeps_what_the_guide_wants_kept() -> None:
    async with running(passwords.application(hash="cheap-bcrypt", database="sqlite://", clock=ManualClock())) as caller:
        client = caller()
        assert (await client.post("/register", json=ALICE)).status_code == 202
        assert (await client.post("/login", json=ALICE)).status_code == 200
        again = await client.post("/register", json=ALICE)
        assert problem(again)[:2] == (409, "username_taken")


# -- the guide's names -------------------------------------------------------------------------------------------------

ROOT = Path(__file__).resolve().parents[2]
ROUTES = (
    "/register", "/login", "/refresh", "/logout", "/protected", "/api/data", "/api-keys/{key_id}", "/posts/{post_id}",
    "/sensitive-action",
)  # fmt: skip
WORDS = (
    "verify_token", "verify_api_key", "verify_session", "verify_csrf", "get_current_user", "require_scopes",
    "rate_limit",
)  # fmt: skip


def test_the_guides_routes_and_words_are_found_again() -> None:
    samples = "".join(path.read_text("utf-8") for path in (ROOT / "examples" / "guide").glob("*.py"))
    assert not [route for route in ROUTES if f'("{route}"' not in samples]
    assert not [word for word in WORDS if f"{word} = " not in samples and f"def {word}(" not in samples]


def test_the_table_says_what_became_of_each() -> None:
    page = (ROOT / "docs" / "guide.md").read_text("utf-8")
    table = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    # signing in with another provider comes later, and the table says so
    later = ("/login/google", "/auth/google")
    named = [*(route for route in ROUTES if route != "/posts/{post_id}"), *WORDS, *later]
    assert not [name for name in named if name not in table]
    assert next(line for line in table.splitlines() if "/auth/google" in line).count("not in this release") == 1
