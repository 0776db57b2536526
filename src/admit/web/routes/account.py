"""The account of whoever is signed in: profile, password, address, sessions."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from admit.credentials.shown import sign_in_json
from admit.ground.errors import Refusal, Refused
from admit.ground.ids import read
from admit.ground.work import Tx
from admit.people.account import account_json
from admit.rooms import Rooms
from admit.web.documented import refusals
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


class AccountRoutes:
    """The routes of one's own account."""

    def __init__(self, rooms: Rooms, parts: Parts, answers: Answers) -> None:
        self._rooms = rooms
        self._parts = parts
        self._answers = answers

    def router(self) -> APIRouter:
        """The table of routes."""
        api = APIRouter(route_class=Intake, tags=["account"])
        caller, person = [Depends(self._parts.caller)], [Depends(self._parts.person)]
        add = api.add_api_route
        gone, by_mail = refusals(404), refusals(403, 429)
        add("/me", self.me, methods=["GET"], dependencies=caller, responses=gone)
        add("/me", self.change, methods=["PATCH"], dependencies=person, responses=gone)
        add("/me", self.delete, methods=["DELETE"], dependencies=person, status_code=204, responses=refusals(404, 409))
        add("/password/change", self.change_password, methods=["POST"], dependencies=person, status_code=204)
        add("/password/forgot", self.forgot, methods=["POST"], status_code=202, responses=by_mail)
        add("/password/reset", self.reset, methods=["POST"], status_code=204, responses=refusals(403))
        add("/email/verify", self.verify, methods=["POST"], status_code=204, responses=refusals(403))
        add("/email/resend", self.resend, methods=["POST"], status_code=202, responses=by_mail)
        add("/sessions", self.sessions, methods=["GET"], dependencies=person)
        add("/sessions", self.end_others, methods=["DELETE"], dependencies=person, status_code=204)
        add("/sessions/{session_id}", self.end, methods=["DELETE"], dependencies=person, status_code=204)
        return api

    async def me(self, request: Request) -> Response:
        """Who one is, and what one may do with this credential."""
        facts = self._parts.facts(request)
        account = await self._rooms.account.me(facts.owner)
        return self._parts.json({**account_json(account), "scopes": sorted(facts.scopes)})

    async def change(self, body: ProfileBody, request: Request) -> Response:
        """Changes profile fields."""
        owner, via = self._parts.facts(request).owner, self._parts.via(request)
        await self._parts.confirm(request)
        return self._parts.json(account_json(await self._rooms.account.change_profile(owner, body.profile, via)))

    async def delete(self, body: DeleteBody, request: Request) -> Response:
        """Deletes the account with everything that hangs on it."""
        owner, via = self._parts.facts(request).owner, self._parts.via(request)
        await self._rooms.account.delete(owner, body.password, via)
        return self._signed_out()

    async def change_password(self, body: ChangePasswordBody, request: Request) -> Response:
        """Replaces the password; every other sign-in ends."""
        facts, via = self._parts.facts(request), self._parts.via(request)
        keep, end_keys = facts.credential_id, body.end_api_keys
        await self._rooms.passwords.change(facts.owner, body.current, body.new, via, keep=keep, end_keys=end_keys)
        return Response(status_code=204)

    async def forgot(self, body: ForgotBody, request: Request) -> dict[str, str]:
        """Has a reset link mailed; the answer is the same for known and unknown accounts."""
        self._parts.check_sets_cookies(request)
        await self._rooms.passwords.forgot(body.identifier, self._parts.via(request))
        return {"status": "accepted"}

    async def reset(self, body: ResetBody, request: Request) -> Response:
        """A new password by a mailed link; every sign-in ends."""
        self._parts.check_sets_cookies(request)
        await self._rooms.passwords.reset(body.ticket, body.new, self._parts.via(request))
        return Response(status_code=204)

    async def verify(self, body: TicketBody, request: Request) -> Response:
        """Proves an address by a mailed link."""
        self._parts.check_sets_cookies(request)
        await self._rooms.email.verify(body.ticket, self._parts.via(request))
        return Response(status_code=204)

    async def resend(self, body: EmailBody, request: Request) -> dict[str, str]:
        """Has the link that proves an address mailed again."""
        self._parts.check_sets_cookies(request)
        await self._rooms.email.resend(body.email, self._parts.via(request))
        return {"status": "accepted"}

    async def sessions(self, request: Request) -> Response:
        """Where one is signed in."""
        facts = self._parts.facts(request)
        found = await self._rooms.delivery.live(facts.owner)
        return self._parts.json({"sessions": [sign_in_json(row, facts.credential_id) for row in found]})

    async def end_others(self, request: Request) -> Response:
        """Signs out everywhere else."""
        facts, via = self._parts.facts(request), self._parts.via(request)
        delivery = self._rooms.delivery
        await self._parts.write(request, lambda tx: delivery.end_all(tx, facts.owner, via, facts.credential_id))
        return Response(status_code=204)

    async def end(self, session_id: str, request: Request) -> Response:
        """Ends one sign-in, also this one."""
        facts, via = self._parts.facts(request), self._parts.via(request)
        identifier, delivery = sign_in_id(session_id), self._rooms.delivery

        def body(tx: Tx) -> bool | Refused:
            return delivery.end(tx, facts.owner, identifier, via) or Refused("session.not_found")

        await self._parts.write(request, body)
        mine = identifier == facts.credential_id and self._parts.is_ambient(request)
        return self._signed_out() if mine else Response(status_code=204)

    def _signed_out(self) -> Response:
        response = Response(status_code=204)
        response.raw_headers = [*response.raw_headers, *self._answers.signed_out()]
        return response


def sign_in_id(text: str) -> bytes:
    """The id behind `ses_…` or `grt_…`; refuses (`not_found`) anything else."""
    identifier = read("ses", text) or read("grt", text)
    if identifier is None:
        raise Refusal("session.not_found")
    return identifier
