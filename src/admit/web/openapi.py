"""OpenAPI: bearer, API key and cookie as alternatives, each with the route's scopes; our own routes as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from admit.settings import Settings
from admit.web.cookies import Cookies
from admit.web.csrf import SAFE
from admit.web.require import AccountOf, Optional, Require
from admit.web.site import Site


def describe(app: FastAPI, settings: Settings, site: Callable[[], Site]) -> None:
    """Has `app.openapi()` name our schemes at every route that requires something, and list our own routes."""
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = original()
            complete(schema, app, settings, site())
        assert app.openapi_schema is not None  # noqa: S101
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document(settings: Settings, site: Site) -> dict[str, Any]:
    """The OpenAPI document of our own routes alone."""
    own = site.app
    schema = get_openapi(title="Admit", version="0.1.0", routes=own.routes)
    _secure(schema, own)
    _schemes(schema, settings)
    return schema


def complete(schema: dict[str, Any], app: FastAPI, settings: Settings, site: Site) -> None:
    """Adds schemes, securities and our own paths to an application's schema."""
    _secure(schema, app)
    _schemes(schema, settings)
    ours = document(settings, site)
    schema.setdefault("paths", {}).update(ours["paths"])
    schema["components"].setdefault("schemas", {}).update(ours["components"].get("schemas", {}))


def _schemes(schema: dict[str, Any], settings: Settings) -> None:
    cookie = Cookies(settings).session
    schema.setdefault("components", {}).setdefault("securitySchemes", {}).update(
        {
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or API key"},
            "apiKey": {"type": "apiKey", "in": "header", "name": settings.api_keys.header},
            "session": {"type": "apiKey", "in": "cookie", "name": cookie},
            "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
        }
    )


def _secure(schema: dict[str, Any], app: FastAPI) -> None:
    for route in app.routes:
        if not isinstance(route, APIRoute):
            continue
        demanded = list(_demands(route.dependant))
        if not demanded:
            continue
        scopes = sorted({scope for require in demanded for scope in _scopes(require)})
        for method in route.methods or ():
            operation = schema.get("paths", {}).get(route.path_format, {}).get(method.lower())
            if operation is not None:
                operation["security"] = _alternatives(scopes, method, demanded)


def _alternatives(scopes: list[str], method: str, demanded: list[Require | Optional]) -> list[dict[str, list[str]]]:
    cookie = {"session": scopes} if method in SAFE else {"session": scopes, "csrf": []}
    found: list[dict[str, list[str]]] = [{"bearer": scopes}, {"apiKey": scopes}, cookie]
    return found if any(isinstance(one, Require) for one in demanded) else [*found, {}]


def _demands(dependant: Dependant) -> Any:
    call = dependant.call
    if isinstance(call, AccountOf):
        yield call.require
    elif isinstance(call, (Require, Optional)):
        yield call
    for below in dependant.dependencies:
        yield from _demands(below)


def _scopes(require: Require | Optional) -> tuple[str, ...]:
    return (*require.demand.scopes, *require.demand.any_of) if isinstance(require, Require) else ()
