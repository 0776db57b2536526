"""Every flow once, with every log line and every stored row searched for every secret that was made or sent."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from sqlalchemy import select

from admit.crypto.sealing import generate
from admit.stores.sql.schema import metadata
from tests.flows.conftest import Open
from tests.flows.stand import OTHER_PASSWORD, PASSWORD, WIDE, Mailbox, Stand, login

SECRET_MEMBERS = {
    "password", "current", "new", "ticket", "refresh_token", "access_token", "csrf_token", "key",
}  # fmt: skip
SECRET_HEADERS = {"authorization", "x-api-key", "x-csrf-token"}
WRONG = "Wrong Horse 9 Battery!"


class Listening(logging.Handler):
    """Keeps every line, with its arguments and traceback."""

    def __init__(self) -> None:
        super().__init__(level=0)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """As `logging` wants it. The test's own HTTP client writes addresses down; it is not what is tested."""
        if record.name.startswith("http"):
            return
        extra = {name: value for name, value in vars(record).items() if name not in ("msg", "args")}
        self.lines.append(f"{self.format(record)} {record.msg!r} {record.args!r} {extra!r}")


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """All log lines of the process at every level."""
    listening, root = Listening(), logging.getLogger()
    before = root.level
    root.addHandler(listening)
    root.setLevel(1)
    yield listening.lines
    root.removeHandler(listening)
    root.setLevel(before)


class Secrets:
    """What travelled: everything secret that a caller sent or got."""

    def __init__(self) -> None:
        self.found: set[str] = set()

    def watch(self, client: httpx2.AsyncClient) -> httpx2.AsyncClient:
        """Remembers the secrets of this client's requests and answers."""
        client.event_hooks = {"request": [self._sent], "response": [self._got]}
        return client

    def add(self, *texts: str | None) -> None:
        """Remembers a secret; what is short or empty proves nothing when it is found."""
        self.found |= {text for text in texts if text and len(text) >= 12}

    async def _sent(self, request: httpx2.Request) -> None:
        for name in SECRET_HEADERS:
            self.add(request.headers.get(name, "").removeprefix("Bearer "))
        for part in request.headers.get("cookie", "").split(";"):
            self.add(part.partition("=")[2].strip())
        with contextlib.suppress(ValueError):  # broken on purpose
            self._members(json.loads(request.content))

    async def _got(self, response: httpx2.Response) -> None:
        for header in response.headers.get_list("set-cookie"):
            self.add(header.split(";")[0].partition("=")[2])
        await response.aread()
        if response.headers.get("content-type", "").startswith("application/json"):
            self._members(response.json())

    def _members(self, body: Any) -> None:
        if isinstance(body, dict):
            self.add(*(body[name] for name in SECRET_MEMBERS & set(body) if isinstance(body[name], str)))


async def stored(stand: Stand) -> str:
    """Every row of every table, as text; bytes also as what they may be the text of."""
    tables = metadata.sorted_tables
    rows = await stand.auth.rooms.kit.work.read(
        lambda tx: [(table.name, *row) for table in tables for row in tx.connection.execute(select(table)).all()]
    )
    parts: list[str] = []
    for row in rows:
        for value in row:
            if isinstance(value, bytes):
                parts.append(value.decode("latin-1"))
                parts.append(base64.urlsafe_b64encode(value).decode())
            else:
                parts.append(str(value))
    return "\n".join(parts)


