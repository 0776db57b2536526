"""OpenAPI names what a route requires, wherever the route was declared."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI

from admit import Admit


@pytest.fixture
def paths() -> dict[str, Any]:
    auth = Admit(database="sqlite://", scopes={"read:posts": "Read posts"})
    app, routes = FastAPI(), APIRouter(dependencies=[Depends(auth.require("read:posts"))])

    async def answer() -> None: ...

    routes.add_api_route("/inside", answer, methods=["GET"])
    app.include_router(routes, prefix="/v1")
    app.add_api_route("/own", answer, methods=["POST"], dependencies=[Depends(auth.require())])
    app.add_api_route("/person", answer, methods=["GET"], dependencies=[Depends(auth.account)])
    app.add_api_route("/maybe", answer, methods=["GET"], dependencies=[Depends(auth.optional)])
    app.add_api_route("/open", answer, methods=["GET"])
    auth.mount(app)
    found: dict[str, Any] = app.openapi()["paths"]
    return found


def test_a_route_of_an_included_router_names_its_scopes(paths: dict[str, Any]) -> None:
    security = paths["/v1/inside"]["get"]["security"]
    assert security == [{kind: ["read:posts"]} for kind in ("bearer", "apiKey", "session")]


def test_a_cookie_comes_with_its_csrf_token_where_something_changes(paths: dict[str, Any]) -> None:
    assert {"session": [], "csrf": []} in paths["/own"]["post"]["security"]
    assert {"session": []} in paths["/person"]["get"]["security"]


def test_what_requires_nobody_says_so(paths: dict[str, Any]) -> None:
    assert {} in paths["/maybe"]["get"]["security"]
    assert "security" not in paths["/open"]["get"]


def test_our_own_routes_are_listed_with_what_they_demand(paths: dict[str, Any]) -> None:
    assert {"bearer": ["admit:admin"]} in paths["/auth/admin/users"]["get"]["security"]
    assert {"bearer": []} in paths["/auth/me"]["get"]["security"]
    assert "security" not in paths["/auth/login"]["post"]
