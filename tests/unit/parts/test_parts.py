"""The real parts themselves: each does what the tests built on it rely on."""

from __future__ import annotations

import os
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.parts.certificates import Authority
from tests.parts.missing import PartMissing, without
from tests.parts.nginx import Nginx, tls
from tests.parts.ports import free_port, is_open
from tests.parts.postgres import TempPostgres
from tests.parts.processes import workspace
from tests.parts.servers import Servers
from tests.parts.smtp import SmtpSink
from tests.parts.valkey import TempValkey

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    user = dict(scope["headers"]).get(b"x-user", b"nobody")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/html")]})
    await send({"type": "http.response.body", "body": b"<h1>" + user + b"</h1>"})
"""


@pytest.fixture
def app_env(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "served.py").write_text(APP, "utf-8")
    return {"PYTHONPATH": str(tmp_path)}


def read(url: str, context: ssl.SSLContext | None = None, **headers: str) -> str:
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), context=context) as answer:
        return answer.read().decode()


def test_each_test_has_a_database_of_its_own(postgres: TempPostgres, pg_empty: str) -> None:
    name = pg_empty.rpartition("/")[2]
    postgres.sql("CREATE TABLE kept (id int)", name)
    with postgres.database() as other:
        assert postgres.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'kept'", other.rpartition("/")[2]) == "0"


def test_a_template_is_filled_once_and_copied(postgres: TempPostgres) -> None:
    filled: list[str] = []

    def fill(url: str) -> None:
        filled.append(url)
        postgres.sql("CREATE TABLE people (id int)", url.rpartition("/")[2])

    for _ in range(2):
        with postgres.database(postgres.template("sample", fill)) as url:
            postgres.sql("INSERT INTO people VALUES (1)", url.rpartition("/")[2])
            assert postgres.sql("SELECT count(*) FROM people", url.rpartition("/")[2]) == "1"
    assert len(filled) == 1


@pytest.mark.postgres
def test_postgres_keeps_its_data_through_a_crash() -> None:
    server = TempPostgres(fsync="on", full_page_writes="on", synchronous_commit="on").start()
    try:
        server.sql("CREATE TABLE kept (id int)")
        server.halt(signal.SIGQUIT)
        assert not is_open(server.port)
        server.resume()
        assert server.sql("SELECT count(*) FROM kept") == "0"
    finally:
        server.stop()
    assert not server.folder.exists()


def test_valkey_is_empty_for_each_test(valkey: TempValkey, valkey_url: str) -> None:
    assert valkey_url == valkey.url
    assert valkey.command("SET left over") == "+OK"
    valkey.flush()
    assert valkey.command("EXISTS left") == ":0"


@pytest.mark.valkey
def test_valkey_goes_away_and_comes_back() -> None:
    server = TempValkey().start()
    try:
        server.halt(signal.SIGKILL)
        assert not is_open(server.port)
        server.resume()
        assert server.command("PING") == "+PONG"
    finally:
        server.stop()


def test_mail_arrives_with_its_envelope(smtp: SmtpSink) -> None:
    with smtplib.SMTP(smtp.host, smtp.port) as client:
        client.sendmail("a@example.test", ["b@example.test"], "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhello\r\n")
    (mail,) = smtp.wait_for(1)
    assert (mail.sender, mail.recipients) == ("a@example.test", ("b@example.test",))
    assert (mail.subject, mail.text.strip()) == ("Grüße", "hello")


@pytest.mark.parametrize(("line", "stage"), [("451 4.3.0 later", "DATA"), ("550 5.1.1 unknown", "RCPT")])
def test_mail_is_refused_when_told(smtp: SmtpSink, line: str, stage: str) -> None:
    smtp.refuse(line, stage)  # type: ignore[arg-type]
    with smtplib.SMTP(smtp.host, smtp.port) as client:
        with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPRecipientsRefused), match=line[:3]):
            client.sendmail("a@example.test", ["b@example.test"], "Subject: x\r\n\r\n")
        smtp.accept()
        client.sendmail("a@example.test", ["b@example.test"], "Subject: x\r\n\r\n")
    assert len(smtp.wait_for(1)) == 1


def test_the_mail_server_goes_away_and_comes_back(smtp: SmtpSink) -> None:
    smtp.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((smtp.host, smtp.port))
    smtp.start()
    with smtplib.SMTP(smtp.host, smtp.port) as client:
        assert client.noop()[0] == 250


@pytest.mark.filterwarnings("ignore:Session.login_data is deprecated")
def test_mail_over_tls_with_a_login(authority: Authority) -> None:
    sink = SmtpSink(tls=authority.server_context("localhost"), login=("admit", "open sesame")).start()
    try:
        with smtplib.SMTP("localhost", sink.port) as client:
            client.starttls(context=authority.client_context())
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("admit", "wrong")
            client.login("admit", "open sesame")
            client.sendmail("a@example.test", ["b@example.test"], "Subject: x\r\n\r\n")
        assert len(sink.wait_for(1)) == 1
    finally:
        sink.stop()


@pytest.mark.parametrize("by", ["uvicorn", "granian"])
def test_a_server_runs_with_workers_and_ends(servers: Servers, app_env: dict[str, str], by: str) -> None:
    server = servers.asgi("served:app", by=by, workers=2, env=app_env)  # type: ignore[arg-type]
    assert read(server.url) == "<h1>nobody</h1>"
    assert len(server.workers()) >= 2
    server.terminate()
    assert not is_open(server.port)


def test_a_killed_server_leaves_no_worker(servers: Servers, app_env: dict[str, str]) -> None:
    server = servers.asgi("served:app", workers=2, env=app_env)
    workers = server.workers()
    server.kill()
    assert not server.running
    assert not is_open(server.port)
    for pid in workers:
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text("ascii").rpartition(")")[2].split()[0] in "ZX"


def test_a_server_that_cannot_start_says_why(servers: Servers) -> None:
    with pytest.raises(RuntimeError, match="no_such_module"):
        servers.asgi("no_such_module:app")


def test_nginx_proxies_and_speaks_our_tls(
    nginx, servers: Servers, app_env: dict[str, str], authority: Authority
) -> None:  # type: ignore[no-untyped-def]
    server = servers.asgi("served:app", env=app_env)
    port = free_port()
    proxy: Nginx = nginx(
        f"server {{ listen 127.0.0.1:{port} ssl; {tls(authority.issue('localhost'))}"
        f" location / {{ proxy_set_header X-User ada; proxy_pass {server.url.replace('localhost', '127.0.0.1')}; }} }}",
        port,
    )
    assert read(f"https://localhost:{port}/", authority.client_context(), **{"X-User": "mallory"}) == "<h1>ada</h1>"
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        read(f"https://localhost:{port}/", ssl.create_default_context())
    assert proxy.log.exists()


def test_what_a_killed_run_left_is_swept_away(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, ours = tmp_path / f"admit-test-{ended.pid}-postgres-x", tmp_path / f"admit-test-{os.getpid()}-valkey-x"
    (left / "data").mkdir(parents=True)
    ours.mkdir()
    made = workspace("nginx", tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([ours, made])


def test_nginx_says_what_is_wrong(nginx) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(RuntimeError, match="unknown directive"):
        nginx("nonsense on;", free_port())


async def test_the_browser_reaches_loopback_and_nothing_else(page, servers: Servers, app_env: dict[str, str]) -> None:  # type: ignore[no-untyped-def]
    server = servers.asgi("served:app", env=app_env)
    await page.goto(server.url)
    assert await page.inner_text("h1") == "nobody"
    await page.goto(f"http://auth.test:{server.port}/")
    assert await page.inner_text("h1") == "nobody"
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        await page.goto("http://example.org/")


@pytest.mark.parametrize(("ci", "outcome"), [("true", "Failed"), ("", "Skipped")])
def test_a_missing_part_fails_in_ci_and_skips_elsewhere(monkeypatch: pytest.MonkeyPatch, ci: str, outcome: str) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException, match="not here: Chromium") as caught:
        without(PartMissing("Chromium", "tried nothing"))
    assert type(caught.value).__name__ == outcome
