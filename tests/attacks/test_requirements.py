"""Rows of the security requirements that no flow proves on its way."""

from __future__ import annotations

import ast
import os
import re
import sys
from collections import Counter
from datetime import timedelta
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest

from admit.ground.events import Via
from tests.attacks.conftest import Make
from tests.attacks.wire import Wire
from tests.flows.stand import PASSWORD, Stand, code, login, set_cookies

SOURCES = sorted(Path(__file__).parents[2].joinpath("src/admit").rglob("*"))
NAMES = ("admit-session", "admit-access", "admit-refresh")


@pytest.mark.proof("ASVS-6.2.10")
async def test_no_password_has_to_be_changed_for_its_age(stand: Stand) -> None:
    await stand.person("alice", mail=False)
    stand.clock.advance(timedelta(days=400))
    answer = await login(stand.caller(), "alice")
    assert answer.status_code == 200
    assert not {name for name in answer.json() if "change" in name}


@pytest.mark.proof("ASVS-7.2.3", "ASVS-11.5.1")
async def test_session_secrets_are_random_and_long(stand: Stand) -> None:
    await stand.person("alice", mail=False)
    account = await stand.account("alice")
    sessions = stand.auth.rooms.delivery.sessions
    tokens = await stand.write(lambda tx: [sessions.start(tx, account.id, (), Via()).token for _ in range(2000)])
    assert len(set(tokens)) == 2000
    length = len(tokens[0])
    moving = [place for place in range(length) if len({token[place] for token in tokens}) > 20]
    # 62 letters hold almost 6 bits each; what is alike in all tokens (tenant, version) does not count
    assert len(moving) * 5.95 >= 128
    for place in moving[1:-8]:
        commonest = Counter(token[place] for token in tokens).most_common(1)[0][1]
        assert commonest < 2000 * 0.06, place


@pytest.mark.proof("ASVS-7.6.2")
async def test_no_answer_to_a_get_signs_anybody_in(stand: Stand) -> None:
    wire = Wire(stand)
    paths = [path for method, path, _ in wire.operations() if method == "GET"]
    pages = [f"/auth/ui/{name}" for name in ("login", "register", "forgot", "reset", "verify", "account")]
    for path in (*paths, *pages):
        client = stand.caller()
        await client.get(path.replace("{", "").replace("}", ""), headers={"Sec-Fetch-Site": "none"})
        assert not {cookie.name for cookie in client.cookies.jar} & set(NAMES), path
    assert (await stand.caller().get("/auth/login")).status_code == 405


@pytest.mark.proof("ASVS-7.5.3", "ASVS-10.3.4")
async def test_what_cannot_be_undone_asks_once_more(stand: Stand) -> None:
    await stand.person("alice", mail=False)
    caller = await stand.signed_in("alice")
    stand.clock.advance(timedelta(minutes=6))
    stale = await caller.get("/sensitive")
    assert code(stale) == (401, "step_up_required")
    challenge = stale.headers["www-authenticate"]
    assert 'error="insufficient_user_authentication"' in challenge
    assert 'max_age="300"' in challenge
    assert (await caller.request("DELETE", "/auth/me", json={})).status_code == 422
    assert code(await caller.request("DELETE", "/auth/me", json={"password": "x"})) == (401, "login_failed")
    assert (await caller.post("/auth/reauthenticate", json={"password": PASSWORD})).status_code == 204
    assert (await caller.get("/sensitive")).status_code == 200
    assert (await caller.request("DELETE", "/auth/me", json={"password": PASSWORD})).status_code == 204


@pytest.mark.proof("ASVS-10.3.2")
async def test_scopes_decide_and_the_challenge_names_them(stand: Stand) -> None:
    await stand.person("alice", mail=False)
    caller = await stand.signed_in("alice")
    refused = await caller.delete("/posts/1")
    assert code(refused) == (403, "insufficient_scope")
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert 'scope="delete:posts"' in refused.headers["www-authenticate"]


