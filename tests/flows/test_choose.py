"""`admit choose`: the tree, the matrix, and for each strategy a project whose own tests pass and that runs."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import zipfile
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import httpx2
import pytest

from admit.cli.choose.project import FILES, write
from admit.cli.choose.strategies import CLIENTS, STRATEGIES, Client, Name, choose
from admit.cli.failure import Failure
from admit.cli.verbs import run
from tests.parts.ports import free_port
from tests.parts.servers import BIN, ROOT, Server, Servers

PERSON = {"username": "alice", "password": "Correct Horse 1 Battery!"}
#: strategy -> a client that is told to take it
TAKES: dict[Name, Client] = {"jwt": "mobile", "oauth": "third-party", "api-keys": "service", "sessions": "web"}


@pytest.mark.parametrize(
    ("client", "answers", "strategy"),
    [
        ("mobile", {}, "jwt"),
        ("spa", {}, "jwt"),
        ("third-party", {}, "oauth"),
        ("third-party", {"for_users": False}, "api-keys"),
        ("service", {}, "api-keys"),
        ("web", {}, "sessions"),
        ("web", {"same_domain": False}, "jwt"),
    ],
)
def test_the_tree(client: Client, answers: dict[str, bool], strategy: str) -> None:
    choice = choose(client, **answers)
    assert choice.strategy.name == strategy
    assert choice.why


def test_the_matrix_is_complete() -> None:
    assert set(STRATEGIES) == set(get_args(Name)) == set(TAKES)
    assert set(CLIENTS) == set(get_args(Client))
    for strategy in STRATEGIES.values():
        assert strategy.best_for
        assert len(strategy.pros) >= 3
        assert len(strategy.cons) >= 3
    # what does not exist is not promised
    assert [name for name, strategy in STRATEGIES.items() if strategy.not_yet] == ["oauth"]


def test_the_verb_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "shop"
    assert run(["choose", "--client", "third-party", "--json", "--out", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["strategy"] == "oauth"
    assert "later release" in told["not_yet"]
    assert [row["strategy"] for row in told["matrix"]] == list(STRATEGIES)
    assert told["written"] == [str(out / name) for name in FILES]
    assert "later release" in (out / "README.md").read_text()

    assert run(["choose", "--client", "web", "--json", "--out", str(out)]) == 1
    assert json.loads(capsys.readouterr().err)["error"] == "conflict"
    assert run(["choose", "--json"]) == 2
    assert "--client" in capsys.readouterr().err


def test_the_verb_for_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["choose", "--client", "web", "--other-domain"]) == 0
    out = capsys.readouterr().out
    assert "* JWT with refresh tokens" in out
    assert "Take JWT with refresh tokens." in out


def test_the_conversation(tmp_path: Path) -> None:
    """At a real terminal: who calls, the one question more, and the project."""
    near, far = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200"}
    talk = subprocess.Popen(
        [BIN / "admit", "choose"], stdin=far, stdout=far, stderr=far, cwd=tmp_path, env=environment
    )  # fmt: skip
    os.close(far)
    # nine is no answer; three: programs of others; they speak for themselves; yes, write; into the folder offered
    os.write(near, b"9\n3\nn\ny\n\n")
    said = b""
    while True:
        try:
            said += os.read(near, 4096)
        except OSError:  # the other end is closed
            break
    os.close(near)
    assert talk.wait(60) == 0, said.decode()
    assert b"Take API keys." in said
    assert sorted(path.name for path in (tmp_path / "my-api-keys-api").iterdir()) == sorted(FILES)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("mine")
    with pytest.raises(Failure, match=r"app\.py"):
        write(choose("web"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["app.py"]
    with pytest.raises(Failure, match="cannot be written"):
        write(choose("web"), tmp_path / "app.py" / "below")


def test_a_folder_name_stays_a_name(tmp_path: Path) -> None:
    write(choose("web"), tmp_path / 'a"%s{}<b>')
    source = (tmp_path / 'a"%s{}<b>' / "app.py").read_text()
    compile(source, "app.py", "exec")
    assert "<b>" not in source


@pytest.mark.parametrize("strategy", TAKES)
def test_a_project_is_complete_and_names_no_package_index(strategy: Name, tmp_path: Path) -> None:
    for path in write(choose(TAKES[strategy]), tmp_path / "shop"):
        text = path.read_text()
        assert "{{" not in text.replace("{{}}", ""), path
        assert not re.search(r"index-url|https?://[^\s]*(pypi|simple)", text), path
        assert "localStorage" not in text.replace("never in localStorage", "")
    flags = ["check", "--isolated", "--line-length", "120", "--select", "E,F,W,B,UP,S1,S3", "--ignore", "S101,S105"]
    done = subprocess.run(
        [BIN / "ruff", *flags, "."], cwd=tmp_path / "shop", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert (files("admit.cli.choose") / "templates" / strategy / "app.py.tmpl").is_file()


def test_the_templates_travel_in_the_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    assert {f"admit/cli/choose/templates/{name}/{file}.tmpl" for name in TAKES for file in FILES} <= inside


@pytest.mark.parametrize("strategy", TAKES)
def test_its_own_tests_pass(strategy: Name, tmp_path: Path) -> None:
    write(choose(TAKES[strategy]), tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-p", "no:asyncio"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ADMIT_", "PYTEST_"))}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d* passed", done.stdout)


# -- it runs -------------------------------------------------------------------------------------------------------


def started(servers: Servers, strategy: Name, folder: Path) -> Server:
    """The project, written and served as its README says."""
    write(choose(TAKES[strategy]), folder)
    return servers.admit("--app", "app:app", cwd=folder)


def bearer(url: str) -> tuple[dict[str, str], dict[str, Any]]:
    """Registers and signs in: the header, and the whole answer."""
    assert httpx2.post(f"{url}/auth/register", json=PERSON).status_code == 202
    login = {"identifier": PERSON["username"], "password": PERSON["password"]}
    tokens = httpx2.post(f"{url}/auth/login", json=login).json()
    return {"Authorization": f"Bearer {tokens['access_token']}"}, tokens


def test_the_jwt_project_runs(servers: Servers, tmp_path: Path) -> None:
    url = started(servers, "jwt", tmp_path / "shop").url
    assert httpx2.get(f"{url}/posts").status_code == 401
    headers, _ = bearer(url)
    assert httpx2.post(f"{url}/posts", params={"text": "hello"}, headers=headers).status_code == 201
    assert httpx2.get(f"{url}/posts", headers=headers).json()[0]["text"] == "hello"


def test_the_api_keys_project_runs_with_the_commands_of_its_readme(servers: Servers, tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    url = started(servers, "api-keys", folder).url

    def admit(*arguments: str, given: str = "") -> dict[str, Any]:
        command = [str(BIN / "admit"), "--auth", "app:auth", *arguments, "--json"]
        done = subprocess.run(
            command, cwd=folder, input=given, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    admit("users", "create", "--username", "alice", "--password-stdin", given=PERSON["password"])
    service = admit("service-accounts", "create", "--owner", "alice", "--name", "Nightly export", "--role", "reporter")
    named = ("--name", "Production Server", "--scope", "write:reports")
    key = admit("api-keys", "create", "--owner", service["id"], *named)
    mine = {"X-API-Key": key["key"]}
    assert httpx2.post(f"{url}/reports", params={"title": "June"}, headers=mine).json()["from"] == service["id"]
    assert httpx2.get(f"{url}/reports", headers=mine).status_code == 403


def test_the_sessions_project_runs(servers: Servers, tmp_path: Path) -> None:
    url = started(servers, "sessions", tmp_path / "shop").url
    with httpx2.Client(base_url=url) as browser:
        assert "/auth/ui/login" in browser.get("/").text
        assert browser.get("/auth/ui/login").status_code == 200
        browser.post("/auth/register", json=PERSON)
        login = {"identifier": PERSON["username"], "password": PERSON["password"], "deliver": "session"}
        assert browser.post("/auth/login", json=login).status_code == 200
        assert browser.post("/notes", params={"text": "x"}).json()["code"] == "csrf_missing"
        token = {"X-CSRF-Token": browser.get("/auth/csrf").json()["csrf_token"]}
        assert browser.post("/notes", params={"text": "milk"}, headers=token).status_code == 201
        assert "milk" in browser.get("/").text


def test_the_oauth_project_trusts_the_keys_of_a_running_issuer(servers: Servers, tmp_path: Path) -> None:
    issuer_folder, folder, port = tmp_path / "issuer", tmp_path / "shop", free_port()
    issuer_folder.mkdir()
    issuer = f"http://127.0.0.1:{port}"
    (issuer_folder / "admit.toml").write_text(
        f'issuer = "{issuer}"\n[rights]\ndefault_roles = ["member"]\n[rights.scopes]\n"read:photos" = "See your photos"\n'
        '[rights.roles]\nmember = ["read:photos"]\n'
    )
    servers.admit(port=port, cwd=issuer_folder)
    write(choose("third-party"), folder)
    api_port = free_port()
    command = [str(BIN / "granian"), "--interface", "asgi", "--port", str(api_port), "app:app"]
    servers.run(command, api_port, env={"ISSUER": issuer, "PYTHONPATH": str(folder)}, cwd=folder)

    url = f"http://127.0.0.1:{api_port}/photos"
    headers, tokens = bearer(issuer)
    assert httpx2.get(url).status_code == 401
    assert httpx2.get(url, headers=headers).json()["owner"].startswith("usr_")
    narrowed = httpx2.post(
        f"{issuer}/auth/refresh", json={"refresh_token": tokens["refresh_token"], "scope": ""}
    ).json()
    answer = httpx2.get(url, headers={"Authorization": f"Bearer {narrowed['access_token']}"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "insufficient_scope"})
