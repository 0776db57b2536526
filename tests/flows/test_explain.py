"""From the `request_id` of a refused HTTP request to its private reason, in plain words (mission S17)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from admit.audit.explain import Explanation, explain
from admit.cli.verbs import run
from tests.flows.conftest import Open
from tests.flows.stand import Stand, login

Refused = Callable[[Stand], Awaitable[httpx2.Response]]


async def no_credential(house: Stand) -> httpx2.Response:
    return await house.caller().get("/protected")


async def wrong_password(house: Stand) -> httpx2.Response:
    await house.person()
    return await login(house.caller(), password="not the password")


async def unknown_account(house: Stand) -> httpx2.Response:
    return await login(house.caller(), "nobody")


async def expired_token(house: Stand) -> httpx2.Response:
    await house.person()
    caller = await house.signed_in()
    house.clock.advance(timedelta(minutes=16))
    return await caller.get("/protected")


async def broken_signature(house: Stand) -> httpx2.Response:
    await house.person()
    caller = await house.signed_in()
    caller.headers["Authorization"] = caller.headers["Authorization"][:-40] + "A" * 40
    return await caller.get("/protected")


async def disabled_person(house: Stand) -> httpx2.Response:
    person = await house.person()
    caller = await house.signed_in()
    await house.disable(person)
    return await caller.get("/protected")


async def missing_scope(house: Stand) -> httpx2.Response:
    await house.person()
    return await (await house.signed_in()).delete("/posts/1")


async def no_csrf_token(house: Stand) -> httpx2.Response:
    await house.person()
    caller = await house.signed_in(deliver="session")
    del caller.headers["X-CSRF-Token"]
    return await caller.post("/protected")


async def revoked_key(house: Stand) -> httpx2.Response:
    await house.person()
    owner = await house.signed_in()
    key, program = await house.keyed(owner)
    assert (await owner.delete(f"/auth/api-keys/{key}")).status_code == 204
    return await program.get("/protected")


async def reused_refresh_token(house: Stand) -> httpx2.Response:
    await house.person()
    first = (await login(house.caller())).json()["refresh_token"]
    assert (await house.caller().post("/auth/refresh", json={"refresh_token": first})).status_code == 200
    house.clock.advance(timedelta(seconds=11))
    return await house.caller().post("/auth/refresh", json={"refresh_token": first})


async def unreadable_body(house: Stand) -> httpx2.Response:
    return await house.caller().post("/auth/login", content="{", headers={"Content-Type": "application/json"})


CASES: dict[Refused, str] = {
    no_credential: "resolver.none",
    wrong_password: "login.password",
    unknown_account: "login.unknown",
    expired_token: "jwt.expired",
    broken_signature: "jwt.signature",
    disabled_person: "access.subject_disabled",
    missing_scope: "rights.scope",
    no_csrf_token: "csrf.missing",
    revoked_key: "api_key.revoked",
    reused_refresh_token: "refresh.reused",
    unreadable_body: "request.unreadable",
}


async def asked(house: Stand, request_id: str) -> Explanation:
    await house.auth.rooms.observed.flush()
    found = await explain(house.auth.rooms.kit.work, request_id)
    assert found is not None
    return found


@pytest.mark.parametrize("refuse", CASES, ids=lambda case: case.__name__)
@pytest.mark.proof("ASVS-16.3.1")
async def test_a_refused_request_can_be_asked_why(refuse: Refused, house: Stand) -> None:
    answer = await refuse(house)
    body: dict[str, Any] = answer.json()
    request_id = body["request_id"]
    assert answer.headers["x-request-id"] == request_id

    found = await asked(house, request_id)
    assert (found.reason, found.code, found.status) == (CASES[refuse], body["code"], answer.status_code)
    assert found.meaning
    assert found.mend
    # the reason is for operators: the caller must not be told which of many it was
    assert CASES[refuse] not in answer.text
    assert found.meaning not in answer.text


async def test_two_refusals_have_two_explanations(house: Stand) -> None:
    first, second = await no_credential(house), await unreadable_body(house)
    assert first.json()["request_id"] != second.json()["request_id"]
    assert (await asked(house, first.json()["request_id"])).reason == "resolver.none"
    assert (await asked(house, second.json()["request_id"])).reason == "request.unreadable"


async def test_a_request_that_was_not_refused_says_so(house: Stand) -> None:
    await house.person()
    answer = await login(house.caller())
    found = await asked(house, answer.headers["x-request-id"])
    assert found.reason is None
    assert "not refused" in found.meaning
    assert "login.succeeded" in [row.type for row in found.events]


async def test_the_log_knows_nothing_of_an_invented_id(house: Stand) -> None:
    assert await explain(house.auth.rooms.kit.work, "000000000000-1") is None


async def test_the_operator_asks_at_the_command_line(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database = f"sqlite:///{tmp_path}/a.sqlite3"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADMIT_DATABASE", database)
    monkeypatch.setenv("ADMIT_RUN_DIRECTORY", str(tmp_path))
    async with opened("fastapi", database=database) as house:
        answer = await expired_token(house)
        await house.auth.rooms.observed.flush()
        request_id = answer.json()["request_id"]
        assert await asyncio.to_thread(run, ["audit", "explain", request_id, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["reason"], told["code"]) == ("jwt.expired", "token_expired")
        assert await asyncio.to_thread(run, ["audit", "explain", request_id]) == 0
        assert told["meaning"] in capsys.readouterr().out
