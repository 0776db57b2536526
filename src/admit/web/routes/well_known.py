"""Documents at the root of the issuer, and what operators and proxies ask."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from admit.ground.errors import Refusal
from admit.rooms import Rooms
from admit.web.documented import refusals
from admit.web.intake import Intake


def router(rooms: Rooms) -> APIRouter:
    """`/.well-known/…`."""
    api = APIRouter(route_class=Intake, tags=["well-known"])
    max_age = int(rooms.settings.tokens.jwks_max_age.total_seconds())

    @api.get("/.well-known/jwks.json", responses=refusals(404))
    async def jwks(request: Request) -> Response:
        """The public keys that verify our access tokens; `not_found` under HS256."""
        del request
        if rooms.settings.tokens.algorithm == "HS256":
            # whoever verifies HS256 can mint: there is nothing to publish (mission S2)
            raise Refusal("request.not_found")
        content = rooms.signing_keys.ring.jwks(rooms.kit.clock.now())
        return JSONResponse(content, headers={"Cache-Control": f"public, max-age={max_age}"})

    return api
