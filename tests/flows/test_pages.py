"""The pages behind mailed links: what a browser without scripts sends, and what it is shown. In all five mounts."""

from __future__ import annotations

import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from fastapi import FastAPI

import admit.pages
from admit.pages.view import local
from admit.stores.sql import outbox
from tests.flows.conftest import Open
from tests.flows.stand import OTHER_PASSWORD, PASSWORD, WIDE, Stand, set_cookies

PAGES = ("login", "register", "forgot", "reset", "verify")


class Browser:
    """Follows links and sends forms as a browser without scripts does."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.client = stand.caller()
        self.origin = "{0.scheme}://{0.netloc}".format(urlsplit(stand.base))
        self.shown: httpx2.Response | None = None

    async def open(self, page: str) -> httpx2.Response:
        self.shown = await self.client.get(f"/auth/ui/{page}")
        return self.shown

    async def send(self, form: int = 0, *, headers: dict[str, str] | None = None, **typed: str) -> httpx2.Response:
        """Fills in a form of the page that is shown, and follows where the answer leads."""
        assert self.shown is not None
        forms = re.findall(r'<form method="post" action="([^"]+)"[^>]*>(.*?)</form>', self.shown.text, re.S)
        action, content = forms[form]
        hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', content))
        data = {name: unescape(value) for name, value in hidden.items()} | typed
        came_from = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin"}
        self.shown = await self.client.post(self.origin + action, data=data, headers=came_from | (headers or {}))
        return self.shown

    async def follow(self) -> httpx2.Response:
        assert self.shown is not None
        assert self.shown.status_code == 303, self.shown.text
        self.shown = await self.client.get(self.origin + self.shown.headers["location"])
        return self.shown


def heading(answer: httpx2.Response) -> str:
    found = re.search(r"<h1>(.*?)</h1>", answer.text)
    assert found is not None, answer.text
    return unescape(found[1])


def errors(answer: httpx2.Response, field: str) -> list[str]:
    """What stands at a field."""
    found = re.search(rf'<div id="{field}-note">(.*?)</div>', answer.text, re.S)
    return [unescape(text) for text in re.findall(r"<li>(.*?)</li>", found[1] if found else "")]


async def mail(stand: Stand) -> str:
    """The link in the newest mail, as the page and query after the pages' path; its origin and path are checked."""
    while await stand.auth.rooms.jobs.run_once():
        pass
    kept = await stand.auth.rooms.kit.work.read(lambda tx: outbox.list_outbox(tx, limit=1))
    link = re.search(r"https?://\S+", kept[0].text)
    assert link is not None
    base = f"{stand.base}/auth/ui/"
    assert link[0].startswith(base)
    return link[0].removeprefix(base)


async def test_sign_up_verify_sign_in_and_out(stand: Stand) -> None:
    browser = Browser(stand)
    await browser.open("register")
    done = await browser.send(username="alice", email="alice@example.test", password=PASSWORD)
    assert (done.status_code, heading(done)) == (200, "Look into your mail")
    link = await mail(stand)
    assert link.startswith("verify?ticket=")
    await browser.open(link)
    assert not (await stand.account("alice")).email_verified, "opening the link must not use it up"
    done = await browser.send()
    assert heading(done) == "Address confirmed"
    assert (await stand.account("alice")).email_verified
    assert heading(await browser.open("account") and await browser.follow()) == "Sign in"
    await browser.send(identifier="alice", password=PASSWORD)
    account = await browser.follow()
    assert heading(account) == "Your account"
    assert "alice@example.test" in account.text
    await browser.send(0)
    assert heading(await browser.follow()) == "Sign in"
    assert (await browser.open("account")).status_code == 303


