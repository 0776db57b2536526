"""What an application brings of its own: a profile, `may_register`, `claims`, functions that hear events, OpenAPI."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from admit.credentials.mint import ClaimsRequest
from admit.flows.register import RegistrationRequest
from tests.flows.conftest import Open
from tests.flows.stand import PASSWORD, WIDE, Stand, code, login


class Reader(BaseModel):
    """The profile of the application under test."""

    model_config = ConfigDict(extra="forbid")

    nickname: str = Field(default="", max_length=20)
    newsletter: bool = False
    languages: list[str] = Field(default_factory=list, max_length=3)


@pytest.mark.proof("ASVS-8.2.3", "ASVS-15.3.3", "ASVS-15.3.5", "ASVS-2.2.1")
async def test_a_typed_profile(mount: str, opened: Open) -> None:
    async with opened(mount, profile=Reader, limits=WIDE) as stand:
        caller = stand.caller()

        async def register(name: str, profile: object) -> tuple[int, Any]:
            body = {"username": name, "password": PASSWORD, "profile": profile}
            answer = await caller.post("/auth/register", json=body)
            return answer.status_code, answer.json()

        for wrong, field in (
            ({"nickname": "x" * 21}, "profile.nickname"), ({"newsletter": "perhaps"}, "profile.newsletter"),
            ({"is_admin": True}, "profile.is_admin"), ({"languages": ["a", "b", "c", "d"]}, "profile.languages"),
        ):  # fmt: skip
            status, body = await register("alice", wrong)
            assert (status, body["code"]) == (422, "invalid_input")
            assert [error["field"] for error in body["errors"]] == [field]
        assert (await register("alice", {"nickname": "Al", "languages": ["de"]}))[0] == 202
        client = await stand.signed_in(deliver="session")
        before = (await client.get("/auth/me")).json()
        assert before["profile"] == {"nickname": "Al", "newsletter": False, "languages": ["de"]}
        answer = await client.patch("/auth/me", json={"profile": {"newsletter": True}})
        assert answer.json()["profile"] == {"nickname": "Al", "newsletter": True, "languages": ["de"]}
        # nothing but the profile, and then nothing changed
        for body in (
            {"profile": {"newsletter": False, "roles": ["admin"]}}, {"profile": {"nickname": 1}}, {"profile": []},
            {"roles": ["admin"]}, {"is_admin": True}, {"email_verified": True}, {"id": "usr_x"}, {"disabled": False},
            {"profile": {}, "roles": ["admin"]}, {"username": "root"}, {"tenant": 2}, {"created_at": "2020-01-01"},
        ):  # fmt: skip
            assert code(await client.patch("/auth/me", json=body)) == (422, "invalid_input"), body
        after = (await client.get("/auth/me")).json()
        assert after == {**before, "profile": {**before["profile"], "newsletter": True}}
        for extra in ("roles", "user_id", "is_superuser", "scopes", "hint", "verified", "tenant"):
            body = {"username": "bob", "password": PASSWORD, extra: "x"}
            assert code(await caller.post("/auth/register", json=body)) == (422, "invalid_input")


async def test_may_register_decides(mount: str, opened: Open) -> None:
    asked: list[RegistrationRequest] = []

    async def may_register(request: RegistrationRequest) -> bool | str:
        asked.append(request)
        if request.email is None:
            return "Please register with your address"
        return request.email.endswith("@example.test")

    async with opened(mount, may_register=may_register, limits=WIDE) as stand:
        await stand.person()
        for body, detail in (
            ({"username": "bob"}, "Please register with your address"),
            ({"email": "bob@evil.example"}, "This account cannot be created here"),
            ({"email": "alice@example.test.evil.example"}, "This account cannot be created here"),
        ):
            answer = await stand.caller().post("/auth/register", json={**body, "password": PASSWORD})
            assert code(answer) == (403, "registration_refused")
            assert answer.json()["detail"] == detail
        assert asked[0].username == "alice"
        assert asked[0].email == "alice@example.test"
        assert not any(PASSWORD in repr(request) for request in asked)
        assert len(asked) == 4
        assert code(await login(stand.caller(), "bob")) == (401, "login_failed")


async def test_closed_registration(opened: Open) -> None:
    async with opened("fastapi", registration=False) as stand:
        answer = await stand.caller().post("/auth/register", json={"username": "bob", "password": PASSWORD})
        assert code(answer) == (403, "registration_refused")


async def test_claims_of_the_application(mount: str, opened: Open) -> None:
    told: list[ClaimsRequest] = []

    async def claims(request: ClaimsRequest) -> dict[str, Any]:
        told.append(request)
        return {"team": "blue", "plan": {"name": "pro", "seats": 3}}

    async with opened(mount, claims=claims) as stand:
        alice = await stand.person()
        client = await stand.signed_in()
        assert (await client.get("/protected")).json()["claims"] == {
            "team": "blue", "plan": {"name": "pro", "seats": 3},
        }  # fmt: skip
        assert told == [ClaimsRequest(alice, "admit", frozenset({"read:posts", "read:profile"}))]
        session = await stand.signed_in(deliver="session")
        assert (await session.get("/protected")).json()["claims"] == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"sub": "usr_root"}, {"exp": 9_999_999_999}, {"scope": "admit:admin"}, {"iss": "https://evil.example"},
        {"client_id": "x"}, {"SUB": "x"}, {"password": "x"}, {"user": {"card_pin": 1}}, {"apiKey": "x"},
        {"when": timedelta(1)}, {"n": float("nan")}, {"much": "x" * 3000},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
async def test_reserved_and_sensitive_claims_never_get_into_a_token(wrong: dict[str, Any], opened: Open) -> None:
    async with opened("fastapi", claims=lambda _request: wrong) as stand:
        await stand.person()
        answer = await login(stand.caller())
        assert code(answer) == (500, "internal")
        assert "set-cookie" not in answer.headers
        assert (await login(stand.caller(), deliver="session")).status_code == 200


async def test_functions_of_the_application_hear_events_after_the_commit(opened: Open) -> None:
    heard: list[tuple[str, str | None]] = []
    async with opened("fastapi") as stand:
        await stand.auth.rooms.steps.close()  # the turns are ours
        with pytest.raises(ValueError, match=r"no\.such"):
            stand.auth.on("no.such")

        @stand.auth.on("login.succeeded", "login.failed")
        def stumbles(event: Any) -> None:
            raise RuntimeError("not today")

        @stand.auth.on("account.registered", "login.succeeded")
        async def note(event: Any) -> None:
            heard.append((event.type, event.subject))

        alice = await stand.person()
        await login(stand.caller(), password="Wrong Horse 9 Battery!")
        assert (await stand.signed_in()).headers["Authorization"]  # a function that stumbles stops nobody
        assert heard == []
        for _ in range(3):
            stand.clock.advance(timedelta(seconds=30))
            await stand.auth.rooms.steps.run_once()
        # in order, nothing twice, nothing that was not asked for
        assert heard == [("account.registered", alice), ("login.succeeded", alice)]


def test_openapi_names_every_way_in_with_its_scopes(admit: Any) -> None:
    from tests.flows.applications import in_fastapi

    auth = admit()
    app = in_fastapi(auth)
    assert isinstance(app, FastAPI)
    schema = app.openapi()
    schemes = schema["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "X-API-Key")
    assert (schemes["session"]["in"], schemes["session"]["name"]) == ("cookie", "admit-session")
    delete = schema["paths"]["/posts/{post_id}"]["delete"]
    ways = {name: scopes for way in delete["security"] for name, scopes in way.items()}
    for name in ("bearer", "apiKey", "session"):
        assert ways[name] == ["delete:posts"]
    assert "security" not in schema["paths"]["/open"]["get"]
    assert {} in schema["paths"]["/maybe"]["get"]["security"]
    assert [parameter["name"] for parameter in delete["parameters"]] == ["post_id"]
    assert "/auth/login" in schema["paths"]


@pytest.mark.proof("ASVS-6.2.1", "ASVS-6.2.9", "ASVS-6.2.8", "ASVS-6.2.11")
async def test_passwords_are_refused_each_with_its_reason(house: Stand) -> None:
    table = {
        "Short 1!": "password_too_short", "correct horse 1 battery!": "password_no_upper",
        "CORRECT HORSE 1 BATTERY!": "password_no_lower", "Correct Horse Battery!": "password_no_digit",
        "CorrectHorse1Battery": "password_no_symbol", "Password1234!": "password_too_common",
        "P@ssw0rd!2024": "password_too_common", "Quillsworth-2024!": "password_like_username",
    }  # fmt: skip
    clients = [house.caller(f"198.51.100.{number}") for number in range(20)]
    for client, (password, reason) in zip(clients, table.items(), strict=False):
        answer = await client.post("/auth/register", json={"username": "quillsworth", "password": password})
        assert code(answer) == (422, reason), password
        assert password not in answer.text
    # every reason at once
    answer = await clients[10].post("/auth/register", json={"username": "bob", "password": "x"})
    assert len(answer.json()["errors"]) >= 4
    long = "Correct Horse 1 Battery! " * 5 + "Z"
    await house.person("quillsworth", password=long)
    for wrong in (long[:-1], long[:-1] + "z", long + " ", f" {long}"):
        assert code(await login(house.caller(), "quillsworth", password=wrong)) == (401, "login_failed")
    house.clock.advance(timedelta(minutes=1))
    assert (await login(house.caller(), "quillsworth", password=long)).status_code == 200
