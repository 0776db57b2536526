"""Every header that we read, with what it should not hold: 4xx or the harmless success, never a 5xx, no effect."""

from __future__ import annotations

import pytest

from tests.attacks.wire import Header, Reply, Wire, wrong

ODD = (
    b"",
    b" ",
    b"\xff\xfe",
    b"\xc0\xaf",
    b"\0",
    b"a\0b",
    b"x" * 70_000,
    b",",
    b";",
    b"=",
    b"%00",
    b"'",
    b"\xf0\x9f\x94\x91",
    b"null",
)
BEARERS = (
    b"Bearer", b"Bearer ", b"Bearer  x", b"Bearer\tx", b"Bearer,x", b"Bearer x y", b"Bearer x,y", b"Bearer \xff\xfe",
    b"Bearer \0", b"Bearer " + b"A" * 1_000_000, b"Bearer ..", b"Bearer a.b.c", b"bearer x", b"BEARER x", b"Basic %%%",
    b"Basic Og==", b"Negotiate x", b"Digest username=x", b"x", *ODD,
)  # fmt: skip
KEYS = (b"admit_live_", b"admit_live_" + b"A" * 43, b"admit_test_" + b"0" * 49, b"admit_live_" + b"\xe9" * 40, *ODD)
HOSTS = (
    b"evil.example", b"127.0.0.1:x", b"127.0.0.1:99999", b"[::1", b"127.0.0.1/", b"a@127.0.0.1", b"127.0.0.1#", b"x y",
    b"127.0.0.1, evil.example", b"127.0.0.1%00", b"\xff", b"", b"127.0.0.1\0", b"a" * 10_000, b"127.0.0.1?",
)  # fmt: skip


async def _me(wire: Wire, headers: list[Header], **more: object) -> Reply:
    return await wire.send("GET", "/auth/me", headers, **more)  # type: ignore[arg-type]


@pytest.mark.proof("ASVS-16.5.1", "ASVS-16.5.3")
async def test_credentials_that_cannot_be_read_let_nobody_in(wire: Wire) -> None:
    """GHSA-xmf8-cvqr-rfgj: a malformed Authorization header threw."""
    before, found = await wire.tables(), []
    cases: list[tuple[bytes, bytes]] = [(b"authorization", value) for value in BEARERS]
    cases += [(b"x-api-key", value) for value in KEYS]
    cases += [(b"cookie", b"admit-session=" + value) for value in (*ODD, b"a" * 43, b"x; admit-session=y")]
    cases += [(b"cookie", b"admit-access=" + value) for value in (*ODD, b"a.b.c", b"a" * 9000)]
    cases += [(b"cookie", value) for value in (*ODD, b"admit-session", b"; " * 5000, b"=x", b"admit-session =x")]
    for header in cases:
        reply = await _me(wire, [header])
        if (problem := wrong(reply)) or reply.status not in (400, 401):
            found.append(f"{header[0]!r} {header[1][:30]!r}: {problem or reply.code}")
        if b"www-authenticate" not in reply.headers and reply.status == 401:
            found.append(f"{header[0]!r} {header[1][:30]!r}: no challenge")
    for twice in (wire.admin * 2, [*wire.admin, (b"x-api-key", b"x")], [*wire.admin, (b"authorization", b"Bearer x")]):
        reply = await _me(wire, twice)
        assert (reply.status, reply.code) == (400, "credentials_ambiguous")
    assert found == []
    assert {name for name, rows in before.items() if rows != (await wire.tables())[name]} == set()
    assert (await _me(wire, wire.admin)).status == 200


async def test_a_csrf_token_that_is_no_token_is_refused(wire: Wire) -> None:
    cookie = [header for header in wire.session if header[0] == b"cookie"]
    tokens = [*ODD, b"A" * 64, b"A" * 63, b"-_" * 32, wire.session[1][1] + b"=", wire.session[1][1][:-4] + b"AAAA"]
    for token in tokens:
        reply = await wire.send("DELETE", "/auth/sessions", [*cookie, (b"x-csrf-token", token)])
        assert wrong(reply) is None
        assert (reply.status, reply.code) == (403, "csrf_invalid"), token[:20]
    reply = await wire.send("DELETE", "/auth/sessions", [*wire.session, wire.session[1]])
    assert reply.code == "csrf_invalid"
    assert (await wire.send("DELETE", "/auth/sessions", cookie)).code == "csrf_missing"
    assert (await _me(wire, wire.session)).status == 200


