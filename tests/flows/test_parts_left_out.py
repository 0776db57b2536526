"""`mount(pages=…, routes=…)` leaves parts out, and gives their paths back to the application."""

from __future__ import annotations

import httpx2
import pytest
from fastapi import FastAPI

from admit import Admit


@pytest.mark.parametrize(
    ("pages", "routes", "login", "page", "own"),
    [
        (True, True, 401, 200, 404),
        (False, True, 401, 404, 404),
        (True, False, 404, 200, 200),
        (False, False, 404, 404, 200),
    ],
)
async def test_what_is_left_out_is_the_applications(pages: bool, routes: bool, login: int, page: int, own: int) -> None:
    auth = Admit(database="sqlite://", passwords={"hash": "cheap"})
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app, pages=pages, routes=routes)

    @app.get("/auth/google")
    async def google() -> dict[str, str]:
        return {"answer": "the application's own"}

    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 5))
    async with auth.lifespan(), httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        body = {"identifier": "nobody", "password": "whatever"}
        assert (await client.post("/auth/login", json=body)).status_code == login
        assert (await client.get("/auth/ui/login")).status_code == page
        assert (await client.get("/auth/google")).status_code == own
        assert (await client.get("/.well-known/jwks.json")).status_code == 200
