"""Cross-site requests: the whole table, each expected value from the words of the rule, not from our code."""

from __future__ import annotations

import itertools
import json
from typing import Any, NamedTuple

import httpx2
import pytest

from tests.flows.conftest import Open
from tests.flows.stand import PASSWORD, Stand, code, login

TRUSTED = "https://app.example.test"
FOREIGN = "https://evil.example"
SITES = (None, "same-origin", "same-site", "cross-site", "none")
ORIGINS = (None, "own", "trusted", "foreign", "null")
TOKENS = (None, "right", "wrong", "other")
CREDENTIALS = ("session", "cookie", "bearer", "api_key")

#: where the request comes from: Sec-Fetch-Site (rows) x Origin (columns); x = another site
COMES_FROM = """
                absent  own  trusted  foreign  null
    absent      ok      ok   ok       x        x
    same-origin ok      ok   ok       x        x
    same-site   x       x    ok       x        x
    cross-site  x       x    ok       x        x
    none        ok      ok   ok       x        x
"""
#: the token, once the request comes from a good place
TOKEN_SAYS = {None: "csrf_missing", "right": None, "wrong": "csrf_invalid", "other": "csrf_invalid"}


def place(site: str | None, origin: str | None) -> bool:
    """Whether the table says that the request comes from a good place."""
    head, *rows = COMES_FROM.strip().splitlines()
    column = head.split().index(origin or "absent") + 1
    row = next(row.split() for row in rows if row.split()[0] == (site or "absent"))
    return row[column] == "ok"


def expected(credential: str, site: str | None, origin: str | None, token: str | None) -> tuple[int, str | None]:
    """What the rule says of a request that changes something."""
    if credential in ("bearer", "api_key"):
        return 200, None  # a browser does not send these unasked
    if not place(site, origin):
        return 403, "csrf_cross_site"
    refusal = TOKEN_SAYS[token]
    return (200, None) if refusal is None else (403, refusal)


class Signed(NamedTuple):
    """What a caller sends to be known, and the CSRF tokens at hand."""

    headers: dict[str, str]
    tokens: dict[str | None, str]


async def signed(stand: Stand, credential: str) -> Signed:
    """Alice by that credential, with a token of hers, one of nobody, and one of Bob's."""
    await stand.person("alice")
    await stand.person("bob")
    deliver = credential if credential in ("session", "cookie") else "session"
    bob = (await login(stand.caller(), "bob", deliver)).json()["csrf_token"]
    alice = stand.caller()
    mine = (await login(alice, "alice", deliver)).json()["csrf_token"]
    tokens: dict[str | None, str] = {"right": mine, "wrong": "A" * len(mine), "other": bob}
    match credential:
        case "session":
            return Signed({"Cookie": f"admit-session={alice.cookies['admit-session']}"}, tokens)
        case "cookie":
            return Signed({"Cookie": f"admit-access={alice.cookies['admit-access']}"}, tokens)
        case "bearer":
            bearer = await stand.signed_in("alice")
            return Signed({"Authorization": bearer.headers["Authorization"]}, tokens)
    _, program = await stand.keyed(await stand.signed_in("alice"))
    return Signed({"X-API-Key": program.headers["X-API-Key"]}, tokens)


def sent(stand: Stand, site: str | None, origin: str | None) -> dict[str, str]:
    """The headers of a browser that says these things."""
    url = httpx2.URL(stand.base)
    own = f"{url.scheme}://{url.netloc.decode()}"
    values = {"own": own, "trusted": TRUSTED, "foreign": FOREIGN, "null": "null"}
    return ({"Sec-Fetch-Site": site} if site else {}) | ({"Origin": values[origin]} if origin else {})


@pytest.mark.proof("ASVS-3.5.1", "NIST-5.1-csrf", "CS-CSRF-hmac", "ASVS-16.3.3")
@pytest.mark.parametrize("credential", CREDENTIALS)
async def test_the_table(mount: str, credential: str, opened: Open) -> None:
    async with opened(mount, cors={"origins": (TRUSTED,)}) as stand:
        known = await signed(stand, credential)
        caller = stand.caller()
        wrong: list[Any] = []
        for site, origin, token in itertools.product(SITES, ORIGINS, TOKENS):
            headers = known.headers | sent(stand, site, origin)
            if token is not None:
                headers["X-CSRF-Token"] = known.tokens[token]
            answer = await caller.post("/protected", headers=headers)
            got = (answer.status_code, None if answer.status_code == 200 else answer.json()["code"])
            if got != expected(credential, site, origin, token):
                wrong.append((site, origin, token, got))
            safe = await caller.get("/protected", headers=headers)
            if safe.status_code != 200:
                wrong.append(("GET", site, origin, token, safe.status_code))
        assert wrong == []


@pytest.mark.proof("ASVS-3.5.1")
@pytest.mark.parametrize("site", SITES)
async def test_requests_that_set_cookies_pass_it_too(site: str | None, opened: Open) -> None:
    """Login CSRF: another site must not sign a browser in as somebody else; no token can exist yet."""
    async with opened("fastapi", cors={"origins": (TRUSTED,)}) as stand:
        await stand.person()
        for origin in ORIGINS:
            headers = sent(stand, site, origin)
            for deliver in ("tokens", "cookie", "session", "spa"):
                answer = await login(stand.caller(), deliver=deliver, headers=headers)
                if place(site, origin):
                    assert answer.status_code == 200
                else:
                    assert code(answer) == (403, "csrf_cross_site")
                    assert "set-cookie" not in answer.headers
            await _refresh_and_leave(stand, headers, good=place(site, origin))


