"""Register, log in, refresh, log out, prove again."""

# no postponed annotations here: FastAPI could not resolve the `Depends` that live in the enclosing function
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from admit.credentials.delivery import Delivered
from admit.credentials.grants import SIGN_IN_ID
from admit.flows.register import Registration
from admit.ground.errors import Refusal
from admit.rights import split
from admit.rooms import Rooms
from admit.web import cookies
from admit.web.intake import Body, Intake, Line, Secret
from admit.web.resolver import Resolved
from admit.web.routes.answers import Answers
from admit.web.routes.parts import Parts


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


def router(rooms: Rooms, parts: Parts, answers: Answers) -> APIRouter:  # noqa: C901, PLR0915
    """The routes of signing in and out."""
    api = APIRouter(route_class=Intake, tags=["signing in"])

    @api.post("/register", status_code=202)
    async def register(body: RegisterBody, request: Request) -> dict[str, str]:
        parts.check_sets_cookies(request)
        asked = Registration(body.password, body.username, body.email, body.profile)
        await rooms.register.register(asked, parts.via(request))
        return {"status": "accepted"}

    @api.post("/login")
    async def login(body: LoginBody, request: Request) -> Response:
        parts.check_sets_cookies(request)
        device = cookies.read(request.scope["headers"], answers.cookies.device)
        signed_in = await rooms.login.login(body.identifier, body.password, body.deliver, parts.via(request), device)
        return answers.signed_in(signed_in.delivered, signed_in.device)

    @api.post("/refresh")
    async def refresh(request: Request, body: RefreshBody | None = None) -> Response:
        token, by_cookie = await _refresh_token(request, body)
        asked = body.scope if body is not None else None
        scopes = None if asked is None else rooms.rights.known(split(asked))
        refreshed = await rooms.refresh.exchange(token, SIGN_IN_ID, parts.via(request), scopes)
        return answers.refreshed(refreshed, by_cookie=by_cookie)

    async def _refresh_token(request: Request, body: RefreshBody | None) -> tuple[str, bool]:
        parts.check_way(request)
        if body is not None and body.refresh_token is not None:
            return body.refresh_token, False
        token = cookies.read(request.scope["headers"], answers.cookies.refresh)
        if token is None:
            raise Refusal("refresh.absent")
        binding = await rooms.refresh.binding(token)
        if binding is not None:
            parts.csrf.check(request.scope, binding)
        return token, True

    @api.post("/logout", status_code=204)
    async def logout(request: Request, body: LogoutBody | None = None) -> Response:
        response = Response(status_code=204)
        via = parts.via(request)
        if body is not None and body.refresh_token is not None:
            await rooms.refresh.end(body.refresh_token, via)
            return response
        resolved = await parts.resolve(request)
        if resolved.facts is not None:
            await _end(resolved, request)
        elif token := cookies.read(request.scope["headers"], answers.cookies.refresh):
            binding = await rooms.refresh.binding(token)
            if binding is not None:
                parts.csrf.check(request.scope, binding)
            await rooms.refresh.end(token, via)
        response.raw_headers = [*response.raw_headers, *answers.signed_out()]
        return response

    async def _end(resolved: Resolved, request: Request) -> None:
        facts = resolved.facts
        assert facts is not None  # noqa: S101
        if facts.credential.kind == "api_key":
            raise Refusal("rights.credential_kind")
        via = parts.via(request)
        await rooms.kit.work.write(lambda tx: rooms.delivery.end(tx, facts.owner, facts.credential_id, via))

    @api.post("/reauthenticate", status_code=204)
    async def reauthenticate(
        body: ReauthenticateBody, request: Request, _: Annotated[object, Depends(parts.person)]
    ) -> Response:
        facts = parts.facts(request)
        via = parts.via(request)
        if facts.credential.kind == "access_token":
            await rooms.reauthenticate.grant(facts.owner, facts.credential_id, body.password, via)
            return Response(status_code=204)
        session = await rooms.reauthenticate.session(
            facts.owner, facts.credential_id, facts.methods, body.password, via
        )
        delivered = Delivered("session", session.id, session.lives, session_token=session.token)
        return answers.renewed(delivered)

    @api.get("/csrf")
    async def csrf(request: Request) -> Response:
        binding = await _binding(request)
        return parts.json({"csrf_token": parts.csrf.issue(binding)})

    async def _binding(request: Request) -> bytes:
        resolved = await parts.resolve(request)
        if resolved.facts is not None and resolved.ambient:
            return resolved.facts.binding
        token = cookies.read(request.scope["headers"], answers.cookies.refresh)
        binding = await rooms.refresh.binding(token) if token is not None else None
        if binding is None:
            raise Refusal(resolved.reason or "resolver.none")
        return binding

    return api
