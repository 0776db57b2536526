"""Our own application, as one value: the paths that are ours, who answers them, and what every answer carries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette._utils import get_route_path
from starlette.exceptions import HTTPException

from admit.ground.errors import Refusal, Unavailable
from admit.ground.events import Event
from admit.ground.logs import logger, mask
from admit.settings import Settings
from admit.web import problem
from admit.web.allow import Allowed
from admit.web.context import RequestContext
from admit.web.cors import Cors
from admit.web.door import Door
from admit.web.intake import invalid

if TYPE_CHECKING:
    from admit.web.routes.own import OwnRoutes

log = logger("admit.web")
Header = tuple[bytes, bytes]


class Site:
    """`app` answers the paths that `owns` claims. `open` opens the store when no lifespan did."""

    def __init__(
        self,
        settings: Settings,
        door: Door,
        app: FastAPI,
        observe: Callable[[Event], None],
        recorded: frozenset[str],
    ) -> None:
        self.door = door
        self.app = app
        self.cors = Cors(settings)
        self.realm = settings.brand
        self.is_open = False
        self.own: OwnRoutes | None = None  # what our routes do, for an application's own ones
        self.opener: Callable[[], Awaitable[None]] | None = None
        self.hear: Callable[[Refusal], None] | None = None  # told of every refusal, for counting
        self.headers = _headers(settings)
        self._observe = observe
        self._recorded = recorded
        self._prefix = settings.prefix
        self._inside: tuple[str, ...] = (f"{settings.prefix}/",)
        self._exact = WELL_KNOWN | {settings.prefix}
        self._handlers(app)

    def owns(self, path: str) -> bool:
        """Whether a path (without the mount point) is ours."""
        return path.startswith(self._inside) or path in self._exact

    def leave_out(self, *, routes: bool, pages: bool) -> None:
        """Gives paths back to the application: those of the routes for programs, those of the pages, or both."""
        left = (f"{self._prefix}/ui/",) if pages else ()
        self._inside = (f"{self._prefix}/",) if routes else left
        self._exact = WELL_KNOWN | {self._prefix} if routes else WELL_KNOWN

    async def open(self) -> None:
        """Opens the store; several requests at once open it once."""
        if self.opener is not None:
            await self.opener()

    def record(self, context: RequestContext, refusal: Refusal) -> None:
        """Writes the event of a refusal, unless the flow that refused has done so in its own transaction."""
        if self.hear is not None:
            self.hear(refusal)
        context.refusal = refusal
        scope, gate = context.scope, self.door.gate
        via = gate.via(context) if gate is not None else None
        facts = context.resolved.facts if context.resolved is not None else None
        # masked before it is cut: half a key in the log is too much, and some do put keys into paths
        method, path = scope.get("method", "WEBSOCKET"), mask(scope["path"])[:200]
        log.info(
            "refused", request_id=context.request_id, reason=refusal.reason, code=refusal.code, method=method,
            path=path, private=refusal.private or None,
        )  # fmt: skip
        if refusal.recorded or refusal.reason in self._recorded or via is None:
            return
        self._observe(
            via.event(
                "request.refused", outcome="refused", reason=refusal.reason,
                subject=None if facts is None else facts.subject.id,
                credential=None if facts is None else facts.credential.id,
                data={"method": method, "path": path, "status": refusal.status, "code": refusal.code},
            )
        )  # fmt: skip

    def response(self, context: RequestContext, refusal: Refusal) -> Response:
        """The answer to a refusal inside our own application."""
        self.record(context, refusal)
        response = Response(problem.body(refusal, context.request_id), refusal.status)
        headers = problem.headers(refusal, self.realm)
        if refusal.code == "body_too_large" and context.scope.get("http_version", "").startswith("1"):
            # the rest of the body is still on its way: whoever sends another request behind it would talk to a wall
            headers.append((b"connection", b"close"))
        response.raw_headers = [*response.raw_headers, *headers]
        return response

    def _handlers(self, app: FastAPI) -> None:
        allowed = Allowed(app)

        async def refused(request: Request, error: Exception) -> Response:
            response = self.response(self.door.context(request.scope), _refusal(error))
            if response.status_code == 405:
                response.headers["allow"] = allowed.methods(get_route_path(request.scope))
            return response

        for kind in (Refusal, Unavailable, RequestValidationError, HTTPException, Exception):
            app.add_exception_handler(kind, refused)


def _refusal(error: Exception) -> Refusal:
    if isinstance(error, (Refusal, Unavailable)):
        return problem.refusal_of(error)
    if isinstance(error, RequestValidationError):
        return invalid(error)
    if isinstance(error, HTTPException):
        reasons = {404: "request.not_found", 405: "request.method"}
        return Refusal(reasons.get(error.status_code, "request.unreadable"))
    return Refusal("request.internal", private=repr(error)[:500])


def _headers(settings: Settings) -> list[Header]:
    """OWASP REST security headers, for our own answers only: an application's pages are its own business."""
    found = [
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-frame-options", b"DENY"),
        (b"cross-origin-resource-policy", b"same-origin"),
    ]
    if settings.secure:
        found.append((b"strict-transport-security", b"max-age=63072000; includeSubDomains"))
    return found


#: documents at the root of the issuer
WELL_KNOWN = frozenset({"/.well-known/jwks.json"})
