"""CORS from one exact list, https outside loopback, Host headers, and the many ways to write a path."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import httpx2
import pytest

from admit import Admit
from admit.testing.clock import ManualClock
from tests.flows.conftest import Open
from tests.flows.stand import ADDRESS, PASSWORD, Stand, behind_proxy, code, login, set_cookies
from tests.parts.certificates import Authority
from tests.parts.nginx import Nginx, tls
from tests.parts.ports import free_port

TRUSTED = "https://app.example.test"
#: what a careless comparison lets through (CVE-2024-52289: the dot as a pattern)
UNLISTED = (
    "https://appXexample.test", "https://app.example.test.evil.example", "https://evil-app.example.test",
    "http://app.example.test", "https://app.example.test:444", "https://app.example.test/", "https://example.test",
    "https://APP.example.test", "null", "*", "https://evil.example, https://app.example.test",
)  # fmt: skip
PREFLIGHT = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}


def allows(answer: httpx2.Response) -> str | None:
    """The origin that may read this answer."""
    return answer.headers.get("access-control-allow-origin")


@pytest.mark.proof("ASVS-3.4.2")
async def test_cors_from_one_exact_list(mount: str, opened: Open) -> None:
    async with opened(mount, cors={"origins": (TRUSTED,)}) as stand:
        await stand.person()
        caller = stand.caller()
        # permission is asked for without a credential
        answer = await caller.options("/auth/me", headers={"Origin": TRUSTED, **PREFLIGHT})
        assert (answer.status_code, allows(answer)) == (204, TRUSTED)
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert "DELETE" in answer.headers["access-control-allow-methods"]
        assert {"authorization", "x-api-key", "x-csrf-token", "content-type"} <= {
            name.strip().lower() for name in answer.headers["access-control-allow-headers"].split(",")
        }
        assert answer.headers["access-control-max-age"] == "600"
        # a refusal can be read, or a page could not tell "sign in again" from "no network"
        for refused in (
            await caller.get("/auth/me", headers={"Origin": TRUSTED}),
            await caller.post("/auth/login", headers={"Origin": TRUSTED}, content=b"{"),
            await caller.get("/auth/nowhere", headers={"Origin": TRUSTED}),
        ):
            assert refused.status_code in (401, 404, 415)
            assert allows(refused) == TRUSTED
            assert "WWW-Authenticate" in refused.headers["access-control-expose-headers"]
            assert "Origin" in refused.headers["vary"]
        for origin in UNLISTED:
            for answer in (
                await caller.options("/auth/me", headers={"Origin": origin, **PREFLIGHT}),
                await caller.get("/auth/me", headers={"Origin": origin}),
            ):
                assert not [name for name in answer.headers if name.startswith("access-control-")], origin
                assert "Origin" in answer.headers["vary"]
        # the application's own routes are its own business
        answer = await caller.get("/open", headers={"Origin": TRUSTED})
        assert (answer.status_code, allows(answer)) == (200, None)


async def test_cors_for_the_applications_own_routes_on_request(opened: Open) -> None:
    for framework in ("fastapi", "starlette", "asgi"):
        async with opened(framework, cors={"origins": (TRUSTED,)}, cors_own=True) as stand:
            caller = stand.caller()
            answer = await caller.options("/posts/1", headers={"Origin": TRUSTED, **PREFLIGHT})
            assert (answer.status_code, allows(answer)) == (204, TRUSTED)
            refused = await caller.delete("/posts/1", headers={"Origin": TRUSTED})
            assert (code(refused), allows(refused)) == ((401, "not_authenticated"), TRUSTED)
            answer = await caller.get("/open", headers={"Origin": TRUSTED})
            assert (answer.status_code, allows(answer)) == (200, TRUSTED)
            assert allows(await caller.get("/open", headers={"Origin": UNLISTED[0]})) is None


async def test_without_a_list_nobody_may_read(house: Stand) -> None:
    for origin in (TRUSTED, "http://127.0.0.1:8000", "null"):
        answer = await house.caller().options("/auth/me", headers={"Origin": origin, **PREFLIGHT})
        assert allows(answer) is None
        assert allows(await house.caller().get("/auth/me", headers={"Origin": origin})) is None


# -- https ---------------------------------------------------------------------------------------------------------

FORGED = {"X-Forwarded-Proto": "https", "Forwarded": "proto=https", "X-Forwarded-Ssl": "on", "Front-End-Https": "on"}


@pytest.mark.proof("ASVS-12.2.1", "ASVS-4.1.2", "ASVS-3.4.1", "ASVS-4.1.3", "ASVS-3.4.4", "ASVS-3.4.5", "ASVS-3.5.8")
@pytest.mark.parametrize("framework", ["fastapi", "starlette", "asgi"])
async def test_credentials_need_https_outside_loopback(framework: str, opened: Open) -> None:
    async with opened(framework, issuer="https://auth.example.test", trusted_proxies=("10.0.0.0/8",)) as stand:
        await stand.person()
        secure = await stand.signed_in()
        bearer = {"Authorization": secure.headers["Authorization"]}
        plain = "http://auth.example.test"
        for headers in ({}, FORGED):
            clear = stand.caller(base=plain, **headers)
            assert code(await login(clear)) == (403, "https_required")
            assert code(await clear.get("/protected", headers=bearer)) == (403, "https_required")
            assert code(await clear.post("/auth/refresh", json={"refresh_token": "x"})) == (403, "https_required")
            assert code(await clear.post("/auth/logout", headers=bearer)) == (403, "https_required")
            assert (await clear.get("/open")).status_code == 200
        # a proxy of ours that came by https says so
        proxy = stand.caller("10.1.2.3", base=plain, **{"X-Forwarded-Proto": "https"})
        assert (await proxy.get("/protected", headers=bearer)).status_code == 200
        # what the client wrote before the proxy does not count
        proxy = stand.caller("10.1.2.3", base=plain, **{"X-Forwarded-Proto": "https, http"})
        assert code(await proxy.get("/protected", headers=bearer)) == (403, "https_required")
        for answer in (
            await secure.get("/auth/me"),
            await secure.get("/auth/nowhere"),
            await stand.caller().get("/auth/me"),
            await login(stand.caller(base=plain)),
        ):
            assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_no_hsts_on_loopback_http(house: Stand) -> None:
    # it would lock a developer's browser out of every other server on that name
    assert "strict-transport-security" not in (await house.caller().get("/auth/me")).headers


@pytest.mark.nginx
@pytest.mark.proof("ASVS-3.3.1", "ASVS-12.2.1", "ASVS-15.3.4")
async def test_secure_cookies_behind_nginx_with_tls(
    admit: Callable[..., Admit], clock: ManualClock, authority: Authority, nginx: Callable[..., Nginx]
) -> None:
    front, application = free_port(), free_port()
    forward = (
        "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;"
        "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    )
    nginx(
        f"server {{ listen 127.0.0.1:{front} ssl; {tls(authority.issue('127.0.0.1'))}"
        f" location / {{ proxy_pass http://127.0.0.1:{application}; {forward} }} }}",
        front,
    )
    for trusted in (("127.0.0.1",), ()):
        issuer = f"https://127.0.0.1:{front}"
        auth = admit(issuer=issuer, trusted_proxies=trusted)
        async with behind_proxy("fastapi", auth, clock, application) as stand, contextlib.AsyncExitStack() as stack:
            transport = httpx2.AsyncHTTPTransport(verify=authority.client_context(), local_address="127.0.0.2")
            client = await stack.enter_async_context(httpx2.AsyncClient(transport=transport, base_url=issuer))
            answer = await client.post("/auth/register", json={"username": "alice", "password": PASSWORD})
            if not trusted:
                assert code(answer) == (403, "https_required")
                continue
            assert answer.status_code == 202
            answer = await login(client, deliver="session")
            assert answer.status_code == 200, answer.text
            assert {"__Host-admit-session", "__Secure-admit-device"} == set(set_cookies(answer))
            assert all("secure" in cookie for cookie in set_cookies(answer).values())
            assert (await client.get("/protected")).json()["by"] == "session"
            headers = {"Origin": issuer, "X-CSRF-Token": answer.json()["csrf_token"]}
            assert (await client.post("/protected", headers=headers)).status_code == 200
            assert answer.headers["strict-transport-security"].startswith("max-age=")
            row = (await stand.events(type="login.succeeded"))[0]
            assert row["address"] == "127.0.0.2"


# -- Host and path -------------------------------------------------------------------------------------------------

HOSTS = (
    "evil.example", "x/healthz?", "a/?x=", "127.0.0.1:8000@evil.example", "127.0.0.1:8000/x", "127.0.0.1:8000#",
    "127.0.0.1:80:80", "127.0.0.1:x", "127.0.0.1.evil.example", "", " ", "127.0.0.1%2eevil.example", "127.0.0.1,evil",
)  # fmt: skip


@pytest.mark.proof("ASVS-8.3.1", "ASVS-4.1.3")
@pytest.mark.parametrize("framework", ["fastapi", "starlette", "asgi"])
async def test_a_host_that_is_not_ours_gets_no_credential_in(framework: str, opened: Open) -> None:
    async with opened(framework, hosts=("further.example.test",)) as stand:
        await stand.person()
        bearer = await stand.signed_in()
        for host in HOSTS:
            answer = await bearer.get("/protected", headers={"Host": host})
            assert code(answer) == (400, "host_invalid"), host
            assert code(await login(stand.caller(), headers={"Host": host})) == (400, "host_invalid"), host
        two = [("Host", "127.0.0.1:8000"), ("Host", "evil.example"), *bearer.headers.items()]
        assert code(await stand.caller().get("/protected", headers=[*two])) == (400, "host_invalid")
        for host in ("127.0.0.1:8000", "localhost", "further.example.test", "FURTHER.example.test:81", "[::1]:8000"):
            assert (await bearer.get("/protected", headers={"Host": host})).status_code == 200, host


async def test_guards_look_at_the_path_that_is_served(admit: Callable[..., Admit]) -> None:
    """CVE-2026-48710: a path rebuilt from the Host header let another route through."""
    auth = admit()
    served: list[str] = []

    async def app(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
        served.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    guarded = auth.wrap(auth.protect(app, public=("/healthz", "/public/*")))
    await auth.open()
    transport = httpx2.ASGITransport(guarded, client=(ADDRESS, 1), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        for host in ("127.0.0.1:8000", *HOSTS):
            for path in ("/admin/users", "/healthz/", "/healthz;x", "//healthz", "/public/../admin", "/Healthz"):
                url = client.base_url.copy_with(raw_path=path.encode())
                answer = await client.get(url, headers={"Host": host})
                assert answer.status_code in (400, 401), (host, path)
        assert served == []
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/public/a/b")).status_code == 200
    assert served == ["/healthz", "/public/a/b"]
    await auth.close()


FORMS = (
    "//auth/login", "/auth//login", "/auth/login/", "/auth/%6cogin", "/auth/login;x", "/AUTH/login", "/auth/LOGIN",
    "/auth/./login", "/auth/x/../login", "/auth/login%00", "/auth/login%2f", "/auth%2flogin", "/auth/login?x", "/%61uth/login",
)  # fmt: skip


@pytest.mark.proof("ASVS-8.3.1")
async def test_no_form_of_a_path_escapes_the_limit(mount: str, opened: Open) -> None:
    """CVE-2025-71399: //path matched the route and not the limit."""
    async with opened(mount) as stand:
        await stand.person()
        client = stand.caller()
        body = {"identifier": "alice", "password": "Wrong Horse 9 Battery!"}
        base = httpx2.URL(stand.base)
        prefix = base.path.rstrip("/")
        tried = 0
        for form in FORMS * 3:
            url = base.copy_with(raw_path=f"{prefix}{form}".encode())
            answer = await client.post(url, json=body)
            assert answer.status_code in (400, 401, 404, 405, 429), (form, answer.status_code)
            tried += answer.status_code == 401
        # 405 and 404 reach nothing; what reached the login was counted
        assert tried == 5
        url = base.copy_with(raw_path=f"{prefix}/auth//me".encode())
        assert (await client.get(url)).status_code in (401, 404)


