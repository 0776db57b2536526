"""Proving addresses and getting a new password, through a real mail server; known and unknown accounts look alike."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.flows.conftest import Open
from tests.flows.stand import OTHER_PASSWORD, PASSWORD, WIDE, Stand, code, login
from tests.parts.smtp import Mail, SmtpSink

LINK = re.compile(r"https?://\S+")
#: headers by which somebody else's host gets into a mailed link (CVE-2025-64101)
POISON = {
    "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "444",
    "Forwarded": "host=evil.example;proto=https", "X-Host": "evil.example", "X-Original-Host": "evil.example",
    "X-Forwarded-Server": "evil.example", "X-Forwarded-Prefix": "/evil",
}  # fmt: skip


def sending(smtp: SmtpSink) -> dict[str, Any]:
    """Settings that send through the sink."""
    return {"mail": {"host": smtp.host, "port": smtp.port, "tls": "none", "sender": "no-reply@example.test"}}


def link(mail: Mail) -> str:
    """The one link of a mail."""
    (found,) = LINK.findall(mail.text)
    return str(found)


def ticket(mail: Mail) -> str:
    """The ticket in its link."""
    return parse_qs(urlsplit(link(mail)).query)["ticket"][0]


async def delivered(stand: Stand, smtp: SmtpSink, number: int) -> list[Mail]:
    """All mails, once the jobs that are queued have run; exactly `number` of them."""
    while await stand.auth.rooms.jobs.run_once():
        pass
    # on a thread: a job that the background has taken needs this loop to be sent
    mails = await asyncio.to_thread(smtp.wait_for, number)
    assert len(mails) == number, [mail.subject for mail in mails]
    return mails


@pytest.mark.proof("ASVS-1.3.11", "ASVS-3.5.3", "ASVS-6.4.1")
async def test_an_address_is_proved_by_its_link(mount: str, opened: Open, smtp: SmtpSink) -> None:
    async with opened(mount, require_verified=True, **sending(smtp)) as stand:
        await stand.person()
        (mail,) = await delivered(stand, smtp, 1)
        assert (mail.sender, mail.recipients) == ("no-reply@example.test", ("alice@example.test",))
        assert link(mail).startswith(f"{stand.base}/auth/ui/verify?ticket=")
        caller = stand.caller()
        # before that, the right password is told so, and nobody else
        assert code(await login(caller)) == (403, "email_unverified")
        assert code(await login(caller, password="Wrong Horse 9 Battery!")) == (401, "login_failed")
        # sent again: both links work until one was used
        assert (await caller.post("/auth/email/resend", json={"email": "alice@example.test"})).status_code == 202
        mails = await delivered(stand, smtp, 2)
        answer = await caller.post("/auth/email/verify", json={"ticket": ticket(mails[1])})
        assert (answer.status_code, answer.headers.get("set-cookie")) == (204, None)
        again = await caller.post("/auth/email/verify", json={"ticket": ticket(mails[1])})
        assert code(again) == (400, "ticket_invalid")
        signed_in = await stand.signed_in(deliver="session")
        assert (await signed_in.get("/auth/me")).json()["email_verified"] is True
        # nothing more to prove, nothing more to send
        assert (await caller.post("/auth/email/resend", json={"email": "alice@example.test"})).status_code == 202
        await delivered(stand, smtp, 2)
        assert [row["type"] for row in await stand.events(type="account.email_verified")] == ["account.email_verified"]


@pytest.mark.proof("ASVS-6.4.3", "NIST-4.2.1.2", "ASVS-7.4.3", "ASVS-6.3.7", "NIST-4.6", "CS-FORGOT-host")
async def test_a_forgotten_password(mount: str, opened: Open, smtp: SmtpSink) -> None:
    async with opened(mount, **sending(smtp)) as stand:
        await stand.person()
        await delivered(stand, smtp, 1)
        callers = [await stand.signed_in(deliver=deliver) for deliver in ("session", "tokens", "cookie", "spa")]
        anonymous = stand.caller()
        for name in ("alice", "ALICE@example.test"):
            assert (await anonymous.post("/auth/password/forgot", json={"identifier": name})).status_code == 202
        *_, first, second = await delivered(stand, smtp, 3)
        assert link(second).startswith(f"{stand.base}/auth/ui/reset?ticket=")

        async def reset(text: object, new: str = OTHER_PASSWORD) -> httpx2.Response:
            return await anonymous.post("/auth/password/reset", json={"ticket": text, "new": new})

        # a weak password does not use the link up
        assert code(await reset(ticket(second), "Password1234!")) == (422, "password_too_common")
        answer = await reset(ticket(second))
        assert (answer.status_code, answer.text, answer.headers.get("set-cookie")) == (204, "", None)
        for caller in callers:
            assert (await caller.get("/protected")).status_code == 401
        assert code(await login(anonymous)) == (401, "login_failed")
        assert (await login(anonymous, password=OTHER_PASSWORD)).status_code == 200
        # once, and the other link died with it
        assert code(await reset(ticket(second), PASSWORD)) == (400, "ticket_invalid")
        assert code(await reset(ticket(first), PASSWORD)) == (400, "ticket_expired")
        # the owner hears of it
        mails = await delivered(stand, smtp, 4)
        assert "was changed" in mails[3].subject
        assert "ticket" not in mails[3].text


@pytest.mark.proof("ASVS-2.3.1", "ASVS-9.2.2", "ASVS-6.6.2")
async def test_a_reset_needs_its_own_unused_ticket(mount: str, opened: Open, smtp: SmtpSink) -> None:
    """CVE-2019-16109 and others: no, empty, another's, another purpose's, a used and an old ticket."""
    async with opened(mount, limits=WIDE, **sending(smtp)) as stand:
        await stand.person("alice")
        await stand.person("mallory")
        proof = next(mail for mail in await delivered(stand, smtp, 2) if "alice@example.test" in mail.recipients)
        caller = stand.caller()
        for name in ("alice", "mallory"):
            await caller.post("/auth/password/forgot", json={"identifier": name})
        mails = await delivered(stand, smtp, 4)
        alice, mallory = (
            next(m for m in mails[2:] if f"{n}@example.test" in m.recipients) for n in ("alice", "mallory")
        )
        good = ticket(alice)
        refresh = (await login(caller)).json()["refresh_token"]
        bodies: list[tuple[Any, int]] = [
            ({"new": OTHER_PASSWORD}, 422), ({"ticket": "", "new": OTHER_PASSWORD}, 422),
            ({"ticket": None, "new": OTHER_PASSWORD}, 422), ({"ticket": [good], "new": OTHER_PASSWORD}, 422),
            ({"ticket": 0, "new": OTHER_PASSWORD}, 422), ({"ticket": {"$ne": ""}, "new": OTHER_PASSWORD}, 422),
            ({"ticket": " ", "new": OTHER_PASSWORD}, 400), ({"ticket": good[:-1], "new": OTHER_PASSWORD}, 400),
            ({"ticket": good + "A", "new": OTHER_PASSWORD}, 400), ({"ticket": good.upper(), "new": OTHER_PASSWORD}, 400),
            ({"ticket": ticket(proof), "new": OTHER_PASSWORD}, 400), ({"ticket": refresh, "new": OTHER_PASSWORD}, 400),
            ({"ticket": good, "new": OTHER_PASSWORD, "user": "mallory"}, 422), ({}, 422),
        ]  # fmt: skip
        for body, status in bodies:
            answer = await caller.post("/auth/password/reset", json=body)
            assert answer.status_code == status, body
        # in the address or as a bearer it is nothing
        answer = await caller.post(f"/auth/password/reset?ticket={good}", json={"new": OTHER_PASSWORD})
        assert answer.status_code == 422
        answer = await caller.get("/protected", headers={"Authorization": f"Bearer {good}"})
        assert code(answer) == (401, "token_invalid")
        # a reset ticket proves no address, and Mallory's changes Mallory's password only
        answer = await caller.post("/auth/email/verify", json={"ticket": good})
        assert code(answer) == (400, "ticket_invalid")
        answer = await caller.post("/auth/password/reset", json={"ticket": ticket(mallory), "new": OTHER_PASSWORD})
        assert answer.status_code == 204
        assert (await login(caller)).status_code == 200
        # half an hour later it is too late
        stand.clock.advance(timedelta(minutes=30))
        answer = await caller.post("/auth/password/reset", json={"ticket": good, "new": OTHER_PASSWORD})
        assert code(answer) == (400, "ticket_expired")
        assert (await login(caller)).status_code == 200


@pytest.mark.proof("CS-FORGOT-host", "ASVS-4.1.3")
async def test_links_lead_to_the_configured_issuer(mount: str, opened: Open, smtp: SmtpSink) -> None:
    async with opened(mount, hosts=("also-served.example.test",), limits=WIDE, **sending(smtp)) as stand:
        base = urlsplit(stand.base)
        for host in (None, "also-served.example.test"):
            caller = stand.caller(**POISON, **({"Host": host} if host else {}))
            name = "alice" if host is None else "bob"
            body = {"username": name, "email": f"{name}@example.test", "password": PASSWORD}
            assert (await caller.post("/auth/register", json=body)).status_code == 202
            assert (await caller.post("/auth/email/resend", json={"email": body["email"]})).status_code == 202
            assert (await caller.post("/auth/password/forgot", json={"identifier": name})).status_code == 202
        evil = stand.caller(Host="evil.example")
        answer = await evil.post("/auth/password/forgot", json={"identifier": "alice"})
        assert code(answer) == (400, "host_invalid")
        for mail in await delivered(stand, smtp, 6):
            parts = urlsplit(link(mail))
            assert (parts.scheme, parts.netloc) == (base.scheme, base.netloc)
            assert parts.path.startswith(f"{base.path}/auth/ui/")
            assert "evil" not in mail.message.as_string()


# -- known and unknown ---------------------------------------------------------------------------------------------

KNOWN, UNKNOWN = "alice@example.test", "nobody@example.test"


def alike(answer: httpx2.Response) -> tuple[int, list[tuple[str, str]], Any]:
    """Status, headers and body, without what differs from request to request for everybody."""
    body = answer.json() if answer.content else None
    if isinstance(body, dict):
        body.pop("request_id", None)
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in ("x-request-id", "date")]
    length = [pair for pair in headers if pair[0] != "content-length"]
    return answer.status_code, length if "request_id" in answer.text else headers, body


Ask = Callable[[httpx2.AsyncClient, str], Any]
ASKS: dict[str, Ask] = {
    "login": lambda client, who: login(client, who, password="Wrong Horse 9 Battery!"),
    "register": lambda client, who: client.post("/auth/register", json={"email": who, "password": PASSWORD}),
    "register weak": lambda client, who: client.post("/auth/register", json={"email": who, "password": "x"}),
    "forgot": lambda client, who: client.post("/auth/password/forgot", json={"identifier": who}),
    "resend": lambda client, who: client.post("/auth/email/resend", json={"email": who}),
}


@pytest.mark.proof("ASVS-6.3.8", "ASVS-6.3.2")
@pytest.mark.parametrize("ask", ASKS)
async def test_known_and_unknown_accounts_are_answered_alike(ask: str, mount: str, opened: Open) -> None:
    async with opened(mount, limits={"login_address": 1000, "register": 1000}) as stand:
        await stand.person()
        disabled = await stand.person("disabled")
        await stand.disable(disabled)
        for _ in range(8):  # into the limit of each name as well
            people = (KNOWN, "disabled@example.test", UNKNOWN)
            seen = [alike(await ASKS[ask](stand.caller(), who)) for who in people]
            assert seen[0] == seen[1] == seen[2]
            if ask == "register":
                break  # the unknown address is known by now


async def test_registering_a_known_address_tells_its_owner(smtp: SmtpSink, opened: Open) -> None:
    async with opened("fastapi", **sending(smtp)) as stand:
        await stand.person()
        body = {"email": "Alice@EXAMPLE.test", "password": OTHER_PASSWORD}
        assert (await stand.caller().post("/auth/register", json=body)).status_code == 202
        _, mail = await delivered(stand, smtp, 2)
        assert "already have an account" in mail.subject
        assert "ticket" not in link(mail)
        assert code(await login(stand.caller(), password=OTHER_PASSWORD)) == (401, "login_failed")
        # usernames are public
        body = {"username": "ALICE", "password": PASSWORD}
        assert code(await stand.caller().post("/auth/register", json=body)) == (409, "username_taken")


@pytest.mark.proof("ASVS-6.3.2")
async def test_no_account_is_there_from_the_start(house: Stand) -> None:
    for name, password in (("admin", "admin"), ("root", "root"), ("sa", "x"), ("test", "test"), ("admin", PASSWORD)):
        assert code(await login(house.caller(), name, password=password)) == (401, "login_failed")
    assert code(await house.caller().get("/auth/admin/users")) == (401, "not_authenticated")