async def _refresh_and_leave(stand: Stand, headers: dict[str, str], *, good: bool) -> None:
    """A refresh and a logout by cookie need the token as well."""
    spa = await stand.signed_in(deliver="spa")
    del spa.headers["Authorization"]
    right = spa.headers.pop("X-CSRF-Token")
    for path in ("/auth/refresh", "/auth/logout"):
        for token, refusal in ((None, "csrf_missing"), ("A" * 64, "csrf_invalid"), (right, None)):
            answer = await spa.post(path, headers=headers | ({"X-CSRF-Token": token} if token else {}))
            if not good:
                assert code(answer) == (403, "csrf_cross_site")
            elif refusal:
                assert code(answer) == (403, refusal)
            else:
                assert answer.status_code in (200, 204)


async def test_a_token_can_be_fetched_again_and_belongs_to_its_sign_in(stand: Stand) -> None:
    await stand.person()
    for deliver in ("session", "cookie", "spa"):
        client = await stand.signed_in(deliver=deliver)
        client.headers.pop("Authorization", None)
        first = client.headers.pop("X-CSRF-Token")
        answer = await client.get("/auth/csrf")
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        second = answer.json()["csrf_token"]
        assert second != first  # random, so that compression tells nothing
        path = "/auth/refresh" if deliver == "spa" else "/protected"
        for token in (first, second):
            assert (await client.post(path, headers={"X-CSRF-Token": token})).status_code == 200
    assert code(await stand.caller().get("/auth/csrf")) == (401, "not_authenticated")
    # two tokens, or one in another place, are none
    client = await stand.signed_in(deliver="session")
    token = client.headers.pop("X-CSRF-Token")
    answer = await client.post("/protected", headers=[("X-CSRF-Token", token), ("X-CSRF-Token", token)])
    assert code(answer) == (403, "csrf_invalid")
    answer = await client.post(f"/protected?csrf_token={token}", headers={"Cookie": f"csrf={token}"})
    assert code(answer)[0] in (401, 403)


@pytest.mark.proof("ASVS-3.5.1", "ASVS-3.5.3")
async def test_signing_in_and_out_by_get_is_not_possible(stand: Stand) -> None:
    await stand.person()
    client = await stand.signed_in(deliver="session")
    for path in ("login", "logout", "refresh", "register", "reauthenticate", "password/change", "email/verify"):
        for method in ("GET", "HEAD"):
            answer = await client.request(method, f"/auth/{path}", headers={"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 405, path
    assert (await client.get("/protected")).status_code == 200


async def handshake(stand: Stand, headers: dict[str, str]) -> list[dict[str, Any]]:
    """What an application answers to a WebSocket handshake, until it closes."""
    said: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(dict(message))

    host = httpx2.URL(stand.base).netloc
    raw = [(b"host", host), *((name.lower().encode(), value.encode()) for name, value in headers.items())]
    scope = {
        "type": "websocket", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "ws", "path": "/socket",
        "raw_path": b"/socket", "query_string": b"", "root_path": "", "headers": raw, "subprotocols": [],
        "client": ("203.0.113.7", 1), "server": ("127.0.0.1", 8000), "state": {},
    }  # fmt: skip
    await stand.app(scope, receive, send)
    return said


@pytest.mark.proof("ASVS-4.4.2")
@pytest.mark.parametrize("framework", ["fastapi", "starlette", "asgi"])
async def test_websocket_handshakes(framework: str, opened: Open) -> None:
    async with opened(framework, cors={"origins": (TRUSTED,)}) as stand:
        await stand.person()
        client, bearer = await stand.signed_in(deliver="session"), await stand.signed_in()
        cookie = {"Cookie": f"admit-session={client.cookies['admit-session']}"}
        token = {"Authorization": bearer.headers["Authorization"]}
        for origin, allowed in (("own", True), ("trusted", True), ("foreign", False), ("null", False), (None, False)):
            said = await handshake(stand, cookie | sent(stand, None, origin))
            if allowed:
                assert said[0]["type"] == "websocket.accept"
                assert json.loads(said[1]["text"])["by"] == "session"
            else:
                assert said == [{"type": "websocket.close", "code": 4403, "reason": "csrf_cross_site"}]
        # a program with a token has no origin, and what it says of one does not matter
        for origin in (None, "foreign"):
            said = await handshake(stand, token | sent(stand, None, origin))
            assert json.loads(said[1]["text"])["by"] == "access_token"
        said = await handshake(stand, sent(stand, None, "own"))
        assert said == [{"type": "websocket.close", "code": 4401, "reason": "not_authenticated"}]
        refused = await stand.events(type="request.refused")
        assert [row["reason"] for row in refused].count("csrf.websocket_origin") == 3


async def test_a_token_from_before_the_login_is_worth_nothing_after(house: Stand) -> None:
    await house.person()
    first = await house.signed_in(deliver="session")
    before = first.headers["X-CSRF-Token"]
    answer = await first.post("/auth/login", json={"identifier": "alice", "password": PASSWORD, "deliver": "session"})
    assert answer.status_code == 200
    assert code(await first.post("/protected", headers={"X-CSRF-Token": before})) == (403, "csrf_invalid")
    after = answer.json()["csrf_token"]
    assert (await first.post("/protected", headers={"X-CSRF-Token": after})).status_code == 200
