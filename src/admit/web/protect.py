"""Deny by default: an ASGI application whose every path needs a caller, but for a list of public ones."""

from __future__ import annotations

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from admit.web.demand import Demand
from admit.web.door import Door

_ANYBODY = Demand()


class Protect:
    """Compares the decoded path of the scope, never a URL rebuilt from the Host header."""

    def __init__(self, app: ASGIApp, door: Door, public: tuple[str, ...]) -> None:
        self.app = app
        self._door = door
        self._exact = frozenset(path for path in public if not path.endswith("/*"))
        self._below = tuple(path[:-1] for path in public if path.endswith("/*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = scope["type"] in ("http", "websocket") and not self._is_public(get_route_path(scope))
        if asked and self._door.at_once(scope, _ANYBODY) is None:
            await self._door.principal(scope, _ANYBODY)
        await self.app(scope, receive, send)

    def _is_public(self, path: str) -> bool:
        # "/public/../admin" is not below "/public/" for an application that resolves dots
        if "/../" in path or path.endswith("/.."):
            return False
        return path in self._exact or path.startswith(self._below)