async def test_where_a_request_comes_from_cannot_be_mistold(wire: Wire) -> None:
    origins = (
        *ODD,
        b"https://evil.example",
        b"http://127.0.0.1:8000.evil.example",
        b"http://127.0.0.1:8000/",
        b"file://",
    )
    found = []
    for value in origins:
        for name in (b"origin", b"sec-fetch-site"):
            reply = await wire.send("DELETE", "/auth/sessions", [*wire.session, (name, value)])
            if wrong(reply) or reply.code != "csrf_cross_site":
                found.append(f"{name!r} {value[:30]!r}: {reply.status} {reply.content[:80]!r}")
    twice = [(b"origin", b"http://127.0.0.1:8000"), (b"origin", b"https://evil.example")]
    sites = [(b"sec-fetch-site", b"same-origin"), (b"sec-fetch-site", b"cross-site")]
    for headers in (twice, twice[::-1], sites, sites[::-1]):
        assert (await wire.send("DELETE", "/auth/sessions", [*wire.session, *headers])).status == 403
    assert found == []


@pytest.mark.proof("ASVS-8.3.1")
async def test_a_host_that_is_no_host_gets_no_credential_in(wire: Wire) -> None:
    found = []
    for host in HOSTS:
        reply = await _me(wire, wire.admin, host=host)
        if wrong(reply) or reply.code != "host_invalid":
            found.append(f"{host[:30]!r}: {reply.status} {reply.content[:80]!r}")
    for headers, host in (([], None), ([(b"host", b"evil.example")], b"127.0.0.1:8000")):
        reply = await _me(wire, [*wire.admin, *headers], host=host)
        if wrong(reply) or reply.code != "host_invalid":
            found.append(f"{headers} {host!r}: {reply.status}")
    assert found == []


async def test_what_only_describes_a_request_never_breaks_it(wire: Wire) -> None:
    names = (
        b"user-agent", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-real-ip",
        b"x-original-method", b"x-original-url", b"x-http-method-override", b"accept", b"accept-encoding", b"range",
        b"if-none-match", b"x-request-id", b"transfer-encoding", b"expect", b"referer", b"access-control-request-method",
    )  # fmt: skip
    values = (*ODD, b"127.0.0.1, \xff", b"999.999.999.999", b"::1%lo", b"GET\r\nx: y", b"DELETE", b'for="_x"')
    found = []
    for name in names:
        for value in values:
            for path in ("/auth/me", "/auth/verify"):
                reply = await wire.send("GET", path, [*wire.admin, (name, value)])
                if reply.status != 200:
                    found.append(f"{path} {name!r} {value[:30]!r}: {reply.status} {reply.content[:80]!r}")
            login = await wire.json("POST", "/auth/login", {"identifier": "root", "password": "no"}, [(name, value)])
            if (problem := wrong(login)) or login.code != "login_failed":
                found.append(f"login {name!r} {value[:30]!r}: {problem or login.code}")
    assert found == []
    # and each of these refusals is in the log, whatever the agent calls itself
    failed = await wire.stand.events(type="login.failed")
    assert len(failed) == len(names) * len(values)


async def test_forwarding_headers_of_a_named_proxy_may_be_broken_too(make: object) -> None:
    async with make(trusted_proxies=("203.0.113.0/24",)) as stand:  # type: ignore[operator]
        wire = await Wire(stand).prepared()
        for name in (b"x-forwarded-for", b"x-forwarded-proto"):
            for value in (*ODD, b"unknown", b"127.0.0.1:80", b"[::1]:80", b"a, b, c", b"," * 9000, b"https, x"):
                reply = await _me(wire, [*wire.admin, (name, value)])
                assert reply.status == 200, (name, value[:30], reply)