@pytest.mark.proof("ASVS-10.3.3")
async def test_whoever_takes_a_name_anew_is_somebody_else(stand: Stand) -> None:
    await stand.person("alice", mail=False)
    before = await stand.signed_in("alice")
    old = (await before.get("/protected")).json()["who"]
    assert (await before.request("DELETE", "/auth/me", json={"password": PASSWORD})).status_code == 204
    new = await stand.person("alice", mail=False)
    assert new != old
    assert (await before.get("/protected")).status_code == 401
    assert (await (await stand.signed_in("alice")).get("/protected")).json()["who"] == new


@pytest.mark.proof("ASVS-1.2.1", "ASVS-3.4.6", "ASVS-3.4.8", "ASVS-7.4.4")
async def test_pages_show_what_was_typed_as_text_only(stand: Stand) -> None:
    await stand.person("alice", mail=False)
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
    client = stand.caller()
    form = await client.get("/auth/ui/login")
    fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form.text))
    shown = await client.post("/auth/ui/login", data={**fields, "identifier": evil, "password": "x"})
    assert "<script>alert" not in shown.text
    assert "<img src=x" not in shown.text
    for page in (
        form,
        shown,
        await client.get(f"/auth/ui/login?next={evil}"),
        await client.get(f"/auth/ui/reset?ticket={evil}"),
    ):
        assert "<script>alert" not in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert page.headers["cross-origin-opener-policy"] == "same-origin"
    signed_in = await stand.signed_in("alice", "session")
    account = await signed_in.get("/auth/ui/account")
    assert account.status_code == 200
    assert re.search(r'<form[^>]*method="post"[^>]*action="[^"]*/ui/logout"', account.text)


@pytest.mark.proof("ASVS-1.2.2", "ASVS-3.7.2")
async def test_no_address_leads_away(stand: Stand) -> None:
    await stand.person("alice", mail=False)
    goals = (
        "//evil.example", "///evil.example", "////evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
        "/%09/evil.example", "https:evil.example", "https://evil.example", "http:/evil.example", "javascript:alert(1)",
        "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "@evil.example", "//127.0.0.1:8000@evil.example",
        "/\u2215\u2215evil.example", "\u3000//evil.example", " //evil.example", "/./\\evil.example", "//evil.example/%2e%2e",
        "/\r\nLocation: https://evil.example", "%2f%2fevil.example", ".evil.example", "?next=//evil.example", "//[::1]", "",
    )  # fmt: skip
    for goal in goals:
        client = stand.caller()
        form = await client.get("/auth/ui/login", params={"next": goal})
        fields = dict(re.findall(r'<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"', form.text))
        answer = await client.post(
            "/auth/ui/login", params={"next": goal},
            data={**fields, "identifier": "alice", "password": PASSWORD, "next": goal},
        )  # fmt: skip
        assert answer.status_code == 303, (goal, answer.status_code)
        where = answer.headers["location"]
        assert re.match(r"/(?![/\\])[\x21-\x7e]*$", where), (goal, where)
        assert "\\" not in where, (goal, where)


@pytest.mark.proof("ASVS-3.2.1", "ASVS-13.4.6", "ASVS-13.4.2")
async def test_answers_are_no_pages_and_name_no_versions(stand: Stand) -> None:
    wire = await Wire(stand).prepared()
    assert stand.auth.site().app.debug is False
    for method, path, _ in wire.operations():
        for headers in ((), wire.admin):
            reply = await wire.send(method if method != "DELETE" else "GET", wire.filled(path), headers)
            assert reply.headers[b"x-content-type-options"] == b"nosniff", path
            policy = reply.headers[b"content-security-policy"]
            assert policy == b"default-src 'none'; frame-ancestors 'none'", path
            assert reply.headers.get(b"content-type", b"application/json") in (
                b"application/json",
                b"application/problem+json",
            )
            assert not {b"server", b"x-powered-by", b"via"} & reply.headers.keys()


