"""`auth.routes`: routes of an application's own are no weaker than ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import FastAPI, Request, Response

from admit import Admit
from admit.testing.clock import ManualClock

ALICE = {"identifier": "alice", "password": "Correct Horse 1 Battery!"}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    auth = Admit(database="sqlite://", passwords={"hash": "cheap"}, clock=ManualClock())
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    async def login(request: Request, identifier: str, deliver: Any = "tokens") -> Response:
        return await auth.routes.login(request, identifier, ALICE["password"], deliver)

    async def refresh(request: Request) -> Response:
        return await auth.routes.refresh(request)

    async def logout(request: Request) -> Response:
        return await auth.routes.logout(request)

    for path, handler in {"/login": login, "/refresh": refresh, "/logout": logout}.items():
        # under postponed annotations FastAPI finds Request and Response in this module
        app.add_api_route(path, handler, methods=["POST"], response_model=None)
    async with LifespanManager(cast("Any", app)) as manager:
        transport = httpx2.ASGITransport(cast("Any", manager.app), client=("203.0.113.7", 4711))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as caller:
            await caller.post("/auth/register", json={"username": "alice", "password": ALICE["password"]})
            yield caller


@pytest.mark.parametrize("query", ["identifier=", "identifier=alice&deliver=url"])
async def test_what_our_route_refuses_is_refused(client: httpx2.AsyncClient, query: str) -> None:
    answer = await client.post(f"/login?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert answer.json()["errors"]


async def test_limits_are_those_of_our_route(client: httpx2.AsyncClient) -> None:
    for _ in range(5):
        await client.post("/auth/login", json={**ALICE, "password": "wrong"})
    answer = await client.post("/login?identifier=alice")
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")


async def test_a_refresh_without_a_token_is_refused(client: httpx2.AsyncClient) -> None:
    await client.post("/login?identifier=alice&deliver=spa")
    # the browser sends the refresh cookie to our own paths only
    answer = await client.post("/refresh")
    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_token_invalid")


async def test_a_logout_by_cookie_needs_its_csrf_token(client: httpx2.AsyncClient) -> None:
    token = (await client.post("/login?identifier=alice&deliver=session")).json()["csrf_token"]
    assert (await client.post("/logout")).json()["code"] == "csrf_missing"
    assert (await client.post("/logout", headers={"X-CSRF-Token": token})).status_code == 204
    assert (await client.get("/auth/me")).status_code == 401
