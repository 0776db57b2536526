"""The standalone server's own doors: health, readiness, metrics, documents, and paths that are nobody's."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from asgi_lifespan import LifespanManager

from admit.auth import Admit
from admit.serve.app import create_app
from admit.testing.clock import ManualClock
from tests.parts.postgres import TempPostgres

Opened = tuple[httpx.AsyncClient, Admit]
BODY = {"identifier": "nobody", "password": "x"}


@asynccontextmanager
async def opened(**settings: Any) -> AsyncIterator[Opened]:
    auth = Admit(**{"passwords": {"hash": "cheap"}, "database": "sqlite://", **settings})
    app = create_app(auth=auth)
    async with LifespanManager(app):
        transport = httpx.ASGITransport(app=app, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
            yield client, auth


@pytest.mark.proof("ASVS-13.4.5")
async def test_closed_unless_opened() -> None:
    async with opened() as (client, _):
        for path in ("/metrics", "/docs", "/openapi.json", "/redoc"):
            answer = await client.get(path)
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), path
        health = await client.get("/healthz")
        assert (health.status_code, health.text) == (200, "ok\n")
        assert (await client.get("/readyz")).text == "ready\n"
        assert (await client.head("/healthz")).content == b""


async def test_opened() -> None:
    async with opened(debug_docs=True) as (client, _):
        assert "/auth/login" in (await client.get("/openapi.json")).json()["paths"]
        assert (await client.get("/docs")).status_code == 200
        await client.post("/auth/login", json=BODY)
        await client.get("/auth/me", headers={"Authorization": "Bearer nonsense"})
        text = (await client.get("/metrics")).text
        assert 'admit_logins_total{outcome="refused"} 1.0' in text
        assert 'admit_requests_total{status="401"} 2.0' in text
        assert 'reason="jwt.malformed"' in text


async def test_paths_that_are_nobodys_answer_as_ours_do() -> None:
    async with opened() as (client, _):
        for method, path in (("GET", "/nothing"), ("POST", "/healthz"), ("DELETE", "/")):
            answer = await client.request(method, path)
            assert answer.status_code in (404, 405)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.postgres
async def test_not_ready_and_still_alive_while_the_database_is_down() -> None:
    server = TempPostgres()
    try:
        url = server.start().url()
        server.halt()
        async with opened(database=url, secret=secrets.token_urlsafe(32)) as (client, _):
            assert (await client.get("/healthz")).status_code == 200
            down = await client.get("/readyz")
            assert (down.status_code, down.json()["code"]) == (503, "unavailable")
            assert int(down.headers["retry-after"]) >= 1
            assert (await client.get("/auth/me", headers={"Authorization": "Bearer x"})).status_code == 503
            server.resume()
            assert (await client.get("/readyz")).status_code == 200
            assert (await client.post("/auth/login", json=BODY)).status_code == 401
    finally:
        server.stop()


async def test_not_ready_once_the_lease_has_run_out_and_the_store_is_gone(tmp_path: Path) -> None:
    clock = ManualClock()
    async with opened(database=f"sqlite:///{tmp_path}/a.db", run_directory=tmp_path, clock=clock) as (client, auth):
        assert (await client.get("/readyz")).status_code == 200
        await auth.rooms.database.close()
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
