"""`admit serve` as a real process: workers, voids from the command line, a clean stop, a refused start."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx2 as httpx
import pytest

from admit.cli.verbs import run
from tests.parts.processes import end
from tests.parts.servers import BIN, Server, Servers

PASSWORD = "Correct Horse 1 Battery!"
#: a new connection for each request, so that every worker gets its share
WEB = httpx.Client(limits=httpx.Limits(max_keepalive_connections=0), timeout=30)


class Place:
    """A folder with settings, the server in it, and the command line beside it."""

    def __init__(self, folder: Path, **more: str) -> None:
        self.folder = folder
        self.env = {
            "ADMIT_DATABASE": f"sqlite:///{folder}/admit.db",
            "ADMIT_RUN_DIRECTORY": f"{folder}/run",
            "ADMIT_SECRET": secrets.token_urlsafe(32),
            "ADMIT_PASSWORDS__HASH": "cheap",
            "ADMIT_RIGHTS": json.dumps(
                {"scopes": {"read": "Read"}, "roles": {"member": ["read"]}, "default_roles": ["member"]}
            ),
            **more,
        }

    def admit(
        self, *arguments: str, stdin: str = "", env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(BIN / "admit"), *arguments], input=stdin, capture_output=True, text=True, check=False, timeout=60,
            cwd=self.folder, env={"PATH": "/usr/bin:/bin", **self.env, **(env or {})},
        )  # fmt: skip

    def person(self, name: str, *more: str) -> str:
        made = self.admit("users", "create", "--username", name, "--password-stdin", "--json", *more, stdin=PASSWORD)
        assert made.returncode == 0, made.stderr
        return str(json.loads(made.stdout)["id"])

    def serve(self, servers: Servers, *arguments: str) -> Server:
        return servers.admit(*arguments, env=self.env, cwd=self.folder)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, ADMIT_DEBUG_DOCS="true")


def sign_in(server: Server, name: str) -> dict[str, str]:
    answer = WEB.post(f"{server.url}/auth/login", json={"identifier": name, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    WEB.cookies.clear()
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


def test_what_the_command_line_ends_is_dead_at_the_next_request_on_every_worker(servers: Servers, place: Place) -> None:
    place.person("root", "--admin")
    place.person("ann")
    server = place.serve(servers, "--workers", "2")
    bearer = sign_in(server, "ann")
    key = json.loads(
        place.admit("api-keys", "create", "--owner", "ann", "--name", "n", "--scope", "read", "--json").stdout
    )
    for credential in (bearer, {"X-API-Key": key["key"]}):
        for _ in range(8):  # fresh connections: both workers have it in their cache
            assert WEB.get(f"{server.url}/auth/me", headers=credential).status_code == 200
    assert place.admit("users", "disable", "ann").returncode == 0
    for _ in range(8):
        assert WEB.get(f"{server.url}/auth/me", headers=bearer).json()["code"] == "token_invalid"
        assert WEB.get(f"{server.url}/auth/me", headers={"X-API-Key": key["key"]}).json()["code"] == "api_key_disabled"
    metrics = numbers(WEB.get(f"{server.url}/metrics").text)
    # whichever worker was asked, it answers for both
    assert metrics['admit_requests_total{status="401"}'] == 16
    assert metrics['admit_logins_total{outcome="success"}'] == 1
    refused = WEB.get(f"{server.url}/auth/me", headers=bearer)
    assert server.terminate() == 0
    explained = place.admit("audit", "explain", refused.json()["request_id"], "--json")
    assert json.loads(explained.stdout)["reason"] == "access.subject_disabled"


def numbers(text: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_request_ids_differ_between_workers(servers: Servers, place: Place) -> None:
    server = place.serve(servers, "--workers", "2")
    seen = [WEB.get(f"{server.url}/nothing").headers["x-request-id"] for _ in range(24)]
    assert len(set(seen)) == len(seen)


def test_a_graceful_stop_writes_what_was_noted_and_lets_go(servers: Servers, place: Place) -> None:
    place.person("ann")
    server = place.serve(servers)
    key = json.loads(place.admit("api-keys", "create", "--owner", "ann", "--name", "n", "--json").stdout)
    for _ in range(5):
        assert WEB.get(f"{server.url}/auth/me", headers={"X-API-Key": key["key"]}).status_code == 200
    refused = WEB.get(f"{server.url}/auth/me")
    assert server.terminate() == 0
    listed = json.loads(place.admit("api-keys", "list", "--json").stdout)["api_keys"]
    assert (listed[0]["uses"], listed[0]["last_address"]) == (5, "127.0.0.1")
    assert place.admit("audit", "explain", refused.headers["x-request-id"]).returncode == 0
    with sqlite3.connect(place.folder / "admit.db") as database:
        held = database.execute("SELECT name FROM admit_leases WHERE until > unixepoch() * 1000000").fetchall()
    database.close()
    assert held == []
    lines = [json.loads(line) for line in server.output().splitlines()]
    assert lines[-1]["level"] == "info"
    (serving,) = [line for line in lines if line["event"] == "serving"]
    assert serving["password_policy"] == "classic"
    assert key["key"] not in server.output()


def test_a_request_in_hand_is_answered_before_the_stop(servers: Servers, place: Place) -> None:
    place.env["ADMIT_PASSWORDS__HASH"] = "argon2id-64"
    place.person("ann")
    server = place.serve(servers)
    answers: list[int] = []

    def login() -> None:
        body = {"identifier": "ann", "password": PASSWORD}
        answers.append(WEB.post(f"{server.url}/auth/login", json=body).status_code)

    busy = [threading.Thread(target=login) for _ in range(3)]
    for one in busy:
        one.start()
    while numbers(WEB.get(f"{server.url}/metrics").text)["admit_hash_queue"] == 0 and not answers:
        pass
    assert server.terminate(seconds=30) == 0
    for one in busy:
        one.join()
    assert answers == [200, 200, 200]


Start = Callable[..., tuple[int, str]]


@pytest.fixture
def start(place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """`start("--workers", "2", ADMIT_X="…")` for starts that are refused before anything listens: no process needed."""

    def call(*arguments: str, **change: str) -> tuple[int, str]:
        with monkeypatch.context() as patched:
            patched.chdir(place.folder)
            for name, value in {**place.env, **change}.items():
                patched.setenv(name, value)
            port = () if "--port" in arguments else ("--port", str(free()))
            return run(["serve", *port, *arguments]), capsys.readouterr().err

    return call


@pytest.mark.proof("ASVS-13.3.1", "ASVS-12.2.1")
@pytest.mark.parametrize(
    ("change", "arguments", "named"),
    [
        ({"ADMIT_ISSUER": "http://id.example.com"}, (), "issuer is http"),
        ({}, ("--host", "0.0.0.0"), "set ADMIT_ISSUER"),
        ({"ADMIT_SECRET": "your-256-bit-secret"}, (), "ADMIT_SECRET"),
        ({"ADMIT_LIMITS__STORE": "memory"}, ("--workers", "2"), "limits.store"),
        ({"ADMIT_DATABASE": "sqlite://"}, ("--workers", "2"), "database is in memory"),
        ({"ADMIT_CONFIG": "missing.toml"}, (), "missing.toml"),
    ],
)
def test_a_start_that_would_be_unsafe_or_wrong_says_why_and_ends_with_3(
    start: Start, change: dict[str, str], arguments: tuple[str, ...], named: str
) -> None:
    code, said = start(*arguments, **change)
    assert code == 3, said
    assert named in said
    assert said.splitlines()[-1].startswith("Try: ")


def test_another_secret_and_a_missing_database_and_a_taken_port(start: Start, place: Place) -> None:
    place.person("ann")
    code, said = start(ADMIT_SECRET=secrets.token_urlsafe(32))
    assert (code, "does not open the keys" in said) == (3, True)
    code, said = start(ADMIT_DATABASE="postgresql://u:p@127.0.0.1:1/x")
    assert (code, "database is not available" in said) == (4, True)
    with socket.create_server(("127.0.0.1", 0)) as holder:
        code, said = start("--port", str(holder.getsockname()[1]))
    assert (code, "cannot be listened on" in said) == (3, True)


def test_an_application_of_ones_own(servers: Servers, place: Place) -> None:
    (place.folder / "mine.py").write_text(
        "from typing import Annotated\n"
        "from fastapi import Depends, FastAPI\n"
        "from admit import Admit, Principal\n"
        "auth = Admit()\n"
        "app = FastAPI(lifespan=auth.lifespan)\n"
        "auth.mount(app)\n"
        "@app.get('/who')\n"
        "async def who(caller: Annotated[Principal, Depends(auth.require('read'))]) -> str:\n"
        "    return caller.subject.id\n"
    )
    ann = place.person("ann")
    server = place.serve(servers, "--app", "mine:app")
    assert WEB.get(f"{server.url}/who", headers=sign_in(server, "ann")).json() == ann
    assert server.terminate() == 0


def test_the_log_is_followed_while_others_write(place: Place) -> None:
    place.person("ann")
    command = [str(BIN / "admit"), "audit", "follow", "--type", "account.", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=place.folder,
        env={"PATH": "/usr/bin:/bin", **place.env},
    ) as following:  # fmt: skip
        assert following.stdout is not None
        assert following.stderr is not None
        assert following.stderr.readline().startswith("Following")
        bob = place.person("bob")
        assert json.loads(following.stdout.readline())["subject"] == bob
        assert end(following, signal.SIGINT) == 130


def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
