"""`admit doctor`: a sound set-up passes, and for each line a set-up in which exactly that line is broken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admit import Admit
from admit.cli.doctor.checklist import LINES
from admit.cli.doctor.examine import Report, Server, examine
from admit.cli.doctor.visit import Patient
from admit.cli.verbs import run
from admit.ground.errors import Unavailable
from admit.ground.events import Via
from admit.people.account import Account, NewAccount
from admit.people.identifiers import parse
from admit.people.passwords import POLICIES
from admit.serve.safety import check
from admit.settings import load
from admit.stores.sql import schema
from tests.parts.ports import free_port

Wrap = Callable[[ASGIApp], ASGIApp]
Before = Callable[[Admit], Awaitable[None]]
BEHIND_TLS: dict[str, Any] = {"issuer": "https://127.0.0.1:1", "trusted_proxies": ("127.0.0.1",)}


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No admit.toml and no ADMIT_* of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


def application(tmp_path: Path, **options: Any) -> Admit:
    """An Admit on a file, with the real hash: the doctor also measures it."""
    given = {"database": f"sqlite:///{tmp_path}/a.sqlite3", "run_directory": tmp_path / "run"}
    return Admit(**cast("Any", {**given, **options}))


@contextlib.asynccontextmanager
async def served(auth: Admit, wrap: Wrap | None = None) -> AsyncIterator[str]:
    """The application on a socket, with `wrap` between it and its callers; its URL."""
    app: ASGIApp = FastAPI(lifespan=auth.lifespan)
    auth.mount(cast("FastAPI", app))
    app = app if wrap is None else wrap(app)
    config = uvicorn.Config(cast("Any", app), log_config=None, lifespan="on", proxy_headers=False, ws="none")
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    # with the protocol named, asyncio turns Nagle's algorithm off; else every answer waits 40 ms for an ACK
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        await server.startup(sockets=[listening])
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            await server.shutdown(sockets=[listening])


async def report_on(
    tmp_path: Path, wrap: Wrap | None = None, before: Before | None = None, patience: float = 10, **options: Any
) -> Report:
    """The doctor's report on a served application."""
    auth = application(tmp_path, **options)
    async with served(auth, wrap) as url:
        if before is not None:
            await before(auth)
        return await examine(auth.settings, auth.rooms, Server(url), patience=timedelta(seconds=patience))


def failed(report: Report) -> list[str]:
    """The lines that do not hold."""
    return [check.row for check in report.checks if check.status == "fail"]


def line(report: Report, row: str) -> Any:
    """The outcome of one line."""
    return next(check for check in report.checks if check.row == row)


# -- proxies that spoil something ----------------------------------------------------------------------------------


