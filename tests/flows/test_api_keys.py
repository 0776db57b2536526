"""API keys and service accounts as their owners and programs meet them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from admit.ground.events import Via
from tests.flows.conftest import Open
from tests.flows.stand import WIDE, Stand, code


def moment(stand: Stand, later: timedelta) -> str:
    """A time from now, as JSON."""
    return (datetime.fromtimestamp(stand.clock.now() / 1_000_000, UTC) + later).isoformat()


async def listed(owner: httpx2.AsyncClient) -> list[dict[str, Any]]:
    """The keys as their owner sees them."""
    rows = (await owner.get("/auth/api-keys")).json()["api_keys"]
    assert isinstance(rows, list)
    return rows


@pytest.mark.proof("CS-REST-keys", "ASVS-14.2.6", "ASVS-15.3.3", "ASVS-8.2.2", "ASVS-15.3.1")
async def test_the_life_of_a_key(stand: Stand) -> None:
    alice = await stand.person("alice", "editor")
    await stand.person("mallory")
    owner, mallory = await stand.signed_in(), await stand.signed_in("mallory")
    made = await owner.post(
        "/auth/api-keys", json={"name": "Production Server", "scopes": ["read:posts", "delete:posts"]}
    )
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    body = made.json()
    key, identifier = body.pop("key"), body["id"]
    program = stand.caller(**{"X-API-Key": key})
    # shown once; afterwards its beginning and its last letters
    assert (await listed(owner))[0] == body
    assert key not in (await owner.get("/auth/api-keys")).text
    assert body["hint"].split("…")[0] == key[: len("admit_plive_")]
    assert key.endswith(body["hint"].split("…")[1])
    seen = (await program.get("/protected")).json()
    assert seen == {
        "who": alice, "by": "api_key", "name": "Production Server", "scopes": ["delete:posts", "read:posts"],
        "claims": {},
    }  # fmt: skip
    assert (await program.delete("/posts/7")).json()["deleted"] == 7
    # its use is visible once it was written
    await stand.auth.rooms.usage.flush()
    row = (await listed(owner))[0]
    assert (row["uses"], row["last_address"]) == (2, "127.0.0.2" if stand.over_sockets else "203.0.113.7")
    assert row["last_used_at"] is not None
    # another person's is not there, by any verb
    path = f"/auth/api-keys/{identifier}"
    for answer in (
        await mallory.get(path),
        await mallory.patch(path, json={"name": "x"}),
        await mallory.post(f"{path}/rotate"),
        await mallory.delete(path),
        await owner.get("/auth/api-keys/key_nonsense"),
    ):
        assert code(answer) == (404, "not_found")
    # renamed and rescoped in place
    answer = await owner.patch(path, json={"name": "CI/CD", "scopes": ["read:posts"]})
    assert (answer.json()["name"], answer.json()["scopes"]) == ("CI/CD", ["read:posts"])
    answer = await program.delete("/posts/7")
    assert code(answer) == (403, "insufficient_scope")
    assert answer.json()["scopes"] == ["delete:posts"]
    assert 'scope="delete:posts"' in answer.headers["www-authenticate"]
    assert (await program.get("/protected")).json()["name"] == "CI/CD"
    # off, on, gone
    assert (await owner.patch(path, json={"disabled": True})).json()["disabled"] is True
    assert code(await program.get("/protected")) == (401, "api_key_disabled")
    await owner.patch(path, json={"disabled": False})
    assert (await program.get("/protected")).status_code == 200
    assert (await owner.delete(path)).status_code == 204
    assert code(await program.get("/protected")) == (401, "api_key_invalid")
    assert code(await owner.delete(path)) == (404, "not_found")
    assert await listed(owner) == []
    for field in ({"user_id": "usr_x"}, {"tenant": 2}, {"key": "x"}, {"owner": alice}, {"environment": "test"}):
        assert code(await owner.post("/auth/api-keys", json={"name": "x", **field})) == (422, "invalid_input")


@pytest.mark.proof("CS-REST-keys")
async def test_keys_expire_and_rotate_in_place(stand: Stand) -> None:
    await stand.person()
    owner = await stand.signed_in(deliver="session")
    identifier, old = await stand.keyed(owner, "read:posts")
    _, short = await stand.keyed(owner, expires_at=moment(stand, timedelta(hours=1)))
    past = {"name": "x", "expires_at": moment(stand, timedelta(0))}
    assert code(await owner.post("/auth/api-keys", json=past)) == (422, "invalid_input")
    assert (await short.get("/protected")).status_code == 200
    answer = await owner.post(f"/auth/api-keys/{identifier}/rotate")
    assert (answer.status_code, answer.json()["id"]) == (200, identifier)
    new = stand.caller(**{"X-API-Key": answer.json()["key"]})
    for program in (old, new):
        assert (await program.get("/protected")).status_code == 200
    stand.clock.advance(timedelta(hours=1))
    assert code(await short.get("/protected")) == (401, "api_key_expired")
    assert (await old.get("/protected")).status_code == 200
    stand.clock.advance(timedelta(hours=23))
    assert code(await old.get("/protected")) == (401, "api_key_expired")
    assert (await new.get("/protected")).status_code == 200
    # at once, and by the program itself
    answer = await new.post(f"/auth/api-keys/{identifier}/rotate", json={"overlap_seconds": 0})
    assert answer.status_code == 200
    assert code(await new.get("/protected")) == (401, "api_key_expired")
    newest = stand.caller(**{"X-API-Key": answer.json()["key"]})
    assert (await newest.get("/protected")).status_code == 200


@pytest.mark.proof("ASVS-8.2.1")
async def test_what_a_key_may_not_do(stand: Stand) -> None:
    await stand.person("alice", "editor")
    owner = await stand.signed_in()
    mine, program = await stand.keyed(owner, "read:posts")
    other, _ = await stand.keyed(owner, "read:posts")
    for method, path, body in (
        ("GET", "api-keys", None), ("POST", "api-keys", {"name": "a second one"}), ("GET", f"api-keys/{mine}", None),
        ("PATCH", f"api-keys/{mine}", {"scopes": ["delete:posts"]}), ("DELETE", f"api-keys/{other}", None),
        ("POST", f"api-keys/{other}/rotate", None), ("PATCH", "me", {"profile": {}}), ("GET", "sessions", None),
        ("DELETE", "me", {"password": "x"}), ("POST", "password/change", {"current": "x", "new": "y"}),
        ("DELETE", "sessions", None), ("POST", "logout", None), ("GET", "service-accounts", None),
        ("POST", "api-keys/verify", {"key": "x"}), ("GET", "admin/users", None),
    ):  # fmt: skip
        answer = await program.request(method, f"/auth/{path}", json=body)
        assert code(answer) == (403, "insufficient_scope"), (method, path)
    # nobody gives away more than they hold
    answer = await owner.post("/auth/api-keys", json={"name": "x", "scopes": ["admit:admin"]})
    assert code(answer) == (403, "insufficient_scope")
    answer = await owner.post("/auth/api-keys", json={"name": "x", "scopes": ["no:such"]})
    assert code(answer) == (422, "scope_unknown")


@pytest.mark.proof("ASVS-8.3.2", "ASVS-7.4.2")
async def test_a_key_dies_with_its_owners_rights(stand: Stand) -> None:
    alice = await stand.account_id("alice", "editor")
    owner = await stand.signed_in()
    session = await stand.signed_in(deliver="session")
    _, program = await stand.keyed(owner, "read:posts", "delete:posts")
    callers = (program, owner, session)
    for caller in callers:
        assert (await caller.delete("/posts/1")).status_code == 200
    accounts = stand.auth.rooms.accounts
    await stand.write(lambda tx: accounts.revoke(tx, alice, ["editor"], Via()))
    for caller in callers:
        assert code(await caller.delete("/posts/1")) == (403, "insufficient_scope")
        assert (await caller.get("/protected")).status_code == 200
    await stand.write(lambda tx: accounts.grant(tx, alice, ["editor"], Via()))
    for caller in callers:
        assert (await caller.delete("/posts/1")).status_code == 200
    await stand.write(lambda tx: accounts.disable(tx, alice, Via()))
    assert code(await program.delete("/posts/1")) == (401, "api_key_disabled")
    await stand.write(lambda tx: accounts.enable(tx, alice, Via()))
    assert (await program.delete("/posts/1")).status_code == 200


async def test_asking_whether_a_key_is_valid(stand: Stand) -> None:
    alice = await stand.person("alice")
    await stand.person("gateway", "verifier")
    owner, gateway = await stand.signed_in(), await stand.signed_in("gateway")
    identifier, program = await stand.keyed(owner, "read:posts", limit={"hits": 10, "seconds": 60})
    key = program.headers["X-API-Key"]
    body: dict[str, Any] = {"key": key}
    assert code(await owner.post("/auth/api-keys/verify", json=body)) == (403, "insufficient_scope")
    assert code(await stand.caller().post("/auth/api-keys/verify", json=body)) == (401, "not_authenticated")

    async def asked(*scopes: str, text: str = key) -> dict[str, Any]:
        answer = await gateway.post("/auth/api-keys/verify", json={"key": text, "scopes": [*scopes]})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    verdict = {
        "valid": True, "code": "valid", "owner": alice, "id": identifier, "name": "Production Server",
        "scopes": ["read:posts"], "limit": {"hits": 10, "seconds": 60},
    }  # fmt: skip
    assert await asked() == verdict
    assert await asked("read:posts") == verdict
    assert await asked("delete:posts") == {**verdict, "valid": False, "code": "insufficient_scope"}
    for text in ("x", key[:-1] + ("A" if key[-1] != "A" else "B"), key.replace("_plive_", "_ptest_")):
        assert await asked(text=text) == {"valid": False, "code": "api_key_invalid"}
    await owner.patch(f"/auth/api-keys/{identifier}", json={"disabled": True})
    assert await asked() == {"valid": False, "code": "api_key_disabled"}
    await owner.patch(
        f"/auth/api-keys/{identifier}", json={"disabled": False, "expires_at": moment(stand, timedelta(minutes=1))}
    )
    assert (await asked())["valid"] is True
    stand.clock.advance(timedelta(minutes=1))
    assert await asked() == {"valid": False, "code": "api_key_expired"}


async def test_service_accounts(mount: str, opened: Open) -> None:
    async with opened(mount, limits=WIDE) as stand:
        alice = await stand.account_id("alice", "editor")
        await stand.person("mallory")
        owner, mallory = await stand.signed_in(), await stand.signed_in("mallory")
        answer = await owner.post("/auth/service-accounts", json={"name": "Backups", "roles": ["editor"]})
        assert answer.status_code == 201
        robot = answer.json()["id"]
        assert (await owner.get("/auth/service-accounts")).json()["service_accounts"] == [
            {"id": robot, "name": "Backups", "roles": ["editor"]}
        ]
        # with at most the roles of its owner
        answer = await owner.post("/auth/service-accounts", json={"name": "x", "roles": ["admin"]})
        assert code(answer) == (403, "insufficient_scope")
        identifier, program = await stand.keyed(owner, "delete:posts", service_account=robot)
        assert program.headers["X-API-Key"].startswith("admit_slive_")
        assert (await program.delete("/posts/1")).json()["who"] == robot
        assert [row["id"] for row in await listed(owner)] == [identifier]
        # nobody else makes its keys, sees or ends it; it has no password to sign in with
        answer = await mallory.post("/auth/api-keys", json={"name": "x", "service_account": robot})
        assert code(answer) == (404, "not_found")
        assert code(await mallory.delete(f"/auth/service-accounts/{robot}")) == (404, "not_found")
        assert code(await mallory.delete(f"/auth/api-keys/{identifier}")) == (404, "not_found")
        for name in ("Backups", robot):
            answer = await stand.caller().post("/auth/login", json={"identifier": name, "password": "x"})
            assert code(answer) == (401, "login_failed")
        # it lives and dies with the person who answers for it
        accounts = stand.auth.rooms.accounts
        await stand.write(lambda tx: accounts.revoke(tx, alice, ["editor"], Via()))
        assert code(await program.delete("/posts/1")) == (403, "insufficient_scope")
        await stand.write(lambda tx: accounts.grant(tx, alice, ["editor"], Via()))
        assert (await program.delete("/posts/1")).status_code == 200
        await stand.write(lambda tx: accounts.disable(tx, alice, Via()))
        assert code(await program.delete("/posts/1")) == (401, "api_key_disabled")
        await stand.write(lambda tx: accounts.enable(tx, alice, Via()))
        owner = await stand.signed_in()
        assert (await owner.delete(f"/auth/service-accounts/{robot}")).status_code == 204
        assert code(await program.delete("/posts/1")) == (401, "api_key_invalid")


@pytest.mark.proof("ASVS-14.2.1", "ASVS-7.2.2")
async def test_a_key_in_the_wrong_place_is_none(stand: Stand) -> None:
    await stand.person()
    owner = await stand.signed_in()
    _, program = await stand.keyed(owner)
    key, token = program.headers["X-API-Key"], owner.headers["Authorization"].removeprefix("Bearer ")
    caller = stand.caller()
    for query in ({"api_key": key}, {"access_token": token}, {"X-API-Key": key}, {"token": token}, {"session": key}):
        assert code(await caller.get("/protected", params=query)) == (401, "not_authenticated")
    for cookie in (f"admit-session={key}", f"admit-access={key}", f"X-API-Key={key}"):
        assert (await caller.get("/protected", headers={"Cookie": cookie})).status_code == 401
    for text in (token, f"Bearer {key}", f"{key},{key}", f'"{key}"'):
        assert code(await caller.get("/protected", headers={"X-API-Key": text})) == (401, "api_key_invalid")
