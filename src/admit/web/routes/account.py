"""The account of whoever is signed in: profile, password, address, sessions."""

# no postponed annotations here: FastAPI could not resolve the `Depends` that live in the enclosing function
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response

from admit.credentials.grants import GrantRow
from admit.credentials.sessions import SessionRow
from admit.ground.clock import iso
from admit.ground.errors import Refusal
from admit.ground.ids import read, show
from admit.ground.principal import Principal
from admit.people.account import Account
from admit.rooms import Rooms
from admit.web.intake import Body, Intake, Line, Secret
from admit.web.routes.answers import Answers
from admit.web.routes.parts import Parts


class ProfileBody(Body):
    """Changes of the application's own profile fields."""

    profile: dict[str, Any]


class DeleteBody(Body):
    """The password, since this cannot be undone."""

    password: Secret


class ChangePasswordBody(Body):
    """The present password and the new one."""

    current: Secret
    new: Secret
    end_api_keys: bool = False


class ForgotBody(Body):
    """Whose password was forgotten: username or address."""

    identifier: Line


class ResetBody(Body):
    """The ticket of the mailed link, and the new password."""

    ticket: Secret
    new: Secret


class TicketBody(Body):
    """The ticket of a mailed link."""

    ticket: Secret


class EmailBody(Body):
    """An address."""

    email: Line


def router(rooms: Rooms, parts: Parts, answers: Answers) -> APIRouter:
    """The routes of one's own account."""
    api = APIRouter(route_class=Intake, tags=["account"])
    _profile(api, rooms, parts, answers)
    _passwords(api, rooms, parts)
    _sessions(api, rooms, parts, answers)
    return api


def _profile(api: APIRouter, rooms: Rooms, parts: Parts, answers: Answers) -> None:
    @api.get("/me")
    async def me(request: Request, caller: Annotated[Principal, Depends(parts.caller)]) -> Response:
        account = await rooms.account.me(parts.facts(request).owner)
        return parts.json({**account_json(account), "scopes": sorted(caller.scopes)})

    @api.patch("/me")
    async def change(body: ProfileBody, request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        account = await rooms.account.change_profile(parts.facts(request).owner, body.profile, parts.via(request))
        return parts.json(account_json(account))

    @api.delete("/me", status_code=204)
    async def delete(body: DeleteBody, request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        await rooms.account.delete(parts.facts(request).owner, body.password, parts.via(request))
        response = Response(status_code=204)
        response.raw_headers = [*response.raw_headers, *answers.signed_out()]
        return response


def _passwords(api: APIRouter, rooms: Rooms, parts: Parts) -> None:
    @api.post("/password/change", status_code=204)
    async def change(
        body: ChangePasswordBody, request: Request, _: Annotated[Principal, Depends(parts.person)]
    ) -> Response:
        facts = parts.facts(request)
        await rooms.passwords.change(
            facts.owner, body.current, body.new, parts.via(request),
            keep=facts.credential_id, end_keys=body.end_api_keys,
        )  # fmt: skip
        return Response(status_code=204)

    @api.post("/password/forgot", status_code=202)
    async def forgot(body: ForgotBody, request: Request) -> dict[str, str]:
        parts.check_sets_cookies(request)
        await rooms.passwords.forgot(body.identifier, parts.via(request))
        return {"status": "accepted"}

    @api.post("/password/reset", status_code=204)
    async def reset(body: ResetBody, request: Request) -> Response:
        parts.check_sets_cookies(request)
        await rooms.passwords.reset(body.ticket, body.new, parts.via(request))
        return Response(status_code=204)

    @api.post("/email/verify", status_code=204)
    async def verify(body: TicketBody, request: Request) -> Response:
        parts.check_sets_cookies(request)
        await rooms.email.verify(body.ticket, parts.via(request))
        return Response(status_code=204)

    @api.post("/email/resend", status_code=202)
    async def resend(body: EmailBody, request: Request) -> dict[str, str]:
        parts.check_sets_cookies(request)
        await rooms.email.resend(body.email, parts.via(request))
        return {"status": "accepted"}


def _sessions(api: APIRouter, rooms: Rooms, parts: Parts, answers: Answers) -> None:
    @api.get("/sessions")
    async def sessions(request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        facts = parts.facts(request)
        found = await sign_ins(rooms, facts.owner)
        return parts.json({"sessions": [sign_in_json(row, facts.credential_id) for row in found]})

    @api.delete("/sessions", status_code=204)
    async def end_others(request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        facts, via = parts.facts(request), parts.via(request)
        await rooms.kit.work.write(lambda tx: rooms.delivery.end_all(tx, facts.owner, via, facts.credential_id))
        return Response(status_code=204)

    @api.delete("/sessions/{session_id}", status_code=204)
    async def end(session_id: str, request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        facts, via = parts.facts(request), parts.via(request)
        identifier = sign_in_id(session_id)
        if not await rooms.kit.work.write(lambda tx: rooms.delivery.end(tx, facts.owner, identifier, via)):
            raise Refusal("session.not_found")
        response = Response(status_code=204)
        if identifier == facts.credential_id and parts.is_ambient(request):
            response.raw_headers = [*response.raw_headers, *answers.signed_out()]
        return response


async def sign_ins(rooms: Rooms, user: bytes) -> list[SessionRow | GrantRow]:
    """Every session and grant of `user` that still works, newest first."""
    delivery = rooms.delivery
    found: list[SessionRow | GrantRow] = await rooms.kit.work.read(
        lambda tx: [*delivery.sessions.live(tx, user), *delivery.grants.live(tx, user)]
    )
    return sorted(found, key=lambda row: row.created_at, reverse=True)


def sign_in_id(text: str) -> bytes:
    """The id behind `ses_…` or `grt_…`; refuses (`not_found`) anything else."""
    identifier = read("ses", text) or read("grt", text)
    if identifier is None:
        raise Refusal("session.not_found")
    return identifier


def sign_in_json(row: SessionRow | GrantRow, current: bytes | None) -> dict[str, Any]:
    """A sign-in as its owner sees it."""
    return {
        "id": show("grt" if isinstance(row, GrantRow) else "ses", row.id),
        "kind": row.deliver if isinstance(row, GrantRow) else "session",
        "created_at": iso(row.created_at),
        "seen_at": iso(row.seen_at),
        "expires_at": iso(row.expires_at),
        "address": row.address,
        "agent": row.agent,
        "current": row.id == current,
    }


def account_json(account: Account) -> dict[str, Any]:
    """An account as its owner and administrators see it."""
    return {
        "id": account.shown,
        "kind": account.kind,
        "username": account.username,
        "email": account.email,
        "email_verified": account.email_verified,
        "name": account.name,
        "roles": list(account.roles),
        "profile": dict(account.profile),
        "created_at": iso(account.created_at),
        "disabled": account.disabled_at is not None,
    }
