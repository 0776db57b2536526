"""OpenAPI: bearer, API key and cookie as alternatives, each with the route's scopes; our own routes as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from admit.settings import Settings
from admit.web.cookies import Cookies
from admit.web.csrf import SAFE
from admit.web.documented import components, describe_refusals
from admit.web.require import AccountOf, Optional, Require
from admit.web.site import Site

_BY_COOKIE = frozenset({"session", "refresh", "csrf"})


def describe(app: FastAPI, settings: Settings, site: Callable[[], Site], *, cookies: bool = True) -> None:
    """Has `app.openapi()` name our schemes at every route that requires something, and list our own routes.

    Without `cookies`, for a service that takes credentials in headers only.
    """
    original = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = original()
            complete(schema, app, settings, site())
            if not cookies:
                _without_cookies(schema)
        assert app.openapi_schema is not None  # noqa: S101
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def document(settings: Settings, site: Site) -> dict[str, Any]:
    """The OpenAPI document of our own routes alone."""
    own = site.app
    schema = get_openapi(title="Admit", version="0.1.0", routes=own.routes)
    _secure(schema, own)
    _schemes(schema, settings)
    for item in schema["paths"].values():
        for operation in item.values():
            describe_refusals(operation, demanding=_needs_caller(operation))
    for name in ("HTTPValidationError", "ValidationError"):
        schema["components"].get("schemas", {}).pop(name, None)
    return schema


def complete(schema: dict[str, Any], app: FastAPI, settings: Settings, site: Site) -> None:
    """Adds schemes, securities and our own paths to an application's schema."""
    _secure(schema, app)
    _schemes(schema, settings)
    ours = document(settings, site)
    schema.setdefault("paths", {}).update(ours["paths"])
    for kind in ("schemas", "responses"):
        schema["components"].setdefault(kind, {}).update(ours["components"].get(kind, {}))


def _without_cookies(schema: dict[str, Any]) -> None:
    schemes = schema["components"]["securitySchemes"]
    for name in _BY_COOKIE:
        del schemes[name]
    for item in schema["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict) and "security" in operation:
                operation["security"] = [one for one in operation["security"] if not _BY_COOKIE & one.keys()]


def _schemes(schema: dict[str, Any], settings: Settings) -> None:
    cookies, parts = Cookies(settings), schema.setdefault("components", {})
    for kind, shared in components().items():
        parts.setdefault(kind, {}).update(shared)
    parts.setdefault("securitySchemes", {}).update(
        {
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT or API key"},
            "apiKey": {"type": "apiKey", "in": "header", "name": settings.api_keys.header},
            "session": {"type": "apiKey", "in": "cookie", "name": cookies.session},
            "refresh": {"type": "apiKey", "in": "cookie", "name": cookies.refresh},
            "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF-Token"},
        }
    )


def _secure(schema: dict[str, Any], app: FastAPI) -> None:
    # FastAPI keeps included routers as they are: their routes are not in app.routes itself
    for route in iter_route_contexts(app.routes):
        if not isinstance(route.original_route, APIRoute):
            continue
        demanded = list(_demands(route.dependant))
        if not demanded:
            continue
        scopes = sorted({scope for require in demanded for scope in _scopes(require)})
        for method in route.methods or ():
            operation = schema.get("paths", {}).get(route.path_format or "", {}).get(method.lower())
            if operation is not None:
                operation["security"] = _alternatives(scopes, method, demanded)


def _needs_caller(operation: dict[str, Any]) -> bool:
    return bool(operation.get("security"))


def _alternatives(scopes: list[str], method: str, demanded: list[Require | Optional]) -> list[dict[str, list[str]]]:
    cookie = {"session": scopes} if method in SAFE else {"session": scopes, "csrf": []}
    found: list[dict[str, list[str]]] = [{"bearer": scopes}]
    if all(_takes_keys(one) for one in demanded):
        found.append({"apiKey": scopes})
    found.append(cookie)
    return found if any(isinstance(one, Require) for one in demanded) else [*found, {}]


def _takes_keys(one: Require | Optional) -> bool:
    if isinstance(one, Optional) or one.demand.credentials is None:
        return True
    return "api_key" in one.demand.credentials


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
