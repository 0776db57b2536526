"""Forward authentication: a proxy asks about each request before it lets it through (nginx `auth_request`)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from admit.rights import join, split
from admit.rooms import Rooms
from admit.web.context import RequestContext
from admit.web.demand import Demand
from admit.web.intake import Intake
from admit.web.routes.parts import Parts

# the method that counts is the one that the proxy names, so a cookie may need its token here
_BY_ANY: dict[str, Any] = {"security": [{"bearer": []}, {"apiKey": []}, {"session": []}, {"session": [], "csrf": []}]}

_HANDSHAKE = frozenset({b"sec-websocket-key", b"sec-websocket-version"})


class ForwardAuth:
    """`GET /verify`: 200 with who is calling in headers, or the refusal to pass on."""

    def __init__(self, rooms: Rooms, parts: Parts) -> None:
        self._rights = rooms.rights
        self._parts = parts

    def router(self) -> APIRouter:
        """The one route."""
        api = APIRouter(route_class=Intake, tags=["forward authentication"])
        api.add_api_route("/verify", self.verify, methods=["GET"], response_class=Response, openapi_extra=_BY_ANY)
        return api

    async def verify(self, request: Request, scope: Annotated[str, Query(max_length=2000)] = "") -> Response:
        """`scope` names what the asking route demands. Cookies count for unsafe methods only with their CSRF token, so
        the proxy has to say the method in `X-Original-Method`; without it a request by cookie counts as unsafe. A
        WebSocket handshake by cookie needs an Origin of ours.
        """
        wanted = tuple(sorted(self._rights.known(split(scope))))
        context, gate = _asked_about(request), self._parts.door.gate
        assert gate is not None  # noqa: S101
        try:
            caller = await gate.principal(context, Demand(wanted))
        finally:
            # for the event of a refusal, and for the limits in the answer
            own = self._parts.door.context(request.scope)
            own.resolved, own.hits = context.resolved, context.hits
        headers = {
            "X-Admit-Subject": caller.subject.id,
            "X-Admit-Subject-Kind": caller.subject.kind,
            "X-Admit-Credential": caller.credential.kind,
            "X-Admit-Scopes": join(caller.scopes),
            "Cache-Control": "no-store",
        }
        return Response(status_code=200, headers=headers)


def _asked_about(request: Request) -> RequestContext:
    sent = request.headers.getlist("x-original-method")
    method = sent[0].upper() if len(sent) == 1 else "POST"
    # a handshake is a GET with side effects that no preflight stops; a proxy may drop Upgrade from what it asks us
    kind = "websocket" if _HANDSHAKE & {name for name, _ in request.scope["headers"]} else "http"
    return RequestContext({**request.scope, "type": kind, "method": method})
