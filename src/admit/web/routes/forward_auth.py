"""Forward authentication: a proxy asks about each request before it lets it through (nginx `auth_request` and alike)."""

# no postponed annotations here: FastAPI could not resolve the `Depends` that live in the enclosing function
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from admit.ground.errors import Refusal
from admit.rights import join, split
from admit.rooms import Rooms
from admit.web.context import RequestContext
from admit.web.demand import Demand
from admit.web.intake import Intake
from admit.web.routes.parts import Parts


def router(rooms: Rooms, parts: Parts) -> APIRouter:
    """`GET /verify`: 200 with who is calling in headers, or the refusal to pass on."""
    api = APIRouter(route_class=Intake, tags=["forward authentication"])

    @api.get("/verify")
    async def verify(request: Request, scope: Annotated[str, Query(max_length=2000)] = "") -> Response:
        """`scope` names what the asking route demands. Cookies count for unsafe methods only with their CSRF token, so
        the proxy has to say the method in `X-Original-Method`; without it a request by cookie counts as unsafe.
        """
        wanted = tuple(sorted(rooms.rights.known(split(scope))))
        context = _asked_about(request)
        gate = parts.door.gate
        if gate is None:
            raise Refusal("request.unavailable")
        try:
            caller = await gate.principal(context, Demand(wanted))
        finally:
            # for the event of a refusal, and for the limits in the answer
            own = parts.door.context(request.scope)
            own.resolved, own.hits = context.resolved, context.hits
        headers = {
            "X-Admit-Subject": caller.subject.id,
            "X-Admit-Subject-Kind": caller.subject.kind,
            "X-Admit-Credential": caller.credential.kind,
            "X-Admit-Scopes": join(caller.scopes),
            "Cache-Control": "no-store",
        }
        return Response(status_code=200, headers=headers)

    return api


def _asked_about(request: Request) -> RequestContext:
    sent = request.headers.getlist("x-original-method")
    method = sent[0].upper() if len(sent) == 1 else "POST"
    return RequestContext({**request.scope, "method": method})
