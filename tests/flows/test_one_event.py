"""All routes x all refusals: each leaves exactly one event, whose private reason leads to the code that was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, NamedTuple

import httpx2
import pytest

from admit.ground.codes import REASONS
from admit.web.openapi import document
from tests.flows.conftest import Open
from tests.flows.stand import PASSWORD, WIDE, Stand, login

#: a body that each operation can read; what is not named takes none or `{}`
BODIES: dict[str, dict[str, Any]] = {
    "POST /auth/register": {"username": "someone", "password": PASSWORD},
    "POST /auth/login": {"identifier": "nobody", "password": "x"},
    "POST /auth/refresh": {"refresh_token": "x"},
    "POST /auth/reauthenticate": {"password": "x"},
    "PATCH /auth/me": {"profile": {"no_such": 1}},
    "DELETE /auth/me": {"password": "x"},
    "POST /auth/password/change": {"current": "x", "new": PASSWORD},
    "POST /auth/password/forgot": {"identifier": "nobody"},
    "POST /auth/password/reset": {"ticket": "x", "new": PASSWORD},
    "POST /auth/email/verify": {"ticket": "x"},
    "POST /auth/email/resend": {"email": "nobody@example.test"},
    "POST /auth/email/change": {"email": "new@example.test"},
    "POST /auth/api-keys": {"name": "x", "scopes": ["admit:admin"]},
    "PATCH /auth/api-keys/{key_id}": {"name": "x"},
    "POST /auth/api-keys/verify": {"key": "x"},
    "POST /auth/tokens/verify": {"token": "x"},
    "POST /auth/service-accounts": {"name": "x", "roles": ["admin"]},
    "PATCH /auth/admin/users/{user_id}": {"disabled": True},
    "POST /auth/admin/users/{user_id}/roles": {"roles": ["editor"]},
}


class Operation(NamedTuple):
    """One method of one of our paths."""

    method: str
    path: str
    has_body: bool
    secured: bool

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def url(self) -> str:
        """The path with identifiers of nobody in it."""
        filled = self.path
        for part in ("user_id", "session_id", "key_id", "account_id", "kid", "finding_id", "role"):
            filled = filled.replace(f"{{{part}}}", "x")
        assert "{" not in filled, f"name a value for {self.path}"
        return filled


def operations(stand: Stand) -> list[Operation]:
    """Every operation of ours, from our own OpenAPI."""
    schema = document(stand.auth.settings, stand.auth.site())
    return [
        Operation(method.upper(), path, "requestBody" in described, bool(described.get("security")))
        for path, item in schema["paths"].items()
        for method, described in item.items()
    ]


class Callers(NamedTuple):
    """One of each kind, and a bearer that has expired."""

    anonymous: httpx2.AsyncClient
    person: httpx2.AsyncClient
    session: httpx2.AsyncClient
    program: httpx2.AsyncClient
    expired: str
    dead_session: str
    csrf: str


Attempt = tuple[str, httpx2.AsyncClient, dict[str, Any]]


def attempts(one: Operation, callers: Callers) -> Iterator[Attempt]:
    """What goes wrong at this operation: a name, who asks, and what differs from a good request."""
    anonymous, person = callers.anonymous, callers.person
    bearer, key = person.headers["Authorization"], callers.program.headers["X-API-Key"]
    yield "anonymous", anonymous, {}
    yield "a person", person, {}
    yield "an API key", callers.program, {}
    yield "a session without its token", callers.session, {}
    yield "a session with another's token", callers.session, {"headers": {"X-CSRF-Token": "A" * 64}}
    yield "from another site", callers.session, {"headers": {"Sec-Fetch-Site": "cross-site", "Origin": "null"}}
    for name, headers in (
        ("two credentials", {"Authorization": bearer, "X-API-Key": key}),
        ("a wrong bearer", {"Authorization": "Bearer x.y.z"}),
        ("an expired bearer", {"Authorization": f"Bearer {callers.expired}"}),
        ("a malformed bearer", {"Authorization": "Bearer"}),
        ("a wrong key", {"X-API-Key": "x"}),
        ("a dead session", {"Cookie": f"admit-session={callers.dead_session}"}),
        ("an unknown host", {"Host": "evil.example", "Authorization": bearer}),
    ):
        yield name, anonymous, {"headers": headers}
    yield "another method", person, {"method": "PUT"}
    if one.has_body:
        for name, content, media in (
            ("no JSON", b"{", "application/json"), ("a list", b"[]", "application/json"),
            ("nothing", b"", "application/json"), ("a form", b"a=b", "application/x-www-form-urlencoded"),
            ("an unknown member", json.dumps({**BODIES.get(one.name, {}), "x": 1}).encode(), "application/json"),
            ("too much", b'"' + b"x" * 70_000 + b'"', "application/json"),
        ):  # fmt: skip
            yield name, person, {"content": content, "headers": {"Content-Type": media}}


async def cast(stand: Stand) -> Callers:
    """Makes them, and lets one bearer and one session grow old."""
    await stand.person()
    expired, dead = await stand.signed_in(), await stand.signed_in(deliver="session")
    stand.clock.advance(timedelta(hours=9))
    person, session = await stand.signed_in(), await stand.signed_in(deliver="session")
    csrf = session.headers.pop("X-CSRF-Token")
    _, program = await stand.keyed(person)
    cookie = session.cookies["admit-session"]
    # cookies by hand: an answer that clears them must not change the next attempt
    fixed = stand.caller(Cookie=f"admit-session={cookie}")
    return Callers(
        stand.caller(), person, fixed, program, expired.headers["Authorization"].removeprefix("Bearer "),
        dead.cookies["admit-session"], csrf,
    )  # fmt: skip


def skipped(one: Operation, name: str) -> bool:
    """What would end the very callers that the rest of the walk needs, and is no refusal anyway."""
    return one.path == "/auth/logout" or (one.name == "DELETE /auth/sessions" and name == "a person")


@pytest.mark.proof("ASVS-16.3.1", "ASVS-16.3.2", "ASVS-16.3.3", "ASVS-16.2.1", "ASVS-2.2.1", "ASVS-3.5.2", "ASVS-4.1.1")
async def test_each_refusal_leaves_exactly_one_event(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        callers = await cast(stand)
        answers: dict[str, tuple[str, httpx2.Response]] = {}
        walked = operations(stand)
        assert len(walked) >= 45
        for one in walked:
            # as a second does otherwise: of more than 200 in one batch, those alike would share a row
            await stand.auth.rooms.observed.flush()
            for name, client, changes in attempts(one, callers):
                if skipped(one, name):
                    continue
                given: dict[str, Any] = {"method": one.method}
                if one.has_body:
                    given["json"] = BODIES.get(one.name, {})
                given |= changes
                if "content" in given:
                    given.pop("json", None)
                answer = await client.request(given.pop("method"), one.url, **given)
                assert answer.status_code < 500, (one.name, name, answer.text)
                assert answer.headers["x-request-id"]
                if answer.status_code >= 400:
                    answers[answer.headers["x-request-id"]] = (f"{one.name}: {name}", answer)
        assert len(answers) > 400
        await _compare(stand, answers)


async def _compare(stand: Stand, answers: dict[str, tuple[str, httpx2.Response]]) -> None:
    found: dict[str, list[dict[str, Any]]] = {}
    await stand.auth.rooms.observed.flush()
    for row in await stand.events():
        if row["outcome"] == "refused" and row["request_id"]:
            found.setdefault(row["request_id"], []).append(row)
    wrong: list[Any] = []
    for request_id, (name, answer) in answers.items():
        problem = answer.json()
        assert problem["request_id"] == request_id
        assert problem["status"] == answer.status_code
        rows = found.get(request_id, [])
        codes = [REASONS[row["reason"]] for row in rows]
        if codes != [problem["code"]]:
            wrong.append((name, problem["code"], [row["reason"] for row in rows]))
    assert wrong == [], "\n".join(map(str, wrong))


async def test_what_went_well_is_not_a_refusal(opened: Open) -> None:
    async with opened("fastapi", limits=WIDE) as stand:
        await stand.person()
        client = await stand.signed_in(deliver="session")
        tokens = (await login(stand.caller())).json()
        await stand.caller().post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        await client.post("/auth/reauthenticate", json={"password": PASSWORD})
        await client.get("/maybe")
        await stand.caller().get("/maybe")
        await client.post("/auth/logout")
        rows = await stand.events()
        assert [row["reason"] for row in rows if row["outcome"] != "success"] == []
        types = [row["type"] for row in rows]
        for type_ in (
            "account.registered", "login.reauthenticated", "refresh.rotated", "session.rotated", "session.ended",
            "session.started", "grant.started",
        ):  # fmt: skip
            assert types.count(type_) == 1, type_
        assert types.count("login.succeeded") == 2
