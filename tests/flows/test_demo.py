"""The demo as `make demo` runs it: state, accounts, stories, a second start, Ctrl-C. And its application in process."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from html import unescape
from pathlib import Path

import httpx2
import pytest
from asgi_lifespan import LifespanManager

from admit.demo.accounts import Cast
from admit.demo.home import Home
from admit.demo.launch import application, prepare
from admit.demo.trials import STRATEGIES
from admit.ground.errors import SettingsError
from tests.parts.servers import Server, Servers

PORT = 8000


@pytest.fixture
async def cast(tmp_path: Path) -> Cast:
    """Everyone in a fresh demo."""
    return await prepare(Home(tmp_path), PORT)


@pytest.fixture
async def visitor(cast: Cast, tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser at the demo, called in process."""
    async with LifespanManager(application(Home(tmp_path))) as manager:
        transport = httpx2.ASGITransport(manager.app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}") as client:
            yield client


def stories(server: Server) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-eu", ".admit/stories.sh"], cwd=server.cwd, capture_output=True, text=True, timeout=120, check=False
    )


def test_the_stories_run_and_run_again_after_a_second_start(servers: Servers, tmp_path: Path) -> None:
    server = servers.admit(verb="demo", cwd=tmp_path)
    script = (tmp_path / ".admit/stories.sh").read_text("utf-8")
    assert script.count("curl -sS --fail-with-body") >= 20
    for _ in range(2):
        done = stories(server)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.rstrip().endswith("All four stories went as told.\x1b[0m")
    kept = (tmp_path / ".admit/demo-accounts.json").read_text("utf-8")
    said = server.output()
    assert f"http://127.0.0.1:{server.port}" in said
    for secret in [*(one["password"] for one in json.loads(kept)["people"]), json.loads(kept)["api_key"]]:
        assert secret in said
    for line in re.findall(r"^refused 40\d .*$", script, re.M):
        assert line in said, "what is printed is what the script runs"
    os.kill(server.pid, signal.SIGINT)  # Ctrl-C
    assert server.terminate() == 0
    assert "Traceback" not in server.output()
    again = servers.admit(verb="demo", cwd=tmp_path)
    assert (tmp_path / ".admit/demo-accounts.json").read_text("utf-8") == kept
    assert stories(again).returncode == 0


def test_a_story_that_goes_otherwise_fails(servers: Servers, tmp_path: Path) -> None:
    server = servers.admit(verb="demo", cwd=tmp_path)
    script = tmp_path / ".admit/stories.sh"
    told = script.read_text("utf-8")
    for right, wrong in (
        ("\nrefused 403", "\nrefused 404"),
        ("\nrefused 403 curl", "\nrefused 403 true"),
        ('"session"', '"no"'),
    ):
        script.write_text(told.replace(right, wrong, 1), "utf-8")
        assert stories(server).returncode != 0, wrong


def test_a_port_that_is_taken_is_said_before_anything_is_written(servers: Servers, tmp_path: Path) -> None:
    from admit.demo import run

    server = servers.admit(verb="demo", cwd=tmp_path)
    other = tmp_path / "other"
    with pytest.raises(SettingsError, match=f"port {server.port} is taken.*PORT={server.port + 1}"):
        run(server.port, Home(other))
    assert not other.exists()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_everything_is_its_owners_alone(cast: Cast, tmp_path: Path) -> None:
    assert mode(tmp_path) == 0o700
    for name in ("demo.toml", "demo-accounts.json", "secret"):
        assert mode(tmp_path / name) == 0o600, name
    assert cast.api_key not in repr(cast)
    assert all(person.password not in repr(cast) for person in cast.people)


async def test_lost_secrets_are_made_anew(cast: Cast, tmp_path: Path) -> None:
    (tmp_path / "demo-accounts.json").unlink()
    fresh = await prepare(Home(tmp_path), PORT)
    assert fresh.api_key != cast.api_key
    assert {one.password for one in fresh.people}.isdisjoint(one.password for one in cast.people)
    async with LifespanManager(application(Home(tmp_path))) as manager:
        transport = httpx2.ASGITransport(manager.app)
        async with httpx2.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}") as client:
            for known, status in ((cast, 401), (fresh, 200)):
                body = {"identifier": "editor", "password": known.password("editor")}
                assert (await client.post("/auth/login", json=body)).status_code == status
            assert (await client.get("/posts", headers={"X-API-Key": fresh.api_key})).status_code == 200


