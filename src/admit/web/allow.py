"""The Allow header of a 405: every method of the path, though each method is a route of its own."""

from __future__ import annotations

import re
from functools import cached_property

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.routing import compile_path


class Allowed:
    """Looks a path up among all routes of our application (RFC 9110 section 15.5.6)."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def methods(self, path: str) -> str:
        """The methods of `path`, as the header wants them."""
        found = next((methods for pattern, methods in self._table if pattern.match(path)), ())
        return ", ".join(sorted(found))

    @cached_property
    def _table(self) -> list[tuple[re.Pattern[str], set[str]]]:
        # at the first 405, when all routes are there; of two patterns for one path the first rules, as in routing
        found: dict[str, set[str]] = {}
        for route in iter_route_contexts(self._app.routes):
            if route.path and route.methods:
                found.setdefault(route.path, set()).update(route.methods)
        return [(compile_path(path)[0], methods) for path, methods in found.items()]
