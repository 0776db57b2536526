"""For services without our database (scope `admit:verify`): what was revoked, and whether an access token is alive."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from pydantic import Field

from admit.credentials.live.telling import CURSOR, News, Teller
from admit.credentials.live.written import tie_json, token_json
from admit.ground.clock import SECOND
from admit.ground.errors import Refusal
from admit.rooms import Rooms
from admit.web.intake import Body, Intake, Secret
from admit.web.routes.api_keys import Scope
from admit.web.routes.parts import Parts

LONGEST_WAIT = 10.0
LOOK_EVERY = 0.05  # seconds between two looks at the feed of this process, while somebody waits

Cursor = Annotated[str | None, Query(pattern=CURSOR)]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT)]


class TokenBody(Body):
    """An access token that somebody presented, and the scopes it needs. `ties`: as the store has it now."""

    token: Secret
    scopes: Annotated[list[Scope], Field(max_length=100, default_factory=list)]
    ties: bool = False


class VerifyingRoutes:
    """The routes that a verifier asks."""

    def __init__(self, rooms: Rooms, parts: Parts) -> None:
        self._rooms = rooms
        self._parts = parts
        self._teller = Teller(rooms.kit, rooms.settings)

    def router(self) -> APIRouter:
        """The table of routes."""
        demand = [Depends(self._parts.require("admit:verify"))]
        api = APIRouter(route_class=Intake, tags=["verifying"], dependencies=demand)
        api.add_api_route("/feed", self.feed, methods=["GET"])
        api.add_api_route("/tokens/verify", self.verify, methods=["POST"])
        return api

    async def feed(self, after: Cursor = None, wait: Wait = 0) -> Response:
        """What was revoked or changed since the cursor `after`; waits up to `wait` seconds for the first news."""
        until = asyncio.get_running_loop().time() + wait
        while True:
            generation = self._rooms.live.feed.generation
            news = await self._teller.since(after)
            known = news.voids or news.reset or after is None
            if known or not await self._moves(generation, until):
                return self._parts.json(_news_json(news))

    async def _moves(self, generation: int, until: float) -> bool:
        # the feed of this process hears of every commit by itself: until it does, the store need not be asked again
        loop, feed = asyncio.get_running_loop(), self._rooms.live.feed
        while loop.time() < until:
            if feed.generation != generation:
                return True
            await asyncio.sleep(LOOK_EVERY)
        return False

    async def verify(self, body: TokenBody) -> Response:
        """Whether an access token that somebody presented is alive now, and what it may do."""
        try:
            live = self._rooms.live
            facts = await (live.truth if body.ties else live.facts)("access_token", body.token)
        except Refusal as refusal:
            return self._parts.json({"active": False, "code": refusal.code})
        missing = set(body.scopes) - facts.scopes
        code = "insufficient_scope" if missing else "valid"
        return self._parts.json({"active": not missing, "code": code, **token_json(facts)})


def _news_json(news: News) -> dict[str, object]:
    return {
        "cursor": news.cursor,
        "reset": news.reset,
        "now": news.now // SECOND,
        "keep": news.keep // SECOND,
        "voids": [tie_json(row.tie, row.version) for row in news.voids],
    }