async def test_the_environment_does_not_lead_the_demo_to_another_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    monkeypatch.setenv("ADMIT_DATABASE", f"sqlite:///{tmp_path}/real.sqlite3")
    await prepare(Home(tmp_path / "demo"), PORT)
    assert not (tmp_path / "real.sqlite3").exists()


async def test_posts_keep_their_author_whatever_they_came_with(
    visitor: httpx2.AsyncClient, cast: Cast, tmp_path: Path
) -> None:  # fmt: skip
    authors = set()
    tokens = (await visitor.post("/auth/login", json=login(cast, "editor"))).json()
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    session = (await visitor.post("/auth/login", json=login(cast, "editor", "session"))).json()
    for headers in (bearer, {"X-CSRF-Token": session["csrf_token"]}):
        made = await visitor.post("/posts", json={"title": "t", "body": "b"}, headers=headers)
        assert (made.status_code, set(made.json())) == (201, {"id"})
        authors.add((await visitor.get(f"/posts/{made.json()['id']}", headers=headers)).json()["author"])
        if headers is bearer:
            assert (await visitor.delete(f"/posts/{made.json()['id']}", headers=headers)).status_code == 204
            assert (await visitor.delete(f"/posts/{made.json()['id']}", headers=headers)).status_code == 404
    assert len(authors) == 1
    visitor.cookies.clear()
    key = {"X-API-Key": cast.api_key}
    made = await visitor.post("/posts", json={"title": "t", "body": "b"}, headers=key)
    assert (await visitor.get(f"/posts/{made.json()['id']}", headers=key)).json()["author"] not in authors
    assert (await visitor.delete("/posts/1", headers=key)).status_code == 403
    for path in ("0", "-1", "x", str(2**63), "1.5"):
        assert (await visitor.get(f"/posts/{path}", headers=key)).status_code == 422, path
    for body in ({}, {"title": ""}, {"title": "t", "body": "b", "author": "usr_x"}, {"title": 1, "body": "b"}, []):
        assert (await visitor.post("/posts", json=body, headers=key)).status_code == 422, body
    with closing(sqlite3.connect(tmp_path / "admit.sqlite3")) as own:
        keys = own.execute("PRAGMA foreign_key_list(posts)").fetchall()
        assert {(key[2], key[3], key[4]) for key in keys} == {
            ("admit_users", "tenant", "tenant"), ("admit_users", "author", "id"),
        }  # fmt: skip


def login(cast: Cast, name: str, deliver: str = "tokens") -> dict[str, str]:
    return {"identifier": name, "password": cast.password(name), "deliver": deliver}