async def test_a_forgotten_password(stand: Stand) -> None:
    await stand.person()
    other = await stand.signed_in()
    browser = Browser(stand)
    await browser.open("forgot")
    known = await browser.send(identifier="alice")
    link = await mail(stand)
    await browser.open("forgot")
    unknown = await browser.send(identifier="nobody")
    assert (
        (known.status_code, heading(known)) == (unknown.status_code, heading(unknown)) == (200, "Look into your mail")
    )
    shown = await browser.open(link)
    assert heading(shown) == "Choose a new password"
    weak = await browser.send(password="short")
    assert weak.status_code == 422
    assert "The password needs a digit" in errors(weak, "password")
    assert "short" not in weak.text.replace("too short", "")
    done = await browser.send(password=OTHER_PASSWORD)
    assert heading(done) == "Your new password is set"
    assert "admit-session" not in done.headers.get("set-cookie", ""), "a reset signs nobody in"
    assert (await other.get("/protected")).status_code == 401
    await browser.open(link)
    again = await browser.send(password=OTHER_PASSWORD)
    assert (again.status_code, heading(again)) == (400, "That did not work")
    assert "This link is not valid or has been used." in again.text
    await browser.open("login")
    assert (await browser.send(identifier="alice", password=OTHER_PASSWORD)).status_code == 303


async def test_other_sign_ins_are_listed_and_ended(house: Stand) -> None:
    await house.person()
    phone = await house.signed_in()
    browser = Browser(house)
    await browser.open("login")
    await browser.send(identifier="alice", password=PASSWORD)
    shown = await browser.follow()
    assert "App with tokens" in shown.text
    await browser.send(0)
    assert "App with tokens" not in (await browser.follow()).text
    assert (await phone.get("/protected")).status_code == 401


async def test_what_is_wrong_stands_at_its_field(house: Stand) -> None:
    await house.person()
    browser = Browser(house)
    await browser.open("login")
    wrong = await browser.send(identifier="alice", password="not this one")
    assert wrong.status_code == 401
    assert errors(wrong, "password") == ["This does not match. Check both fields, or set a new password."]
    assert 'value="alice"' in wrong.text, "what was typed stays, but for the password"
    assert "not this one" not in wrong.text
    nobody = await browser.send(identifier="nobody", password="not this one")
    assert errors(nobody, "password") == errors(wrong, "password")
    assert errors(await browser.send(identifier="", password="x"), "identifier") == ["Fill this in"]
    await browser.open("register")
    taken = await browser.send(username="alice", email="b@example.test", password=PASSWORD)
    assert (taken.status_code, errors(taken, "username")) == (409, ["This username is taken. Choose another one."])
    broken = await browser.send(username="bob", email="not an address", password=PASSWORD)
    assert errors(broken, "email") == ["Not a valid e-mail address"]
    reasons = {event["reason"] for event in await house.events(outcome="refused")}
    assert {"login.password", "login.unknown", "register.username_taken", "register.identifier"} <= reasons


async def test_too_many_tries_say_when_to_come_back(house: Stand) -> None:
    browser = Browser(house)
    await browser.open("login")
    for _ in range(5):
        await browser.send(identifier="alice", password="wrong")
    limited = await browser.send(identifier="alice", password="wrong")
    assert limited.status_code == 429
    assert re.search(r'role="alert">Too many requests. Try again in \d+ second', limited.text)


@pytest.mark.proof("ASVS-3.5.1")
@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"Origin": "https://evil.example"}},
        {"headers": {"Sec-Fetch-Site": "cross-site"}},
        {"headers": {"Cookie": "admit-form=somethingelse"}},
        {"csrf": ""},
        {"csrf": "A" * 64},
    ],
    ids=["origin", "fetch-site", "other-browser", "missing", "made-up"],
)
async def test_a_form_of_another_site_signs_nobody_in(opened: Open, change: dict[str, Any]) -> None:
    async with opened("fastapi", limits=WIDE) as house:
        await house.person()
        browser = Browser(house)
        await browser.open("login")
        answer = await browser.send(identifier="alice", password=PASSWORD, **change)
        assert answer.status_code == 403
        assert "admit-session" not in set_cookies(answer)


async def test_signing_out_needs_the_token_of_this_session(house: Stand) -> None:
    await house.person()
    browser = Browser(house)
    await browser.open("login")
    await browser.send(identifier="alice", password=PASSWORD)
    await browser.follow()
    assert (await browser.send(0, csrf="A" * 64)).status_code == 403
    assert (await browser.open("account")).status_code == 200


