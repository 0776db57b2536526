"""`Require` in front of FastAPI's solver: the same surface, without what the solver costs for every dependency.

A route whose first dependencies are ours gets a second handler. It asks them before anything of the request is parsed,
and hands what they gave to the endpoint; FastAPI solves the rest. Whatever is not exactly as FastAPI made it (a route
class with a handler of its own, an endpoint of an unusual kind, overrides in a test) keeps the handler it has.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NamedTuple

from fastapi import APIRouter, routing
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from admit.web.require import Optional, Require, RouteLimit

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
_GIVEN = "admit.given"  # in the scope: what the lifted dependencies gave, by the endpoint's parameter
_CONNECTION = "admit connection"  # no Python parameter can have this name
_NEEDED = {"call", "dependencies", "name", "http_connection_param_name"}


class Step(NamedTuple):
    """A dependency of ours, and the parameter of the endpoint that wants its result (None: nobody)."""

    call: Require | Optional | RouteLimit
    name: str | None


def lift(app: object) -> int:
    """Gives the routes of a FastAPI application their second handler; how many got one.

    For the first request, when every route is declared. A route that comes later is served as FastAPI serves it.
    """
    router = getattr(app, "router", None)
    if not isinstance(router, APIRouter) or not _knows_fastapi():
        return 0
    return sum(_lift_all(below, direct=below is router) for below in _routers(router, set()))


def _knows_fastapi() -> bool:
    fields = {field.name for field in dataclasses.fields(Dependant)}
    return fields >= _NEEDED and hasattr(routing, "request_response")


def _routers(router: APIRouter, seen: set[int]) -> Iterator[APIRouter]:
    """The router and those included in it: FastAPI keeps them as they are and builds their routes at first use."""
    if id(router) in seen:
        return
    seen.add(id(router))
    yield router
    for route in router.routes:
        below = getattr(route, "original_router", None)
        if isinstance(below, APIRouter):
            yield from _routers(below, seen)


def _lift_all(router: APIRouter, *, direct: bool) -> int:
    lifted = [route for route in router.routes if isinstance(route, APIRoute) and _lift_route(route, direct=direct)]
    changed = getattr(router, "_mark_routes_changed", None)
    if lifted and not direct and changed is not None:
        # what was built from the routes before (for OpenAPI, say) is built again with the new handlers
        changed()
    return len(lifted)


def _lift_route(route: APIRoute, *, direct: bool) -> bool:
    if type(route).get_route_handler is not APIRoute.get_route_handler or "get_route_handler" in vars(route):
        return False
    if not direct:
        # include_router may put dependencies before the route's own; only when it is built is the list complete
        route.get_route_handler = functools.partial(_handler, route)  # type: ignore[method-assign]
        return True
    if not _is_plain(route.app):
        return False
    handler = _handler(route)
    if not getattr(handler, "lifted", False):
        return False
    route.app = routing.request_response(handler)
    return True


def _is_plain(app: object) -> bool:
    """Whether `app` is `request_response(get_request_handler(...))` and nothing that somebody wrapped around it."""
    cells = getattr(app, "__closure__", None) or ()
    inside = {getattr(cell.cell_contents, "__qualname__", "") for cell in cells}
    outside = getattr(app, "__qualname__", "")
    return outside == "request_response.<locals>.app" and inside == {"get_request_handler.<locals>.app"}


def _handler(route: APIRoute) -> Handler:
    """The lifted handler of a route, or FastAPI's own when there is nothing to lift."""
    holder = _effective(route)
    full: Dependant = holder.dependant
    plain: Handler = APIRoute.get_route_handler(route)
    steps = _steps(full)
    lean = _lean(full, steps)
    if not steps or lean is None:
        return plain
    holder.dependant = lean
    try:
        quick: Handler = APIRoute.get_route_handler(route)
    finally:
        holder.dependant = full  # OpenAPI shows what the route demands
    return _lifted(steps, plain, quick, holder.dependency_overrides_provider)


def _effective(route: APIRoute) -> Any:
    """The route as it was included somewhere, while FastAPI builds that; else the route itself."""
    variable = getattr(routing, "_effective_route_context_var", None)
    context = None if variable is None else variable.get()
    return context if context is not None and context.original_route is route else route


def _steps(dependant: Dependant) -> list[Step]:
    """The dependencies of ours that come before any other: one behind a stranger waits for the stranger."""
    found = []
    for below in dependant.dependencies:
        if not isinstance(below.call, (Require, Optional, RouteLimit)) or getattr(below, "concurrency", None):
            break
        found.append(Step(below.call, below.name))
    return found


def _lean(full: Dependant, steps: list[Step]) -> Dependant | None:
    """`full` without the lifted dependencies; None when its endpoint cannot be handed their results."""
    rest = full.dependencies[len(steps) :]
    if all(step.name is None for step in steps):
        return dataclasses.replace(full, dependencies=rest)
    connection = full.http_connection_param_name or _CONNECTION
    call = None if full.call is None else _endpoint(full.call, connection)
    if call is None:
        return None
    return dataclasses.replace(full, dependencies=rest, call=call, http_connection_param_name=connection)


def _endpoint(call: Callable[..., Any], connection: str) -> Callable[..., Any] | None:
    """`call` with what was given added to its arguments."""

    def arguments(values: dict[str, Any]) -> dict[str, Any]:
        scope = (values.pop(connection) if connection == _CONNECTION else values[connection]).scope
        values.update(scope[_GIVEN])
        return values

    # FastAPI finds out by looking through to the innermost function whether it has to await, iterate or use a thread
    if (inspect.isfunction(call) or inspect.ismethod(call)) and not hasattr(call, "__wrapped__"):

        @functools.wraps(call)
        def endpoint(**values: Any) -> Any:
            return call(**arguments(values))

        _remember(endpoint, call)
        return endpoint
    if not inspect.iscoroutinefunction(call):
        return None

    @functools.wraps(call)
    async def awaited(**values: Any) -> Any:
        return await call(**arguments(values))

    return awaited


def _remember(endpoint: Callable[..., Any], call: Callable[..., Any]) -> None:
    """Has FastAPI's error texts name the application's function and not this file."""
    known, code = getattr(routing, "_endpoint_context_cache", None), call.__code__
    if isinstance(known, dict):
        known[id(endpoint)] = {"file": code.co_filename, "line": code.co_firstlineno, "function": call.__name__}


def _lifted(steps: list[Step], plain: Handler, quick: Handler, overrider: Any) -> Handler:
    async def handler(request: Request) -> Response:
        if overrider is not None and overrider.dependency_overrides:
            return await plain(request)
        scope, given = request.scope, {}
        for call, name in steps:
            found: Any = call.door.at_once(scope, call.demand) if type(call) is Require else None
            if found is None:
                found = await call(request)
            if name is not None:
                given[name] = found
        scope[_GIVEN] = given
        return await quick(request)

    handler.lifted = True  # type: ignore[attr-defined]
    return handler
