"""Register, log in, refresh, log out, prove again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from admit.credentials.delivery import Delivered
from admit.credentials.grants import SIGN_IN_ID
from admit.flows.register import Registration
from admit.ground.errors import Refusal
from admit.ground.principal import Facts
from admit.rights import split
from admit.rooms import Rooms
from admit.web import cookies
from admit.web.documented import refusals
from admit.web.intake import Body, Intake, Line, Secret
from admit.web.routes.answers import Answers
from admit.web.routes.parts import Parts

#: a credential that is optional, or that only this route reads (OpenAPI security requirements)
_BY_REFRESH: dict[str, Any] = {"security": [{}, {"refresh": [], "csrf": []}]}
_BY_COOKIE: dict[str, Any] = {"security": [{"session": []}, {"refresh": []}]}
_LEAVING: dict[str, Any] = {"security": [{}, {"bearer": []}, {"session": [], "csrf": []}, {"refresh": [], "csrf": []}]}


class RegisterBody(Body):
    """An account to be made. Other members are the application's own profile fields."""

    password: Secret
    username: Line | None = None
    email: Line | None = None
    profile: dict[str, Any] = Field(default_factory=dict)


class LoginBody(Body):
    """A sign-in by username or e-mail address."""

    identifier: Line
    password: Secret
    deliver: Literal["tokens", "cookie", "session", "spa"] = "tokens"


class RefreshBody(Body):
    """A refresh token, unless it travels in the cookie."""

    refresh_token: Secret | None = None
    scope: Annotated[str, Field(max_length=2000)] | None = None


class LogoutBody(Body):
    """A refresh token whose grant shall end; without it the credential of the request ends."""

    refresh_token: Secret | None = None


class ReauthenticateBody(Body):
    """The password once more."""

    password: Secret


class SigningIn:
    """The routes of signing in and out."""

    def __init__(self, rooms: Rooms, parts: Parts, answers: Answers) -> None:
        self._rooms = rooms
        self._parts = parts
        self._answers = answers

    def router(self) -> APIRouter:
        """The table of routes."""
        api = APIRouter(route_class=Intake, tags=["signing in"])
        person = [Depends(self._parts.person)]
        add = api.add_api_route
        add("/register", self.register, methods=["POST"], status_code=202, responses=refusals(403, 409, 429))
        add("/login", self.login, methods=["POST"], responses=refusals(401, 403, 429))
        add("/refresh", self.refresh, methods=["POST"], responses=refusals(401, 403), openapi_extra=_BY_REFRESH)
        add("/logout", self.logout, methods=["POST"], status_code=204, openapi_extra=_LEAVING)
        add("/reauthenticate", self.reauthenticate, methods=["POST"], status_code=204, dependencies=person)
        add("/csrf", self.csrf, methods=["GET"], openapi_extra=_BY_COOKIE)
        return api

    async def register(self, body: RegisterBody, request: Request) -> dict[str, str]:
        """Creates an account; the answer is the same for known and unknown addresses."""
        self._parts.check_sets_cookies(request)
        asked = Registration(body.password, body.username, body.email, body.profile)
        await self._rooms.register.register(asked, self._parts.via(request))
        return {"status": "accepted"}

    async def login(self, body: LoginBody, request: Request) -> Response:
        """Signs in; `deliver` says where the credential goes."""
        self._parts.check_sets_cookies(request)
        device = cookies.read(request.scope["headers"], self._answers.cookies.device)
        via = self._parts.via(request)
        signed_in = await self._rooms.login.login(body.identifier, body.password, body.deliver, via, device)
        return self._answers.signed_in(signed_in.delivered, signed_in.device, request)

    async def refresh(self, request: Request, body: RefreshBody | None = None) -> Response:
        """Exchanges a refresh token, from the body or the cookie, for a new pair."""
        token, by_cookie = await self._refresh_token(request, body)
        asked = body.scope if body is not None else None
        scopes = None if asked is None else self._rooms.rights.known(split(asked))
        via = self._parts.via(request)
        refreshed = await self._rooms.refresh.exchange(token, SIGN_IN_ID, via, scopes)
        return self._answers.refreshed(refreshed, by_cookie=by_cookie)

    async def logout(self, request: Request, body: LogoutBody | None = None) -> Response:
        """Ends the sign-in behind the refresh token in the body, or behind the credential of the request."""
        self._parts.check_way(request)
        response = Response(status_code=204)
        if body is not None and body.refresh_token is not None:
            await self._rooms.refresh.end(body.refresh_token, self._parts.via(request))
            return response
        token = cookies.read(request.scope["headers"], self._answers.cookies.refresh)
        facts = await self._leaving(request, token)
        if facts is not None:
            await self._end(facts, request)
        elif token is not None:
            await self._check_bound(request, token)
            await self._rooms.refresh.end(token, self._parts.via(request))
        else:
            # cookies that were not sent along would still be removed by the answer
            self._parts.csrf.check_origin(request.scope)
        response.raw_headers = [*response.raw_headers, *self._answers.signed_out()]
        return response

    async def reauthenticate(self, body: ReauthenticateBody, request: Request) -> Response:
        """Proves again who is there: a session goes on under a new secret, a grant counts as fresh."""
        facts, via = self._parts.facts(request), self._parts.via(request)
        if facts.credential.kind == "access_token":
            await self._rooms.reauthenticate.grant(facts.owner, facts.credential_id, body.password, via)
            return Response(status_code=204)
        session = await self._rooms.reauthenticate.session(
            facts.owner, facts.credential_id, facts.methods, body.password, via
        )
        return self._answers.renewed(Delivered("session", session.id, session.lives, session_token=session.token))

    async def csrf(self, request: Request) -> Response:
        """A token for the cookie that this browser holds."""
        return self._parts.json({"csrf_token": self._parts.csrf.issue(await self._binding(request))})

    async def _refresh_token(self, request: Request, body: RefreshBody | None) -> tuple[str, bool]:
        self._parts.check_way(request)
        if body is not None and body.refresh_token is not None:
            return body.refresh_token, False
        token = cookies.read(request.scope["headers"], self._answers.cookies.refresh)
        if token is None:
            raise Refusal("refresh.absent")
        await self._check_bound(request, token)
        return token, True

    async def _check_bound(self, request: Request, token: str) -> None:
        binding = await self._rooms.refresh.binding(token)
        if binding is not None:
            self._parts.csrf.check(request.scope, binding)

    async def _leaving(self, request: Request, refresh_token: str | None) -> Facts | None:
        """Who signs out. A single-page application whose access token ran out still holds the refresh cookie."""
        try:
            return (await self._parts.resolve(request)).facts
        except Refusal as refusal:
            if refresh_token is None or refusal.code != "token_expired":
                raise
            return None

    async def _end(self, facts: Facts, request: Request) -> None:
        if facts.credential.kind == "api_key":
            raise Refusal("rights.credential_kind")
        delivery, via = self._rooms.delivery, self._parts.via(request)
        await self._rooms.kit.work.write(lambda tx: delivery.end(tx, facts.owner, facts.credential_id, via))

    async def _binding(self, request: Request) -> bytes:
        resolved = await self._parts.resolve(request)
        if resolved.facts is not None and resolved.ambient:
            return resolved.facts.binding
        token = cookies.read(request.scope["headers"], self._answers.cookies.refresh)
        binding = await self._rooms.refresh.binding(token) if token is not None else None
        if binding is None:
            raise Refusal(resolved.reason or "resolver.none")
        return binding