@pytest.mark.parametrize(
    "goal",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/%09/evil\n", "/\t/evil.example",
     "\\\\evil.example", "/a\\..\\evil", "evil", "", "/" + "a" * 600, "/\u2044evil"],
)  # fmt: skip
async def test_after_signing_in_one_stays_here(opened: Open, goal: str) -> None:
    async with opened("fastapi", limits=WIDE) as house:
        await house.person()
        browser = Browser(house)
        shown = await browser.client.get("/auth/ui/login", params={"next": goal})
        browser.shown = shown
        answer = await browser.send(identifier="alice", password=PASSWORD)
        assert answer.headers["location"] == "/auth/ui/account"
        browser.shown = shown
        answer = await browser.send(identifier="alice", password=PASSWORD, next=goal)
        assert answer.headers.get("location", "/auth/ui/account") == "/auth/ui/account"


def test_a_path_of_this_origin_is_kept() -> None:
    assert local("/posts?page=2&x=%2F%2Fy#top", "/else") == "/posts?page=2&x=%2F%2Fy#top"


@pytest.mark.proof("ASVS-6.2.6", "ASVS-6.2.7", "ASVS-3.4.3")
@pytest.mark.parametrize("page", PAGES)
async def test_headers_and_fields(house: Stand, page: str) -> None:
    answer = await house.caller().get(f"/auth/ui/{page}", params={"ticket": "<script>alert(1)</script>"})
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text
    policy = dict(part.strip().partition(" ")[::2] for part in answer.headers["content-security-policy"].split(";"))
    nonce = policy["script-src"].removeprefix("'nonce-").removesuffix("'")
    assert len(nonce) >= 22
    assert policy["default-src"] == policy["base-uri"] == policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert all(f'nonce="{nonce}"' in tag for tag in re.findall(r"<(?:script|style)[^>]*>", answer.text))
    assert not re.search(r'(?:src|href)="(?:https?:)?//', answer.text), "nothing from elsewhere"
    assert not re.search(r"localStorage|sessionStorage|onpaste|<[^>]+ style=| on\w+=", answer.text)
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"
    assert len(answer.content) < 50_000
    for field in re.findall(r"<input[^>]*name=\"password\"[^>]*>", answer.text):
        assert 'type="password"' in field
        assert re.search(r'autocomplete="(current|new)-password"', field)
    assert (
        answer.headers["content-security-policy"]
        != (await house.caller().get(f"/auth/ui/{page}")).headers["content-security-policy"]
    ), "a nonce is used once"


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"identifier=a&identifier=b", {}, 400),
        (b"identifier=%ff", {}, 400),
        (b"identifier=\xff", {}, 400),
        (b"identifier=%00", {}, 400),
        (b"&".join(b"f%d=1" % number for number in range(30)), {}, 400),
        (b"identifier=" + b"a" * 20_000, {}, 413),
    ],
)
async def test_what_is_no_form_is_refused(
    house: Stand, content: bytes, headers: dict[str, str], status: int
) -> None:  # fmt: skip
    kind = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    for page in (*PAGES, "theme", "logout", "account/end"):
        answer = await house.caller().post(f"/auth/ui/{page}", content=content, headers=kind)
        assert answer.status_code == status, (page, answer.text)
        assert answer.headers["content-type"].startswith("text/html")


async def test_the_theme_is_kept_in_a_cookie(stand: Stand) -> None:
    browser = Browser(stand)
    await browser.open("login?next=/x")
    await browser.send(1, theme="dark")
    shown = await browser.follow()
    assert 'data-theme="dark"' in shown.text
    assert parse_qs(urlsplit(str(shown.url)).query) == {"next": ["/x"]}
    await browser.send(1, theme="<b>")
    assert 'data-theme="dark"' in (await browser.follow()).text


async def test_an_application_may_leave_the_pages_out(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened("fastapi") as house:
        house.auth.mount(FastAPI(), pages=False)
        house.auth._site = None
        assert (await house.caller().get("/auth/ui/login")).status_code == 404
        monkeypatch.setattr(admit.pages, "find_spec", lambda name: None)
        house.auth.mount(FastAPI())
        house.auth._site = None
        answer = await house.caller().get("/auth/ui/login")
        assert (answer.status_code, answer.json()["detail"]) == (404, admit.pages.MISSING)
