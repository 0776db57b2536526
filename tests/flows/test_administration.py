"""What administrators do through HTTP, and the questions a proxy asks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import httpx2
import pytest

from admit import Admit
from admit.testing.clock import ManualClock
from tests.flows.conftest import Open
from tests.flows.stand import PASSWORD, WIDE, Stand, behind_proxy, code, login
from tests.parts.nginx import Nginx
from tests.parts.ports import free_port

ROUTES = (
    ("GET", "users"), ("GET", "users/{id}"), ("PATCH", "users/{id}"), ("DELETE", "users/{id}"),
    ("POST", "users/{id}/roles"), ("DELETE", "users/{id}/roles/editor"), ("POST", "users/{id}/password-reset"),
    ("GET", "users/{id}/sessions"), ("DELETE", "users/{id}/sessions"), ("DELETE", "users/{id}/sessions/ses_x"),
    ("GET", "users/{id}/api-keys"), ("DELETE", "users/{id}/api-keys/key_x"), ("GET", "signing-keys"),
    ("POST", "signing-keys/rotate"), ("DELETE", "signing-keys/x"), ("GET", "events"), ("GET", "findings"),
    ("DELETE", "findings/fnd_x"),
)  # fmt: skip


@pytest.mark.proof("ASVS-8.2.1", "ASVS-8.4.2", "ASVS-16.3.2")
async def test_administration_is_for_administrators(stand: Stand) -> None:
    alice = await stand.person("alice", "editor", "verifier")
    person, anonymous = await stand.signed_in(), stand.caller("127.0.0.1")
    for method, path in ROUTES:
        where = f"/auth/admin/{path.replace('{id}', alice)}"
        assert code(await anonymous.request(method, where)) == (401, "not_authenticated")
        answer = await person.request(method, where)
        assert code(answer) == (403, "insufficient_scope")
        assert answer.json()["scopes"] == ["admit:admin"]
    listed = {row["data"]["path"] for row in await stand.events(type="request.refused", reason="rights.scope")}
    assert len(listed) >= len({path for _, path in ROUTES})


@pytest.mark.proof("ASVS-7.4.2", "ASVS-7.4.5", "ASVS-6.4.6", "ASVS-15.3.1", "ASVS-16.2.1", "ASVS-8.3.2")
async def test_what_an_administrator_does(mount: str, opened: Open) -> None:
    async with opened(mount, limits=WIDE) as stand:
        boss = await stand.person("boss", "admin")
        alice = await stand.person("alice")
        root, victim = await stand.signed_in("boss"), await stand.signed_in("alice", "session")
        user = f"/auth/admin/users/{alice}"
        page = (await root.get("/auth/admin/users", params={"limit": 1})).json()
        rest = (await root.get("/auth/admin/users", params={"after": page["next"]})).json()
        assert {one["username"] for one in (*page["users"], *rest["users"])} == {"alice", "boss"}
        found = (await root.get("/auth/admin/users", params={"search": "ali"})).json()["users"]
        assert [one["id"] for one in found] == [alice]
        shown = (await root.get(user)).json()
        assert "argon2" not in str(shown)
        assert "password" not in str(shown)
        # roles act at the next request
        assert code(await victim.delete("/posts/1")) == (403, "insufficient_scope")
        assert (await root.post(f"{user}/roles", json={"roles": ["editor"]})).status_code == 200
        assert (await victim.delete("/posts/1")).status_code == 200
        assert (await root.delete(f"{user}/roles/editor")).status_code == 200
        assert code(await victim.delete("/posts/1")) == (403, "insufficient_scope")
        assert code(await root.post(f"{user}/roles", json={"roles": ["no-such"]})) == (422, "invalid_input")
        # sessions
        rows = (await root.get(f"{user}/sessions")).json()["sessions"]
        assert len(rows) == 1
        assert (await root.delete(f"{user}/sessions/{rows[0]['id']}")).status_code == 204
        assert code(await victim.get("/protected")) == (401, "session_expired")
        tokens = await stand.signed_in("alice")
        assert (await root.delete(f"{user}/sessions")).status_code == 204
        assert (await tokens.get("/protected")).status_code == 401
        # keys
        tokens = await stand.signed_in("alice")
        identifier, program = await stand.keyed(tokens)
        assert [row["id"] for row in (await root.get(f"{user}/api-keys")).json()["api_keys"]] == [identifier]
        assert (await root.delete(f"{user}/api-keys/{identifier}")).status_code == 204
        assert code(await program.get("/protected")) == (401, "api_key_invalid")
        # a reset is started, never a password set or seen
        for body in ({"password": "x"}, {"disabled": False, "password": "x"}):
            assert code(await root.patch(user, json=body)) == (422, "invalid_input")
        answer = await root.post(f"{user}/password-reset")
        assert (answer.status_code, answer.json()) == (202, {"status": "accepted"})
        # disabled and enabled, deleted
        assert (await root.patch(user, json={"disabled": True})).json()["disabled"] is True
        assert (await tokens.get("/protected")).status_code == 401
        assert (await root.patch(user, json={"disabled": False})).json()["disabled"] is False
        assert (await tokens.get("/protected")).status_code == 200
        assert (await root.delete(user)).status_code == 204
        assert (await tokens.get("/protected")).status_code == 401
        assert code(await root.get(user)) == (404, "not_found")
        assert code(await login(stand.caller())) == (401, "login_failed")
        # not the last one of the administrators
        for answer in (
            await root.patch(f"/auth/admin/users/{boss}", json={"disabled": True}),
            await root.delete(f"/auth/admin/users/{boss}"),
            await root.delete(f"/auth/admin/users/{boss}/roles/admin"),
        ):
            assert code(answer) == (409, "conflict")
        # the log says who did what to whom
        await stand.auth.rooms.observed.flush()
        rows = (await root.get("/auth/admin/events", params={"subject": alice, "limit": 200})).json()["events"]
        done = {row["type"] for row in rows if row["actor"] == boss}
        assert {"account.roles_changed", "account.disabled", "account.deleted", "api_key.revoked"} <= done
        assert {row["time"][-1] for row in rows} == {"Z"}


async def test_signing_keys_turn_while_tokens_live(stand: Stand) -> None:
    await stand.person("boss", "admin")
    root, old = await stand.signed_in("boss", "session"), await stand.signed_in("boss")
    before = (await root.get("/auth/admin/signing-keys")).json()["signing_keys"]
    stand.clock.advance(timedelta(seconds=1))
    kid = (await root.post("/auth/admin/signing-keys/rotate")).json()["kid"]
    assert kid not in {key["kid"] for key in before}
    new = await stand.signed_in("boss")
    for caller in (old, new):
        assert (await caller.get("/protected")).status_code == 200
    published = await stand.caller().get("/.well-known/jwks.json")
    assert kid in {key["kid"] for key in published.json()["keys"]}
    assert not any("d" in key for key in published.json()["keys"])
    assert (await root.delete(f"/auth/admin/signing-keys/{kid}")).status_code == 204
    assert code(await new.get("/protected")) == (401, "token_invalid")
    assert (await old.get("/protected")).status_code == 200
    assert code(await root.delete("/auth/admin/signing-keys/no-such")) == (404, "not_found")


# -- forward authentication ----------------------------------------------------------------------------------------


async def test_a_proxy_asks_about_a_request(stand: Stand) -> None:
    alice = await stand.person()
    tokens, session = await stand.signed_in(), await stand.signed_in(deliver="session")
    _, program = await stand.keyed(tokens, "read:posts")
    for caller, kind in ((tokens, "access_token"), (session, "session"), (program, "api_key")):
        answer = await caller.get("/auth/verify", params={"scope": "read:posts"}, headers={"X-Original-Method": "GET"})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-admit-subject"] == alice
        assert answer.headers["x-admit-subject-kind"] == "user"
        assert answer.headers["x-admit-credential"] == kind
        assert "read:posts" in answer.headers["x-admit-scopes"].split()
        assert answer.headers["cache-control"] == "no-store"
        answer = await caller.get("/auth/verify", params={"scope": "delete:posts"})
        assert code(answer) == (403, "insufficient_scope")
    assert code(await stand.caller().get("/auth/verify")) == (401, "not_authenticated")
    assert code(await tokens.get("/auth/verify", params={"scope": "no:such"})) == (422, "scope_unknown")
    # a cookie on a request that changes something needs its token; without a method it counts as such
    token = session.headers.pop("X-CSRF-Token")
    for method in ("POST", "delete", None):
        headers = {"X-Original-Method": method} if method else {}
        assert code(await session.get("/auth/verify", headers=headers)) == (403, "csrf_missing")
        answer = await session.get("/auth/verify", headers=headers | {"X-CSRF-Token": token})
        assert answer.status_code == 200
        answer = await session.get(
            "/auth/verify", headers=headers | {"X-CSRF-Token": token, "Sec-Fetch-Site": "cross-site"}
        )
        assert code(answer) == (403, "csrf_cross_site")


@pytest.mark.nginx
@pytest.mark.proof("ASVS-4.1.3")
async def test_behind_auth_request_of_nginx(
    admit: Callable[..., Admit], clock: ManualClock, nginx: Callable[..., Nginx]
) -> None:
    front, api, application = free_port(), free_port(), free_port()
    nginx(
        f"""
        server {{ listen 127.0.0.1:{front};
          location = /_auth {{ internal; proxy_pass http://127.0.0.1:{application}/auth/verify?scope=read:posts;
            proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header Host $http_host;
            proxy_set_header X-Original-Method $request_method;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; }}
          location /auth/ {{ proxy_pass http://127.0.0.1:{application}; proxy_set_header Host $http_host; }}
          location / {{ auth_request /_auth; auth_request_set $user $upstream_http_x_admit_subject;
            proxy_set_header X-User $user; proxy_pass http://127.0.0.1:{api}; }} }}
        server {{ listen 127.0.0.1:{api}; location / {{ return 200 "$http_x_user"; }} }}
        """,
        front,
        api,
    )
    auth = admit(issuer=f"http://127.0.0.1:{front}", trusted_proxies=("127.0.0.1",))
    async with behind_proxy("fastapi", auth, clock, application) as stand:
        alice = await stand.person()
        tokens, session = await stand.signed_in(), await stand.signed_in(deliver="session")
        _, program = await stand.keyed(tokens, "read:posts")
        _, narrow = await stand.keyed(tokens)
        forged = {"X-User": "usr_root", "X-Admit-Subject": "usr_root", "X-Original-Method": "GET"}
        for caller in (tokens, session, program):
            answer = await caller.get("/anything", headers=forged)
            assert (answer.status_code, answer.text) == (200, alice)
        answer = await stand.caller().get("/anything", headers=forged)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer realm=")
        assert (await narrow.get("/anything")).status_code == 403
        posted = await session.post("/anything", content=b"x" * 100, headers=forged)
        assert (posted.status_code, posted.text) == (200, alice)
        del session.headers["X-CSRF-Token"]
        # nginx says the method; what the client says of it does not count
        assert (await session.post("/anything", headers=forged)).status_code == 403
        assert (await session.get("/anything")).status_code == 200
        clock.advance(timedelta(minutes=16))
        assert (await tokens.get("/anything")).status_code == 401
        await stand.disable(alice)
        assert (await program.get("/anything")).status_code == 401


async def test_an_own_account_is_deleted_with_everything(house: Stand) -> None:
    await house.person()
    client, tokens = await house.signed_in(deliver="session"), await house.signed_in()
    _, program = await house.keyed(tokens)

    async def delete(password: str) -> httpx2.Response:
        return await client.request("DELETE", "/auth/me", json={"password": password})

    assert code(await delete("Wrong Horse 9 Battery!")) == (401, "login_failed")
    assert (await delete(PASSWORD)).status_code == 204
    for caller in (client, tokens, program):
        assert (await caller.get("/protected")).status_code == 401
    assert code(await login(house.caller())) == (401, "login_failed")
    await house.person()  # the name is free again