def on_answers(change: Callable[[Scope, Message], None]) -> Wrap:
    """A proxy that changes the start of each answer."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
            async def changed(message: Message) -> None:
                if message["type"] == "http.response.start":
                    message["headers"] = list(message.get("headers", ()))
                    change(scope, message)
                await send(message)

            await app(scope, receive, changed)

        return proxy

    return wrap


def on_requests(change: Callable[[Scope], None]) -> Wrap:
    """A proxy that changes each request before it is passed on."""

    def wrap(app: ASGIApp) -> ASGIApp:
        async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                scope = {**scope, "headers": list(scope["headers"])}
                change(scope)
            await app(scope, receive, send)

        return proxy

    return wrap


def pretends_https(scope: Scope) -> None:
    scope["scheme"] = "https"


def strips_http_only(scope: Scope, message: Message) -> None:
    del scope
    message["headers"] = [
        (name, value.replace(b"; HttpOnly", b"") if name == b"set-cookie" else value)
        for name, value in message["headers"]
    ]


def makes_everything_json(scope: Scope) -> None:
    scope["headers"] = [
        (name, b"application/json" if name == b"content-type" else value) for name, value in scope["headers"]
    ]


def hides_limits(scope: Scope, message: Message) -> None:
    if scope["path"] == "/auth/me" and message["status"] == 429:
        message["status"] = 200


def lets_everyone_read(scope: Scope, message: Message) -> None:
    origin = dict(scope["headers"]).get(b"origin")
    if origin is not None:
        message["headers"].append((b"access-control-allow-origin", origin))


def turns_cookies_into_headers(scope: Scope) -> None:
    headers = dict(scope["headers"])
    for part in headers.get(b"cookie", b"").split(b"; "):
        if part.startswith(b"admit-access=") and b"authorization" not in headers:
            scope["headers"].append((b"authorization", b"Bearer " + part.partition(b"=")[2]))


def tells_who_is_unknown(app: ASGIApp) -> ASGIApp:
    """Answers for unknown accounts in words of its own."""

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[bytes] = []

        async def heard() -> Message:
            message = await receive()
            sent.append(message.get("body", b""))
            return message

        async def changed(message: Message) -> None:
            if b'"nobody-' in b"".join(sent) and b"Invalid credentials" in message.get("body", b""):
                message["body"] = message["body"].replace(b"Invalid credentials", b"No account here....")
            await send(message)

        await app(scope, heard, changed)

    return proxy


def answers_for_the_unknown(app: ASGIApp) -> ASGIApp:
    """Answers the first guesses at an unknown account by itself: the same words, without the work."""
    known: list[tuple[Message, Message]] = []
    spared = 4

    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal spared
        if scope["type"] != "http" or scope["path"] != "/auth/login":
            await app(scope, receive, send)
            return
        message = await receive()
        if known and spared and b'"nobody-' in message.get("body", b""):
            spared -= 1
            for part in known[0]:
                await send(part)
            return
        answer: list[Message] = []

        async def again() -> Message:
            return message

        async def noted(part: Message) -> None:
            answer.append(dict(part))
            await send(part)

        await app(scope, again, noted)
        if answer[0]["status"] == 401 and len(answer) == 2:
            known.append((answer[0], answer[1]))

    return proxy


# -- rows that should not be there ---------------------------------------------------------------------------------


async def someone(auth: Admit, stored: str) -> bytes:
    """An account whose stored password is `stored`."""
    accounts = auth.rooms.accounts
    new = NewAccount((parse("username", "carol"),), stored)
    made = await auth.rooms.kit.work.write(lambda tx: accounts.create(tx, new, Via()))
    assert isinstance(made, Account)
    return made.id


async def plain_password(auth: Admit) -> None:
    await someone(auth, "Correct Horse 1 Battery!")


async def plain_key(auth: Admit) -> None:
    owner, key = await someone(auth, await auth.rooms.pool.hash("x" * 20)), secrets.token_bytes(16)
    row = {"tenant": 1, "id": key, "user_id": owner, "name": "old", "environment": "live", "hint": "admit_plive_…abcd"}

    def body(tx: Any) -> None:
        tx.connection.execute(sa.insert(schema.api_keys).values(**row, created_at=1))
        digest = b"admit_plive_0123456789abcdefghij"
        tx.connection.execute(
            sa.insert(schema.api_key_secrets).values(tenant=1, digest=digest, key_id=key, created_at=1)
        )

    await auth.rooms.kit.work.write(body)


async def forgetful_log(auth: Admit) -> None:
    trigger = (
        "CREATE TRIGGER forget AFTER INSERT ON admit_events WHEN NEW.type LIKE 'login.%' "
        "BEGIN DELETE FROM admit_events WHERE seq = NEW.seq; END"
    )
    await auth.rooms.kit.work.write(lambda tx: tx.connection.exec_driver_sql(trigger))


async def nobody_watches(auth: Admit) -> None:
    await auth.rooms.steps.close()


# -- the tests -----------------------------------------------------------------------------------------------------


async def test_a_sound_set_up_passes_every_line(tmp_path: Path) -> None:
    report = await report_on(tmp_path)
    assert [(check.row, check.status, check.why) for check in report.checks] == [(one.row, "pass", ()) for one in LINES]
    assert not report.failed
    assert {one.setting for one in report.weakenings} == {"issuer", "passwords.policy"}


async def test_a_sound_set_up_on_postgresql_passes_too(tmp_path: Path, pg_empty: str) -> None:
    report = await report_on(tmp_path, database=pg_empty)
    assert [(check.row, check.status, check.why) for check in report.checks] == [(one.row, "pass", ()) for one in LINES]


async def test_behind_tls_every_line_passes_too(tmp_path: Path) -> None:
    report = await report_on(tmp_path, **BEHIND_TLS)
    assert [(check.row, check.status, check.why) for check in report.checks] == [(one.row, "pass", ()) for one in LINES]


BROKEN: dict[str, dict[str, Any]] = {
    "T1": {"wrap": on_requests(pretends_https), **BEHIND_TLS},
    "T2": {"tokens": {"access_for": timedelta(days=1)}},
    "T4": {"before": plain_key},
    "T5": {"wrap": on_answers(strips_http_only)},
    "T6": {"claims": lambda request: {"contact": "alice@example.test"}},
    "P1": {"passwords": {"hash": "cheap"}},
    "P3": {"before": plain_password},
    "P4": {"wrap": tells_who_is_unknown},
    "P5": {"limits": {"login": 1000, "login_address": 1000, "waits_from": 1000}},
    "A1": {"wrap": on_requests(makes_everything_json)},
    "A2": {"wrap": on_answers(hides_limits)},
    "A3": {"wrap": on_answers(lets_everyone_read)},
    "A4": {"wrap": on_requests(turns_cookies_into_headers)},
    "A5": {"before": forgetful_log},
    "A6": {"before": nobody_watches, "patience": 0.2},
}


@pytest.mark.parametrize("row", BROKEN)
async def test_exactly_the_broken_line_fails(row: str, tmp_path: Path) -> None:
    report = await report_on(tmp_path, **BROKEN[row])
    assert failed(report) == [row], line(report, failed(report)[-1]) if failed(report) else "none"
    assert line(report, row).mend
    assert line(report, row).why


async def test_t3_a_secret_in_the_settings_file(tmp_path: Path) -> None:
    secret = secrets.token_urlsafe(32)
    (tmp_path / "admit.toml").write_text(f'secret = "{secret}"\n')
    report = await report_on(tmp_path)
    assert failed(report) == ["T3"]
    assert secret not in str([check.json() for check in report.checks])
    assert "ADMIT_SECRET" in line(report, "T3").mend


async def test_p2_a_policy_that_takes_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, "classic", replace(POLICIES["classic"], min_length=8))
    assert failed(await report_on(tmp_path)) == ["P2"]


@pytest.mark.proof("ASVS-6.3.8")
async def test_p4_the_clock_tells_too(tmp_path: Path) -> None:
    report = await report_on(tmp_path, wrap=answers_for_the_unknown)
    assert failed(report) == ["P4"]
    assert "clock" in line(report, "P4").why[0]


async def test_the_temporary_account_is_gone_afterwards(tmp_path: Path) -> None:
    auth = application(tmp_path)
    async with served(auth) as url:
        await examine(auth.settings, auth.rooms, Server(url))
        page = await auth.rooms.kit.work.read(auth.rooms.accounts.page)
        assert page.accounts == []
        with pytest.raises(Unavailable):
            await examine(auth.settings, auth.rooms, Server(f"http://127.0.0.1:{free_port()}"))
        page = await auth.rooms.kit.work.read(auth.rooms.accounts.page)
        assert page.accounts == []


async def test_an_account_that_was_named_keeps_its_password(tmp_path: Path) -> None:
    auth = application(tmp_path)
    async with served(auth) as url:
        password = "Correct Horse 1 Battery!"
        await someone(auth, await auth.rooms.pool.hash(password))
        patient = Patient("carol", password, temporary=False)
        report = await examine(auth.settings, auth.rooms, Server(url, patient))
        assert [(check.row, check.why) for check in report.checks if check.status != "pass"] == []
        signed_in = await auth.rooms.login.login("carol", password, "tokens", Via())
        assert signed_in.delivered.access_token


async def test_what_could_not_be_looked_at_is_said(tmp_path: Path) -> None:
    auth = application(tmp_path)
    async with auth.lifespan():
        report = await examine(auth.settings, auth.rooms)
    by = {check.row: check for check in report.checks}
    assert {row for row, one in by.items() if one.status == "not-checked"} == {"T5", "T6", "P4", "A1", "A4", "A5"}
    assert all("--url" in why for row in ("T5", "T6", "P4", "A1", "A4") for why in by[row].why)
    assert by["P1"].looked_at == ("settings", "store")

    nothing = await examine(auth.settings, None)
    assert next(check for check in nothing.checks if check.row == "P3").status == "not-checked"


async def test_a_wrong_account_leaves_lines_unchecked_not_passed(tmp_path: Path) -> None:
    auth = application(tmp_path)
    async with served(auth) as url:
        report = await examine(auth.settings, auth.rooms, Server(url, Patient("carol", "wrong", temporary=False)))
    statuses = {check.row: check.status for check in report.checks}
    assert {row for row, status in statuses.items() if status == "not-checked"} >= {"T5", "T6", "A4", "A5"}
    assert "401 login_failed" in " ".join(line(report, "T6").why)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"issuer": "http://id.example.com"}, "http"),
        ({}, "ADMIT_SECRET"),
        ({"passwords": {"hash": "cheap"}}, "passwords.hash"),
        ({"cors": {"origins": ("*",)}}, "cors.origins"),
        ({"trusted_proxies": ("0.0.0.0/0",)}, "trusted_proxies"),
        ({"mail": {"host": "mail.example.com", "tls": "none"}}, "mail.tls"),
        ({"database": "sqlite://"}, "ADMIT_DATABASE"),
    ],
)
def test_a_production_start_with_a_critical_finding_is_told_its_mend(options: dict[str, Any], word: str) -> None:
    given = {} if word == "ADMIT_SECRET" else {"secret": secrets.token_urlsafe(32)}
    found = check(load(**{"issuer": "https://id.example.com", "database": "sqlite:///a", **given, **options}))
    assert len(found) == 1
    assert word in found[0]


def test_a_sound_production_start_is_not_stopped() -> None:
    assert check(load(issuer="https://id.example.com", secret=secrets.token_urlsafe(32))) == []


async def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    auth = application(tmp_path)
    monkeypatch.setenv("ADMIT_DATABASE", auth.settings.database)
    monkeypatch.setenv("ADMIT_RUN_DIRECTORY", str(auth.settings.run_directory))
    async with served(auth) as url:
        assert await asyncio.to_thread(run, ["doctor", "--url", url, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert [check["row"] for check in told["checks"]] == [one.row for one in LINES]
        assert set(told["checks"][0]) >= {"row", "status", "risk", "mend"}
        await plain_password(auth)
        assert await asyncio.to_thread(run, ["doctor"]) == 1
        out = capsys.readouterr().out
        assert "P3\tfail\tcritical" in out
        assert "weaker\tpasswords.policy\tclassic" in out
        assert "Correct Horse" not in out
    assert await asyncio.to_thread(run, ["doctor", "--url", f"http://127.0.0.1:{free_port()}", "--json"]) == 4
    assert json.loads(capsys.readouterr().err)["error"] == "unavailable"
    assert await asyncio.to_thread(run, ["doctor", "--password-stdin", "--json"]) == 2