@pytest.mark.proof("ASVS-4.1.4")
async def test_methods_that_nobody_needs_are_refused(house: Stand) -> None:
    client = house.caller()
    answer = await client.post("/auth/me", json={})
    assert {name.strip() for name in answer.headers["allow"].split(",")} == {"GET", "PATCH", "DELETE"}
    for method in ("TRACE", "PUT", "PROPFIND", "CONNECT", "X"):
        answer = await client.request(method, "/auth/login")
        assert code(answer) == (405, "method_not_allowed")
        assert answer.headers["allow"] == "POST"  # RFC 9110 section 15.5.6
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        assert (await client.get("/auth/login", headers={name: "POST"})).status_code == 405


# -- caches --------------------------------------------------------------------------------------------------------


@pytest.mark.nginx
@pytest.mark.proof("ASVS-14.2.2", "ASVS-14.3.2")
async def test_a_shared_cache_keeps_nothing_of_anybody(
    admit: Callable[..., Admit], clock: ManualClock, nginx: Callable[..., Nginx]
) -> None:
    """CVE-2025-48947: a cache in front handed one person's cookie to the next."""
    front, application = free_port(), free_port()
    nginx(
        "proxy_cache_path cache keys_zone=all:1m;"
        f"server {{ listen 127.0.0.1:{front}; location / {{ proxy_pass http://127.0.0.1:{application};"
        "proxy_set_header Host $http_host; proxy_cache all; proxy_cache_valid any 10m; proxy_cache_methods GET HEAD POST;"
        "proxy_cache_key $request_method$request_uri; add_header X-Cache $upstream_cache_status; } }",
        front,
    )
    auth = admit(issuer=f"http://127.0.0.1:{front}", trusted_proxies=("127.0.0.1",))
    async with behind_proxy("fastapi", auth, clock, application) as stand:
        await stand.person()
        victim = await stand.signed_in(deliver="session")
        tokens = await stand.signed_in()
        await stand.keyed(tokens)
        for path in ("me", "sessions", "csrf", "verify", "api-keys", "service-accounts"):
            for caller in (victim, tokens):
                answer = await caller.get(f"/auth/{path}", headers={"X-Original-Method": "GET"})
                if (path, caller) == ("csrf", tokens):
                    continue  # a bearer has none
                assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
                assert answer.headers["x-cache"] == "MISS"
            assert (await stand.caller().get(f"/auth/{path}")).status_code == 401
        for deliver in ("tokens", "session"):
            bodies = [(await login(stand.caller(), deliver=deliver)) for _ in range(2)]
            assert {answer.headers["x-cache"] for answer in bodies} == {"MISS"}
            assert bodies[0].text != bodies[1].text
        # what everybody may see is kept
        keys = [await stand.caller().get("/.well-known/jwks.json") for _ in range(2)]
        assert [answer.headers["x-cache"] for answer in keys] == ["MISS", "HIT"]
