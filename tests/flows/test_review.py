"""Ways round the checks that a review found, each closed: hidden keys, late links, handshakes, shared locks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httpx2
import pytest
import sqlalchemy as sa
from asgi_lifespan import LifespanManager
from fastapi import Depends, FastAPI

from admit import Admit, build
from admit.background import Cleaning
from admit.credentials.grants import Person
from admit.flows.email import RESET, VERIFY
from admit.ground.errors import SettingsError
from admit.ground.events import Via
from admit.ground.principal import Method
from admit.stores.sql.schema import devices, grants
from admit.testing.clock import ManualClock
from admit.web.peer import TEST_CLIENT, Peer
from tests.flows.conftest import ISSUER, Open
from tests.flows.stand import OTHER_PASSWORD, PASSWORD, RIGHTS, WIDE, Stand, code, login, set_cookies

HOUR = timedelta(hours=1)
EVIL = {"Origin": "https://evil.test", "Sec-Fetch-Site": "cross-site"}


async def ticket(stand: Stand, purpose: str, name: str, **data: object) -> str:
    """The ticket of a mailed link, as the mail job makes it."""
    account = await stand.account(name)
    tickets = stand.auth.rooms.tickets
    given = {"email": account.email, **data}
    made: str = await stand.write(lambda tx: tickets.issue(tx, purpose, account.id, given, HOUR))
    return made


@pytest.mark.proof("ASVS-7.4.3")
async def test_a_reset_leaves_no_way_back_to_whoever_made_the_account(opened: Open) -> None:
    # somebody registers another's address, and hides a key in a service account (CVE-2026-53516 and its kind)
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        owner = await stand.signed_in()
        service = (await owner.post("/auth/service-accounts", json={"name": "hidden", "roles": ["member"]})).json()
        _, hidden = await stand.keyed(owner, "read:profile", service_account=service["id"])
        assert (await hidden.get("/auth/me")).status_code == 200
        body = {"ticket": await ticket(stand, RESET, "alice"), "new": OTHER_PASSWORD}
        assert (await stand.caller().post("/auth/password/reset", json=body)).status_code == 204
        assert code(await hidden.get("/auth/me"))[0] == 401


async def test_end_api_keys_ends_those_of_service_accounts_too(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        owner = await stand.signed_in()
        service = (await owner.post("/auth/service-accounts", json={"name": "nightly", "roles": ["member"]})).json()
        _, nightly = await stand.keyed(owner, "read:profile", service_account=service["id"])
        body = {"current": PASSWORD, "new": OTHER_PASSWORD}
        assert (await owner.post("/auth/password/change", json=body)).status_code == 204
        assert (await nightly.get("/auth/me")).status_code == 200
        ending = {"current": OTHER_PASSWORD, "new": PASSWORD, "end_api_keys": True}
        assert (await owner.post("/auth/password/change", json=ending)).status_code == 204
        assert code(await nightly.get("/auth/me"))[0] == 401


@pytest.mark.parametrize("way", ["reset", "change"])
async def test_a_new_password_ends_the_links_to_another_address(opened: Open, way: str) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        owner = await stand.signed_in()
        late = await ticket(stand, VERIFY, "alice", email="mallory@example.test", change=True)
        if way == "reset":
            body = {"ticket": await ticket(stand, RESET, "alice"), "new": OTHER_PASSWORD}
        else:
            body = {"current": PASSWORD, "new": OTHER_PASSWORD}
        assert (await owner.post(f"/auth/password/{way}", json=body)).status_code == 204
        assert code(await stand.caller().post("/auth/email/verify", json={"ticket": late}))[1] == "ticket_expired"
        assert (await stand.account("alice")).email == "alice@example.test"


@pytest.mark.proof("ASVS-4.4.2")
async def test_forward_auth_admits_no_handshake_of_another_site(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        browser, program = await stand.signed_in("alice", "session"), await stand.signed_in()
        # what is left of a handshake once nginx has taken Upgrade and Connection off
        asked = {
            "X-Original-Method": "GET",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-Fetch-Mode": "websocket",
        }
        verify = "/auth/verify"
        assert code(await browser.get(verify, headers={**asked, **EVIL})) == (403, "csrf_cross_site")
        assert code(await browser.get(verify, headers=asked)) == (403, "csrf_cross_site")
        assert (await browser.get(verify, headers={**asked, "Origin": ISSUER})).status_code == 200
        # HTTP/2 has no key, and a CONNECT in place of the GET
        over_2 = {"X-Original-Method": "GET", "Sec-WebSocket-Version": "13", **EVIL}
        assert code(await browser.get(verify, headers=over_2)) == (403, "csrf_cross_site")
        assert (await program.get(verify, headers={**asked, **EVIL})).status_code == 200


async def test_pages_take_no_api_key(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        owner = await stand.signed_in()
        mine = (await owner.get("/auth/sessions")).json()["sessions"][0]["id"]
        _, program = await stand.keyed(owner, "read:profile")
        for path in ("account/end", "logout"):
            assert (await program.post(f"/auth/ui/{path}", data={"id": mine})).status_code == 403
        assert (await owner.get("/auth/me")).status_code == 200


async def test_another_site_cannot_remove_cookies_by_not_sending_them(opened: Open) -> None:
    async with opened("fastapi") as stand:
        answer = await stand.caller().post("/auth/logout", headers=EVIL)
        assert code(answer) == (403, "csrf_cross_site")
        assert not set_cookies(answer)
        assert (await stand.caller().post("/auth/logout")).status_code == 204


@pytest.mark.parametrize(
    "addresses",
    [("2001:db8::1", "2001:db8::2", "2001:db8::ffff:1"), ("203.0.113.9", "::ffff:203.0.113.9", "203.0.113.9")],
)
@pytest.mark.proof("ASVS-6.3.1")
async def test_an_application_limit_counts_a_network_once(
    admit: Callable[..., Admit], clock: ManualClock, addresses: tuple[str, ...]
) -> None:
    auth = admit()
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    @app.get("/dear", dependencies=[Depends(auth.limit(2, HOUR))])
    async def dear() -> None:
        """Something that costs."""

    async with LifespanManager(app) as manager:
        stand = Stand(auth, manager.app, ISSUER, clock)
        async with stand.callers:
            got = [(await stand.caller(address).get("/dear")).status_code for address in addresses]
            assert got == [200, 200, 429]
            assert (await stand.caller("2001:db8:0:1::1").get("/dear")).status_code == 200


def test_a_forwarded_name_is_no_test_client(admit: Callable[..., Admit]) -> None:
    peer = Peer(admit().settings)
    headers = [(b"host", b"evil.test")]
    assert peer.knows_host({"headers": headers, "client": TEST_CLIENT})
    # what uvicorn makes of `X-Forwarded-For: testclient` that a page on a rebound name sends to loopback
    assert not peer.knows_host({"headers": headers, "client": ("testclient", 0)})
    assert not peer.knows_host({"headers": [(b"host", b"127.0.0.1:" + b"0" * 9000 + b"1")], "client": ("127.0.0.1", 1)})


@pytest.mark.postgres
async def test_one_person_s_requests_at_once_do_not_wait_for_each_other_for_ever(
    opened: Open, pg_database: str
) -> None:
    # two that shared a row and both wanted to hold it: a second of deadlock each, on connections that all share
    async with opened("fastapi", limits=WIDE, database=pg_database) as stand:
        await stand.person()
        owner = await stand.signed_in()
        for path, body in (("api-keys", {"name": "k"}), ("service-accounts", {"name": "s"})):
            made = await asyncio.gather(*(owner.post(f"/auth/{path}", json=body) for _ in range(6)))
            assert [answer.status_code for answer in made] == [201] * 6


async def test_a_token_ends_with_its_grant(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        rooms = stand.auth.rooms
        user = await stand.account_id("alice")
        person = Person(user, ("member",), (Method("pwd", stand.clock.now()),))
        started = await stand.write(lambda tx: rooms.delivery.start(tx, person, "tokens", Via()))
        token = (await rooms.delivery.finish(started)).access_token
        ends = stand.clock.now() + 60_000_000
        await stand.write(lambda tx: tx.connection.execute(sa.update(grants).values(expires_at=ends)))
        client = stand.caller(Authorization=f"Bearer {token}")
        assert (await client.get("/auth/me")).status_code == 200
        stand.clock.advance(timedelta(seconds=61))
        assert code(await client.get("/auth/me"))[0] == 401


async def test_devices_are_forgotten_when_they_are_no_longer_known(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        await stand.signed_in()
        rows = stand.auth.rooms

        async def number() -> int:
            return int(
                await stand.write(
                    lambda tx: tx.connection.execute(sa.select(sa.func.count(devices.c.digest))).scalar_one()
                )
            )

        cleaning = Cleaning(rows.kit, rows.settings, rows.tickets, rows.api_keys)
        await cleaning.step()
        assert await number() == 1
        stand.clock.advance(timedelta(days=181))
        await cleaning.step()
        assert await number() == 0


def test_a_crash_leaves_no_empty_secret(
    admit: Callable[..., Admit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = admit(database=f"sqlite:///{tmp_path}/a.db").settings

    def dies() -> str:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(build, "generate", dies)
        with pytest.raises(KeyboardInterrupt):
            build.master_secrets(settings)
    assert list(tmp_path.iterdir()) == []
    made = build.master_secrets(settings)
    assert made.masters == build.master_secrets(settings).masters
    assert [(path.name, path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("secret", 0o600)]
    (tmp_path / "secret").write_text("")
    with pytest.raises(SettingsError):
        build.master_secrets(settings)


def test_settings_show_no_password_of_a_store(admit: Callable[..., Admit]) -> None:
    settings = admit(database="postgresql://ann:hunter22@host/name", valkey="redis://:hunter22@host").settings
    assert "hunter22" not in repr(settings)
    assert "hunter22" not in str(settings)


@pytest.mark.proof("ASVS-6.3.1")
async def test_whoever_comes_by_a_unix_socket_is_counted(opened: Open) -> None:
    # servers give no address there, and what has none was counted by no limit of an address
    async with opened("fastapi") as stand:
        transport = httpx2.ASGITransport(cast("Any", stand.app), client=cast("Any", None))
        async with httpx2.AsyncClient(transport=transport, base_url=ISSUER) as nobody:
            body = {"username": "x", "password": "short"}
            got = [(await nobody.post("/auth/register", json=body)).status_code for _ in range(6)]
    assert got == [422] * 5 + [429]


def test_a_proxy_on_a_unix_socket_is_believed_as_on_loopback(admit: Callable[..., Admit]) -> None:
    forwarded = [(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")]
    for client in (None, ("", 0), ("127.0.0.1", 1)):
        scope = {"headers": forwarded, "client": client, "scheme": "http"}
        peer = Peer(admit(trusted_proxies=("127.0.0.0/8",)).settings)
        assert (peer.address(scope), peer.scheme(scope)) == ("203.0.113.7", "https")
        peer = Peer(admit().settings)
        assert (peer.address(scope), peer.scheme(scope)) == ("127.0.0.1", "http")


async def test_verbs_of_an_administrator_read_the_truth_again(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    # a role that was taken away a moment ago on another host, of which this process has not heard yet
    roles = {**RIGHTS["roles"], "admin": ("admit:admin",)}
    async with opened("fastapi", limits=WIDE, **{**RIGHTS, "roles": roles}) as stand:
        await stand.person("root", "admin")
        await stand.person("alice", "admin")
        alice = await stand.signed_in("alice")
        kid = (await alice.get("/auth/admin/signing-keys")).json()["signing_keys"][0]["kid"]
        shown = (await stand.account("alice")).shown
        monkeypatch.setattr(stand.auth.rooms.live.feed, "apply", lambda voids: None)
        user = (await stand.account("alice")).id
        await stand.write(lambda tx: stand.auth.rooms.accounts.revoke(tx, user, ["admin"], Via()))
        for method, path in (
            ("POST", "signing-keys/rotate"), ("DELETE", f"signing-keys/{kid}"), ("DELETE", "findings/fnd_x"),
            ("POST", f"users/{shown}/password-reset"), ("PATCH", f"users/{shown}"),
        ):  # fmt: skip
            body: Any = {"disabled": False} if method == "PATCH" else None
            answer = await alice.request(method, f"/auth/admin/{path}", json=body)
            assert answer.status_code == 401, (path, answer.text)
        for method, path in (("DELETE", "sessions"), ("PATCH", "me")):
            body = {"profile": {}} if method == "PATCH" else None
            assert (await alice.request(method, f"/auth/{path}", json=body)).status_code == 401, path


@pytest.mark.parametrize("before", ["session", "cookie", "spa"])
@pytest.mark.parametrize("then", ["session", "cookie", "spa"])
async def test_whoever_signed_in_last_is_who_a_browser_speaks_for(opened: Open, before: str, then: str) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person("alice")
        await stand.person("bob")
        browser = stand.caller()
        await login(browser, "alice", before)
        answer = await login(browser, "bob", then)
        bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"} if then == "spa" else {}
        assert (await browser.get("/auth/me", headers=bearer)).json()["username"] == "bob"
        if then == "spa":
            assert code(await browser.get("/auth/me"))[0] == 401
        token = {"X-CSRF-Token": answer.json()["csrf_token"]}
        assert (await browser.post("/auth/logout", headers=token)).status_code == 204
        assert not [name for name in browser.cookies if name != "admit-device"]


async def test_a_narrow_token_revives_no_key_that_may_do_more(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        owner = await stand.signed_in()
        key, program = await stand.keyed(owner, "read:profile")
        tokens = (await login(stand.caller())).json()
        asked = {"refresh_token": tokens["refresh_token"], "scope": "read:posts"}
        narrow = (await stand.caller().post("/auth/refresh", json=asked)).json()["access_token"]
        caller, path = stand.caller(Authorization=f"Bearer {narrow}"), f"/auth/api-keys/{key}"
        # to take power away needs none
        assert (await caller.patch(path, json={"disabled": True})).status_code == 200
        for change in ({"disabled": False}, {"expires_at": None}, {"expires_at": "2040-01-01T00:00:00Z"}):
            assert code(await caller.patch(path, json=change)) == (403, "insufficient_scope"), change
        assert code(await program.get("/auth/me"))[0] in (401, 403)
        assert (await owner.patch(path, json={"disabled": False, "expires_at": None})).status_code == 200
        assert (await program.get("/auth/me")).status_code == 200
