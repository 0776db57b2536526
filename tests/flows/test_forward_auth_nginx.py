"""The nginx lines of docs/deployment.md, in a real nginx, in front of a real server."""

from __future__ import annotations

import json
import re
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.parts.nginx import Nginx
from tests.parts.ports import free_port
from tests.parts.servers import Servers

PAGE = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"
ALICE = {"username": "alice", "password": "Correct Horse 1 Battery!"}
Start = Callable[..., Nginx]


class Upstream(BaseHTTPRequestHandler):
    """An API in some language: says which headers reached it."""

    def answer(self) -> None:
        seen = {name.lower(): value for name, value in self.headers.items()}
        content = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = answer  # noqa: N815  # the library looks for these names

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""


@contextmanager
def upstream() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Upstream)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Answer(NamedTuple):
    status: int
    body: Any
    cookies: list[str]


def send(url: str, content: Any = None, **headers: str) -> Answer:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return Answer(answer.status, _body(answer.read()), answer.headers.get_all("Set-Cookie") or [])
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, _body(refused.read()), [])


def _body(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return content


def lines(info: str) -> str:
    """The block of the page with these words behind its ticks."""
    found = re.search(rf"^```{info}\n(.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert found is not None
    return found[1]


@pytest.fixture
def proxied(servers: Servers, nginx: Start, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Origins of the proxy and of Admit behind it."""
    port, door = free_port(), free_port()
    env = {
        "ADMIT_ISSUER": f"http://127.0.0.1:{port}",
        "ADMIT_DATABASE": f"sqlite:///{tmp_path}/admit.sqlite3",
        "ADMIT_RUN_DIRECTORY": str(tmp_path / "run"),
        "ADMIT_PASSWORDS__HASH": "cheap",
        "ADMIT_TRUSTED_PROXIES": '["127.0.0.1"]',
    }
    servers.asgi("examples.guide.scopes:application", env=env, port=port, arguments=("--factory",))
    with upstream() as api:
        block = lines("nginx auth_request").replace(":9000", f":{api}").replace(":8000", f":{port}")
        nginx(f"server {{ listen 127.0.0.1:{door}; {block} }}", door)
        yield f"http://127.0.0.1:{door}", f"http://127.0.0.1:{port}"


def signed_in(admit: str, deliver: str) -> Answer:
    send(f"{admit}/auth/register", ALICE)
    return send(f"{admit}/auth/login", {"identifier": "alice", "password": ALICE["password"], "deliver": deliver})


def test_the_api_learns_who_is_calling_and_no_credential(proxied: tuple[str, str]) -> None:
    door, admit = proxied
    token = signed_in(admit, "tokens").body["access_token"]
    who = send(f"{admit}/auth/me", Authorization=f"Bearer {token}").body["id"]
    forged = {"X-Admit-Subject": "usr_root", "X-Admit-Scopes": "admit:admin"}
    status, seen, _ = send(f"{door}/api/x", Authorization=f"Bearer {token}", **forged)
    assert (status, seen["x-admit-subject"]) == (200, who)
    assert "admit:admin" not in seen["x-admit-scopes"].split()
    assert "authorization" not in seen
    assert send(f"{door}/api/x").status == 401
    assert send(f"{door}/api/x", Authorization="Bearer abc").status == 401
    # nobody reaches the asking location itself
    assert send(f"{door}/_admit", Authorization=f"Bearer {token}").status == 404


def test_a_cookie_needs_its_csrf_token_to_change_something(proxied: tuple[str, str]) -> None:
    door, admit = proxied
    answer = signed_in(admit, "session")
    cookie = next(text.partition(";")[0] for text in answer.cookies if text.startswith("admit-session="))
    assert send(f"{door}/api/x", Cookie=cookie).status == 200
    assert send(f"{door}/api/x", {}, Cookie=cookie).status == 403
    token = {"X-CSRF-Token": answer.body["csrf_token"]}
    assert send(f"{door}/api/x", {}, Cookie=cookie, **token).status == 200


def test_the_lines_for_https_are_lines_of_nginx(nginx: Start, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    issued = request.getfixturevalue("authority").issue("login.example.com")
    port = free_port()
    block = lines("nginx").replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
    block = block.replace("/etc/ssl/login.pem", str(issued.chain)).replace("/etc/ssl/login.key", str(issued.key))
    nginx("map $http_upgrade $connection_upgrade { default upgrade; '' close; }\n" + block, port)
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        pass