@pytest.mark.proof("ASVS-14.3.1")
@pytest.mark.parametrize("deliver", ["cookie", "session", "spa"])
async def test_signing_out_leaves_nothing_in_the_browser(stand: Stand, deliver: str) -> None:
    await stand.person("alice", mail=False)
    client = await stand.signed_in("alice", deliver)
    answer = await client.post("/auth/logout")
    assert answer.status_code == 204
    assert answer.headers["clear-site-data"] == '"storage"'
    gone = set_cookies(answer)
    assert set(gone) == set(NAMES)
    assert all(cookie["max-age"] == "0" and not cookie["value"] for cookie in gone.values())
    assert not {cookie.name for cookie in client.cookies.jar} & set(NAMES)


@pytest.mark.proof("ASVS-3.3.5")
async def test_a_cookie_that_browsers_would_drop_is_not_sent(make: Make) -> None:
    def large(person: Any, **more: Any) -> dict[str, Any]:
        return {"https://app.example/blob": "x" * 6000}

    async with make(claims=large) as stand:
        await stand.person("alice", mail=False)
        answer = await login(stand.caller(), "alice", "cookie")
        assert (answer.status_code, answer.headers.get("set-cookie")) == (500, None)
        assert answer.json()["code"] == "internal"
        assert (await login(stand.caller(), "alice", "session")).status_code == 200
    async with make() as stand:
        await stand.person("alice", "editor", "admin", "verifier", mail=False)
        for deliver in ("cookie", "session", "spa"):
            for name, cookie in set_cookies(await login(stand.caller(), "alice", deliver)).items():
                assert len(name) + len(cookie["value"]) < 4096


@pytest.mark.proof("ASVS-11.3.2", "RFC8725bis-3.13", "RFC8725bis-3.15")
def test_stored_secrets_are_sealed_with_aes_gcm_alone() -> None:
    named = Counter(
        name
        for source in SOURCES
        if source.suffix == ".py"
        for name in re.findall(
            r"\b(AESGCM|ChaCha20Poly1305|AESCCM|Cipher|Fernet|CBC|ECB|CTR)\b", source.read_text("utf-8")
        )
    )
    assert set(named) == {"AESGCM"}


