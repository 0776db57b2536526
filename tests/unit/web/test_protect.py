"""Deny by default: `mount(app, public=...)` and `wrap(protect(...))`."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from admit import Admit
from admit.ground.clock import Clock
from admit.testing.clock import ManualClock

PUBLIC = ("/", "/static/*")


def application(clock: Clock, way: str) -> Any:
    auth = Admit(database="sqlite://", passwords={"hash": "cheap"}, clock=clock)
    app = FastAPI(openapi_url=None)

    async def answer() -> dict[str, str]:
        return {}

    for path in ("/", "/static/a.css", "/forgotten"):
        app.add_api_route(path, answer)
    if way == "wrapped":
        return auth.wrap(auth.protect(app, public=PUBLIC))
    auth.mount(app, public=PUBLIC)
    return app


@pytest.mark.parametrize("way", ["mounted", "wrapped"])
async def test_a_route_that_names_nobody_is_closed(way: str) -> None:
    transport = httpx2.ASGITransport(application(ManualClock(), way), client=("203.0.113.7", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        assert [(await client.get(path)).status_code for path in ("/", "/static/a.css")] == [200, 200]
        closed = await client.get("/forgotten")
        assert (closed.status_code, closed.json()["code"]) == (401, "not_authenticated")
        assert (await client.get("/static/../forgotten")).status_code == 401
        # our own doors stay open: how else would anyone come in
        account = {"username": "alice", "password": "Correct Horse 1 Battery!"}
        assert (await client.post("/auth/register", json=account)).status_code == 202
        login = {"identifier": "alice", "password": account["password"]}
        token = (await client.post("/auth/login", json=login)).json()["access_token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/forgotten", headers=bearer)).status_code == 200