async def test_a_deleted_person_takes_their_posts_along(visitor: httpx2.AsyncClient, cast: Cast) -> None:
    tokens = (await visitor.post("/auth/login", json=login(cast, "editor"))).json()
    body = {"password": cast.password("editor")}
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await visitor.request("DELETE", "/auth/me", json=body, headers=headers)).status_code == 204
    tokens = (await visitor.post("/auth/login", json=login(cast, "member"))).json()
    left = await visitor.get("/posts", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert left.json()["posts"] == []


async def test_operations_are_open(visitor: httpx2.AsyncClient) -> None:
    assert (await visitor.get("/healthz")).status_code == 200
    assert (await visitor.get("/readyz")).status_code == 200
    assert "admit_requests" in (await visitor.get("/metrics")).text
    assert (await visitor.get("/docs")).status_code == 200
    operation = (await visitor.get("/openapi.json")).json()["paths"]["/posts/{post_id}"]["delete"]
    assert [scopes for one in operation["security"] for scopes in one.values() if scopes] == [["delete:posts"]] * 3


#: trial -> the status of its last answer, as member and (where it differs) as editor
EXPECTED = {
    ("jwt", "read"): (200, 200), ("jwt", "write"): (403, 201), ("jwt", "delete"): (403, 204),
    ("jwt", "reused"): (401, 401), ("jwt", "altered"): (401, 401), ("jwt", "revoked"): (401, 401),
    ("session", "read"): (200, 200), ("session", "write"): (403, 201), ("session", "delete"): (403, 204),
    ("session", "no-token"): (403, 403), ("session", "cross-site"): (403, 403), ("session", "ended"): (401, 401),
    ("key", "read"): (200, 200), ("key", "write"): (201, 201), ("key", "delete"): (403, 403),
    ("key", "altered"): (401, 401), ("key", "twice"): (400, 400),
    ("spa", "refresh"): (200, 200), ("spa", "write"): (403, 201), ("spa", "no-token"): (403, 403),
}  # fmt: skip
WORDS = {
    ("jwt", "write"): "Missing: write:posts.", ("jwt", "reused"): "refresh_token_reused",
    ("session", "no-token"): "Refused: csrf_missing", ("session", "cross-site"): "Refused: csrf_cross_site",
    ("session", "ended"): "Refused: session_expired", ("key", "altered"): "Refused: api_key_invalid",
    ("key", "twice"): "Refused: credentials_ambiguous", ("key", "read"): '"Production Server"',
}  # fmt: skip


async def test_each_trial_shows_what_it_promises(visitor: httpx2.AsyncClient, cast: Cast) -> None:
    assert {(way.id, trial) for way in STRATEGIES for trial in way.trials} == set(EXPECTED)
    for (way, trial), statuses in EXPECTED.items():
        for who, status in zip(("member", "editor"), statuses, strict=True):
            shown = await visitor.post(f"/try/{way}", data={"who": who, "trial": trial})
            text = unescape(shown.text)
            result = text[text.index('id="result"') : text.index('id="accounts"')]
            assert shown.status_code == 200
            found = [int(status) for status in re.findall(r'<span class="tag \w+">(\d+) ', result)]
            assert found[-1] == status, (way, trial, who, found)
            assert WORDS.get((way, trial), "") in result or who == "editor"
            for secret in [person.password for person in cast.people] + [cast.api_key]:
                assert secret not in result, "secrets are shortened"
            assert not re.search(r"eyJ[\w-]{30,}", result)


async def test_the_limited_route_runs_out(visitor: httpx2.AsyncClient) -> None:
    shown = (await visitor.post("/try/limited", data={"trial": "six"})).text
    assert [int(status) for status in re.findall(r'<span class="tag \w+">(\d+) ', shown)][:6] == [200] * 5 + [429]
    assert "Too many requests. Try again in" in shown
    assert "retry-after" in shown


async def test_the_page_answers_this_machine_alone(visitor: httpx2.AsyncClient, cast: Cast) -> None:
    for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example:8000"}):
        answer = await visitor.get("/", headers=headers)
        assert answer.status_code == 400
        assert cast.api_key not in answer.text
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
        for path in ("/try/jwt", "/theme"):
            answer = await visitor.post(path, data={"who": "member", "trial": "read"}, headers=headers)
            assert answer.status_code == 403, (headers, path)
    for data in ({"who": "member", "trial": "nothing"}, {"who": "nobody", "trial": "read"}, {"x": "y"}):
        assert (await visitor.post("/try/jwt", data=data)).status_code in (404, 422)
    assert (await visitor.post("/try/nothing", data={"who": "member", "trial": "read"})).status_code == 404
    assert (await visitor.get("/try/jwt")).headers["location"] == "/"


async def test_the_page_is_small_and_comes_whole(visitor: httpx2.AsyncClient) -> None:
    for answer in (await visitor.get("/"), await visitor.post("/try/jwt", data={"who": "editor", "trial": "reused"})):
        assert len(answer.content) < 50_000
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert not re.search(r'(?:src|href)="(?:https?:)?//|localStorage|sessionStorage|<[^>]+ style=', answer.text)
        ids = re.findall(r' id="([^"]+)"', answer.text)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'<label[^>]* for="([^"]+)"', answer.text)) <= set(ids)