@pytest.mark.proof("ASVS-11.2.1")
def test_cryptography_is_others_and_random_is_the_systems() -> None:
    wanted = {re.split(r"[ <>=\[;]", line)[0] for line in requires("admit") or ()}
    assert {"cryptography", "joserfc", "argon2-cffi"} <= wanted
    for source in SOURCES:
        if source.suffix != ".py":
            continue
        tree = ast.parse(source.read_text("utf-8"))
        imported = {
            name.name.partition(".")[0]
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for name in node.names
        } | {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & {"Crypto", "Cryptodome", "rsa", "ecdsa", "nacl", "jwt", "jose"}, source


@pytest.mark.proof("ASVS-11.2.4")
def test_secrets_are_compared_in_constant_time() -> None:
    """No `==` or `!=` between values whose name says that they are a secret, a digest or a MAC.

    In SQL the digest of 128 random bits and more is looked up in an index: how far it matches tells nothing of the
    secret. And a password may be compared with its own normal form.
    """
    telling = re.compile(r"(^|_)(digest|mac|hmac|secret|password|signature|proof)s?$")
    found = []
    for source in SOURCES:
        if source.suffix != ".py" or source.parent.name == "sql":
            continue
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if not isinstance(node, ast.Compare) or not isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
                continue
            sides = [node.left, node.comparators[0]]
            names = [side.attr if isinstance(side, ast.Attribute) else getattr(side, "id", "") for side in sides]
            if any(telling.search(name) for name in names) and not any(
                isinstance(side, ast.Constant) for side in sides
            ):
                found.append(f"{source.name}:{node.lineno} {ast.unparse(node)}")
    assert [one for one in found if not re.match(r"hashing\.py:\d+ text == password$", one)] == []


@pytest.mark.proof("ASVS-14.3.3")
def test_no_shipped_script_stores_anything() -> None:
    scripts = [path for path in SOURCES if path.suffix in (".js", ".html", ".j2", ".jinja")]
    assert scripts
    for script in scripts:
        assert not re.search(
            r"localStorage|sessionStorage|indexedDB|document\.cookie\s*=", script.read_text("utf-8")
        ), script


@pytest.mark.proof("ASVS-8.4.1")
async def test_another_tenants_rows_are_not_there(stand: Stand) -> None:
    """The tenant is part of every key; there is one tenant over HTTP, so the other one is written past it."""
    import sqlalchemy as sa

    from admit.stores.sql import schema

    wire = await Wire(stand).prepared()
    goat = (await stand.account("goat")).id
    key = wire.ids["key_id"]

    def move(tx: Any) -> None:
        tx.connection.execute(sa.text("PRAGMA defer_foreign_keys = ON"))
        tx.connection.execute(sa.insert(schema.tenants).from_select(
            [column.name for column in schema.tenants.c],
            sa.select(*(sa.literal(2) if column.name == "id" else column for column in schema.tenants.c)),
        ))  # fmt: skip
        for table in schema.metadata.sorted_tables:
            if "tenant" in table.c and ("user_id" in table.c or table is schema.users):
                column = table.c.id if table is schema.users else table.c.user_id
                tx.connection.execute(sa.update(table).where(column == goat).values(tenant=2))

    await stand.write(move)
    for method, path in (("GET", ""), ("DELETE", "")):
        reply = await wire.send(method, f"/auth/admin/users/{wire.ids['user_id']}{path}", wire.admin)
        assert (reply.status, reply.code) == (404, "not_found")
    listed = await wire.send("GET", "/auth/admin/users", wire.admin)
    assert wire.ids["user_id"].encode() not in listed.content
    assert code(await login(stand.caller(), "goat")) == (401, "login_failed")
    assert (await wire.send("GET", f"/auth/api-keys/{key}", wire.admin)).status == 200


@pytest.mark.proof("ASVS-6.2.12")
async def test_leaked_passwords_are_refused(stand: Stand) -> None:
    """The bundled list is of leaked passwords; it is asked without a word leaving the house."""
    for number, password in enumerate(("Password1234!", "P@ssw0rd!2024", "Qwertyuiop123!", "Iloveyou2024!!")):
        answer = await stand.caller().post(
            "/auth/register", json={"username": f"someone{number}", "password": password}
        )
        assert code(answer) == (422, "password_too_common"), password


_WATCHED: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _WATCHED is None:
        return
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        _WATCHED.append(f"writes {arguments[0]!r}")
    elif event in ("socket.connect", "socket.sendto", "subprocess.Popen", "os.system", "syslog.openlog"):
        _WATCHED.append(f"{event} {arguments[1:]!r}")


@pytest.mark.proof("ASVS-16.2.3")
async def test_nothing_is_written_or_sent_but_where_the_settings_say(make: Make, tmp_path: Path) -> None:
    """Sign-ins, refusals and a key, watched by the interpreter's own audit hook."""
    global _WATCHED  # noqa: PLW0603
    sys.addaudithook(_hook)
    async with make(database=f"sqlite:///{tmp_path / 'db.sqlite3'}", run_directory=tmp_path) as stand:
        await stand.person("warm", mail=False)
        _WATCHED = found = []
        try:
            await stand.person("alice", "editor")
            caller = await stand.signed_in("alice")
            await stand.keyed(caller, "read:posts")
            await login(stand.caller(), "alice", password="no")
            await stand.caller().get("/protected", headers={"Authorization": "Bearer x.y.z"})
            await stand.caller().post("/auth/password/forgot", json={"identifier": "alice"})
            await stand.auth.rooms.observed.flush()
        finally:
            _WATCHED = None
    assert [one for one in found if str(tmp_path) not in one] == []
    # and the hook does see what is written elsewhere
    _WATCHED = seen = []
    try:
        tmp_path.parent.joinpath("elsewhere").write_text("x", "utf-8")
    finally:
        _WATCHED = None
    assert len(seen) == 1
