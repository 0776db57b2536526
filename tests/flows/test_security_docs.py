"""The documents under docs/security say what the code does."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any, cast, get_args

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI
from pydantic import BaseModel

from admit import Admit
from admit.audit.reading import event_json, list_events
from admit.ground.events import Via
from admit.people.devices import KNOWN_FOR
from admit.settings import Settings
from admit.settings.sections import Algorithm
from admit.stores.sql import schema
from admit.testing.clock import ManualClock
from admit.web.openapi import document
from scripts.reference_docs import duration

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "security"
PASSWORD = "Correct Horse 1 Battery!"
DEFAULTS = Settings()


class City(BaseModel):
    city: str = ""


def text(page: str) -> str:
    return (FOLDER / f"{page}.md").read_text("utf-8")


def rows(page: str, first: str) -> list[list[str]]:
    """The table of a page whose first title is `first`, without its titles."""
    lines = text(page).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(f"| {first} |"))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def setting(name: str) -> Any:
    section, _, field = name.strip("`").partition(".")
    return getattr(getattr(DEFAULTS, section), {"register": "register_"}.get(field, field))


class Application:
    """One application with a profile, and a maker of clients."""

    def __init__(self, auth: Admit, app: FastAPI) -> None:
        self.auth, self.app = auth, app

    def caller(self, address: str = "203.0.113.7") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(cast("Any", self.app), client=(address, 4711))
        return httpx2.AsyncClient(transport=transport, base_url=self.auth.settings.issuer)

    async def person(self, name: str, *roles: str) -> httpx2.AsyncClient:
        """Somebody who signed in with tokens."""
        client = self.caller()
        await client.post("/auth/register", json={"username": name, "password": PASSWORD})
        if roles:
            rooms = self.auth.rooms
            found = await rooms.kit.work.read(lambda tx: rooms.accounts.named(tx, "username", name))
            assert found is not None
            identifier = found.id
            await rooms.kit.work.write(lambda tx: rooms.accounts.grant(tx, identifier, roles, Via()))
        answer = await client.post("/auth/login", json={"identifier": name, "password": PASSWORD})
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client


@pytest.fixture
async def application() -> AsyncIterator[Application]:
    auth = Admit(database="sqlite://", passwords={"hash": "cheap"}, clock=ManualClock(), profile=City)
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)
    async with LifespanManager(cast("Any", app)):
        yield Application(auth, app)


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", rows("throttling", "defence"), ids=lambda row: row[0])
def test_the_numbers_of_throttling_are_the_settings(row: list[str]) -> None:
    value = setting(row[2])
    if isinstance(value, timedelta):
        assert row[1] == duration(value)
    else:
        assert re.search(rf"\b{value}\b", row[1])


def test_every_limit_is_in_the_page_about_throttling() -> None:
    page = text("throttling")
    names = {field.alias or name for name, field in type(DEFAULTS.limits).model_fields.items()}
    # the store and the length of the window are named in the text
    assert not [name for name in names if f"limits.{name}" not in page and name != "per"]
    assert f"{KNOWN_FOR.days} days" in page


@pytest.mark.proof("ASVS-7.1.1", "ASVS-7.1.2")
def test_the_numbers_of_sessions_are_the_settings() -> None:
    table = [row for row in rows("sessions", "limit") if row[2].startswith("`")]
    assert len(table) == 5
    for row in table:
        value = setting(row[2])
        # a day is said in hours there, as NIST says it
        assert row[1] in (duration(value), f"{int(value.total_seconds()) // 3600} hours"), row


# -- throttling --------------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-6.1.1", "ASVS-6.3.1")
async def test_guessing_is_slowed_and_the_owner_still_comes_in(application: Application) -> None:
    home = application.caller()
    await home.post("/auth/register", json={"username": "alice", "password": PASSWORD})
    assert (await home.post("/auth/login", json={"identifier": "alice", "password": PASSWORD})).status_code == 200
    stranger = application.caller("198.51.100.9")
    guesses = [
        await stranger.post("/auth/login", json={"identifier": "alice", "password": f"Guess number {n}!"})
        for n in range(11)
    ]
    assert [answer.status_code for answer in guesses] == [401] * 5 + [429] * 6
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in guesses[5:])
    right = {"identifier": "alice", "password": PASSWORD}
    assert (await stranger.post("/auth/login", json=right)).status_code == 429
    assert (await home.post("/auth/login", json=right)).status_code == 200


# -- passwords ---------------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-6.1.2", "ASVS-6.2.11")
@pytest.mark.parametrize(("words", "status"), [(("acme",), 422), ((), 202)])
async def test_the_documented_list_of_words_is_used(words: tuple[str, ...], status: int) -> None:
    assert "`passwords.context_words`" in (FOLDER.parent / "passwords.md").read_text("utf-8")
    auth = Admit(database="sqlite://", passwords={"hash": "cheap", "context_words": words}, clock=ManualClock())
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)
    async with LifespanManager(cast("Any", app)):
        body = {"username": "alice", "password": "Acme-acme-2026!"}
        answer = await Application(auth, app).caller().post("/auth/register", json=body)
    assert answer.status_code == status
    assert (answer.json().get("code") == "password_context") == (status == 422)


# -- ways to sign in ---------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-6.1.3")
async def test_every_route_that_issues_a_credential_is_listed(application: Application) -> None:
    listed = {path for row in rows("sign-in-methods", "way") for path in re.findall(r"`POST (/auth/\S+)`", row[1])}
    paths = document(application.auth.settings, application.auth.site())["paths"]
    # what nobody needs to be signed in for
    posts = {path: methods["post"].get("security", [{}]) for path, methods in paths.items() if "post" in methods}
    doors = {path for path, ways in posts.items() if {} in ways}
    issue_nothing = {
        "/auth/register",
        "/auth/logout",
        "/auth/password/forgot",
        "/auth/password/reset",
        "/auth/email/verify",
        "/auth/email/resend",
    }
    assert doors - issue_nothing == listed - {"/auth/reauthenticate"}
    assert listed <= paths.keys()


@pytest.mark.proof("ASVS-6.1.3")
async def test_what_issues_nothing_issues_nothing(application: Application) -> None:
    client = application.caller()
    for path, body in {
        "/auth/register": {"username": "bob", "password": PASSWORD},
        "/auth/password/forgot": {"identifier": "bob"},
        "/auth/email/resend": {"email": "bob@example.test"},
    }.items():
        answer = await client.post(path, json=body)
        assert (answer.status_code, "set-cookie" in answer.headers, "token" in answer.text) == (202, False, False)


# -- authorization -----------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-8.1.2")
async def test_fields_are_read_by_whom_the_table_says(application: Application) -> None:
    table = {row[0].strip("`"): row[1:] for row in rows("authorization", "field") if row[0].startswith("`")}
    person, admin = await application.person("alice"), await application.person("root", "admin")
    mine = (await person.get("/auth/me")).json()
    assert mine.keys() == {name for name, row in table.items() if row[0] == "yes"}
    theirs = (await admin.get(f"/auth/admin/users/{mine['id']}")).json()
    assert theirs.keys() == {name for name, row in table.items() if row[2] == "yes"}


@pytest.mark.proof("ASVS-8.1.2")
async def test_fields_are_written_by_whom_the_table_says(application: Application) -> None:
    table = {row[0].strip("`"): row[1:] for row in rows("authorization", "field") if row[0].startswith("`")}
    person, admin = await application.person("alice"), await application.person("root", "admin")
    mine = (await person.get("/auth/me")).json()
    new = {"profile": {"city": "Bern"}, "disabled": False}
    for name, row in table.items():
        value = new.get(name, mine[name])
        mine_now = await person.patch("/auth/me", json={name: value})
        assert (mine_now.status_code == 200) == (row[1] == "yes"), name
        by_admin = await admin.patch(f"/auth/admin/users/{mine['id']}", json={name: value})
        assert (by_admin.status_code == 200) == (row[3] == "yes"), name


@pytest.mark.proof("ASVS-8.1.3", "ASVS-8.1.4")
def test_the_signals_name_thresholds_that_are_set() -> None:
    table = {row[0]: row[2] for row in rows("authorization", "signal")}
    assert str(DEFAULTS.limits.login_address) in table["address"]
    assert str(DEFAULTS.limits.login) in table["identifier"]
    assert str(DEFAULTS.limits.waits_from) in table["identifier"]


@pytest.mark.proof("ASVS-8.1.4")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://127.0.0.1:8000"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_another_site_is_refused(application: Application, headers: dict[str, str], status: int) -> None:
    await application.person("alice")
    answer = await application.caller().post(
        "/auth/login", json={"identifier": "alice", "password": PASSWORD}, headers=headers
    )
    assert answer.status_code == status


# -- keys --------------------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-11.1.2")
def test_every_algorithm_that_can_be_set_is_in_the_inventory() -> None:
    named = " ".join(row[1] for row in rows("keys-and-algorithms", "key"))
    assert not [algorithm for algorithm in get_args(Algorithm) if algorithm not in named]


@pytest.mark.proof("ASVS-16.1.1")
async def test_logging_names_every_member_of_an_event_and_every_table(application: Application) -> None:
    await application.person("alice")
    rooms = application.auth.rooms
    event = event_json((await list_events(rooms.kit.work, limit=1)).events[0])
    page = text("logging")
    assert not [name for name in event if f"`{name}`" not in page]
    tables = {name for name in schema.metadata.tables if "event" in name or "audit" in name}
    assert not [name for name in tables if f"`{name}`" not in page]