async def every_flow(stand: Stand, secrets: Secrets, mailbox: Mailbox) -> None:
    """Each thing that makes, takes or sends a secret, going well and going wrong."""

    async def mails() -> str:
        while await stand.auth.rooms.jobs.run_once():
            pass
        links = [word for word in mailbox.mails[-1].text.split() if word.startswith("http")]
        ticket = parse_qs(urlsplit(links[0]).query)["ticket"][0]
        secrets.add(ticket)
        return ticket

    await stand.person("boss", "admin")
    client = secrets.watch(stand.caller())
    body = {"username": "alice", "email": "alice@example.test", "password": PASSWORD}
    await client.post("/auth/register", json=body)
    await client.post("/auth/register", json=body)
    await client.post("/auth/email/verify", json={"ticket": await mails()})
    for deliver in ("tokens", "cookie", "session", "spa"):
        caller = secrets.watch(stand.caller())
        answer = (await login(caller, deliver=deliver)).json()
        caller.headers["X-CSRF-Token"] = answer.get("csrf_token", "none")
        if "access_token" in answer:
            caller.headers["Authorization"] = f"Bearer {answer['access_token']}"
        await caller.post("/protected")
        given = {"refresh_token": answer["refresh_token"]} if "refresh_token" in answer else {}
        for _ in range(2):  # repeated within the grace
            await caller.post("/auth/refresh", json=given)
        stand.clock.advance(timedelta(seconds=11))
        await caller.post("/auth/refresh", json=given)  # theft, as far as anyone can tell
        await caller.post("/auth/reauthenticate", json={"password": PASSWORD})
        await caller.post("/auth/reauthenticate", json={"password": WRONG})
        await caller.post("/auth/logout")
    await login(client, password=WRONG)
    await login(client, "nobody", password=WRONG)
    person = secrets.watch(await stand.signed_in())
    made = (await person.post("/auth/api-keys", json={"name": "x", "scopes": ["read:posts"]})).json()
    program = secrets.watch(stand.caller(**{"X-API-Key": made["key"]}))
    await program.get("/protected")
    await program.delete("/posts/1")
    await person.post(f"/auth/api-keys/{made['id']}/rotate")
    await person.post("/auth/api-keys/verify", json={"key": made["key"]})
    # secrets where they do not belong
    token = person.headers["Authorization"].removeprefix("Bearer ")
    for text in (made["key"], token):
        await client.get(f"/auth/api-keys/{text}", headers={"Authorization": f"Bearer {token}"})
        await client.get(f"/auth/nowhere/{text}")
        await client.get("/protected", params={"access_token": text})
        await client.get("/protected", headers={"Authorization": f"Basic {text}"})
        await client.get("/protected", headers={"X-API-Key": f"{text}x", "User-Agent": f"curl {text}"})
        await login(client, text, password=text)
        await client.get(f"/auth/verify?scope={text}", headers={"Authorization": f"Bearer {token}"})
    await person.post("/auth/password/change", json={"current": PASSWORD, "new": OTHER_PASSWORD})
    await person.post("/auth/password/change", json={"current": OTHER_PASSWORD, "new": "Password1234!"})
    await client.post("/auth/password/forgot", json={"identifier": "alice"})
    ticket = await mails()
    for _ in range(2):
        await client.post("/auth/password/reset", json={"ticket": ticket, "new": PASSWORD})
    await client.post("/auth/password/reset", content=b'{"ticket": "' + ticket.encode() + b'", "new": ')
    await client.post("/auth/login", json={"identifier": "alice", "password": [PASSWORD]})
    await client.post("/auth/login", json={"identifier": "alice", "password": PASSWORD, PASSWORD: PASSWORD})


@pytest.mark.proof("ASVS-16.2.5", "ASVS-3.3.4", "ASVS-14.2.1", "CS-REST-keys", "ASVS-11.4.2", "ASVS-16.5.1")
async def test_no_secret_is_in_any_log_or_row(opened: Open, lines: list[str]) -> None:
    master, mailbox, secrets = generate(), Mailbox(), Secrets()

    def claims(_request: Any) -> dict[str, Any]:
        return {"team": "blue"}

    async with opened("fastapi", limits=WIDE, secret=master, mailer=mailbox, claims=claims) as stand:
        await every_flow(stand, secrets, mailbox)
        secrets.add(master, master.partition(":")[2], PASSWORD, OTHER_PASSWORD, WRONG)
        await stand.auth.rooms.observed.flush()
        await stand.auth.rooms.usage.flush()
        while await stand.auth.rooms.steps.run_once():
            pass
        rows = await stored(stand)
    assert len(secrets.found) > 50
    assert len(lines) > 30
    assert len(rows) > 10_000
    log = "\n".join(lines)
    assert "refused" in log  # there is something to search
    assert "login.failed" in rows
    for where, text in (("the log", log), ("the database", rows)):
        found = [secret for secret in secrets.found if secret in text]
        shown = [text[max(0, text.index(one) - 200) : text.index(one) + 40] for one in found[:5]]
        assert found == [], f"in {where}: {shown}"


@pytest.mark.proof("ASVS-16.5.1", "ASVS-16.3.4", "ASVS-16.5.3")
async def test_an_error_of_ours_says_nothing_and_is_logged(opened: Open, lines: list[str]) -> None:
    canary = "canary-5f1d0b9a7c3e"

    def claims(_request: Any) -> dict[str, Any]:
        raise RuntimeError(f"password={canary}")

    async with opened("fastapi", claims=claims) as stand:
        await stand.person()
        answer = await login(stand.caller())
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert set(answer.json()) == {"type", "title", "status", "code", "detail", "request_id"}
        assert "Traceback" not in answer.text
        assert "RuntimeError" not in answer.text
        assert canary not in answer.text
        request_id = answer.headers["x-request-id"]
        assert [row["reason"] for row in await stand.events(request_id=request_id, type="request.refused")] == [
            "request.internal"
        ]
        ours = [line for line in lines if request_id in line]
        assert ours
        assert all(canary not in line for line in ours)
