"""For administrators (scope `admit:admin`): people, their sign-ins and keys, the log, findings, signing keys."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from admit.audit.findings import close_finding, finding_json, list_findings
from admit.audit.reading import Filter, event_json, list_events
from admit.credentials.api_key_terms import By
from admit.credentials.shown import key_json, sign_in_json
from admit.crypto.keys import SigningKey
from admit.ground.clock import iso
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.ids import read, show
from admit.ground.work import Tx
from admit.people.account import account_json
from admit.rooms import Rooms
from admit.web.documented import refusals
from admit.web.intake import Body, Intake, Line
from admit.web.routes.account import sign_in_id
from admit.web.routes.parts import Parts

Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=64)]
Search = Annotated[str | None, Query(max_length=100)]

NO_CURSOR = "`after` is not a cursor"


class StateBody(Body):
    """Whether an account may be used."""

    disabled: bool


class RolesBody(Body):
    """The roles to be granted or revoked."""

    roles: Annotated[list[Line], Field(min_length=1, max_length=50)]


class AdminRoutes:
    """The routes of administration, all behind one demand."""

    def __init__(self, rooms: Rooms, parts: Parts) -> None:
        self._rooms = rooms
        self._accounts = rooms.accounts
        self._parts = parts

    def router(self) -> APIRouter:
        """The table of routes."""
        demand = [Depends(self._parts.admin)]
        api = APIRouter(route_class=Intake, prefix="/admin", tags=["administration"], dependencies=demand)
        add, user, state = api.add_api_route, "/users/{user_id}", refusals(409)
        add("/users", self.people, methods=["GET"])
        add(user, self.person, methods=["GET"])
        add(user, self.change, methods=["PATCH"], responses=state)
        add(user, self.delete, methods=["DELETE"], status_code=204, responses=state)
        add(f"{user}/roles", self.grant, methods=["POST"], responses=state)
        add(f"{user}/roles/{{role}}", self.revoke, methods=["DELETE"], responses=refusals(409, 422))
        add(f"{user}/password-reset", self.reset, methods=["POST"], status_code=202, responses=state)
        add(f"{user}/sessions", self.sessions, methods=["GET"])
        add(f"{user}/sessions", self.end_all, methods=["DELETE"], status_code=204)
        add(f"{user}/sessions/{{session_id}}", self.end, methods=["DELETE"], status_code=204)
        add(f"{user}/api-keys", self.keys, methods=["GET"])
        add(f"{user}/api-keys/{{key_id}}", self.revoke_key, methods=["DELETE"], status_code=204)
        add("/signing-keys", self.signing_keys, methods=["GET"])
        add("/signing-keys/rotate", self.rotate, methods=["POST"], status_code=201)
        add("/signing-keys/{kid}", self.revoke_signing_key, methods=["DELETE"], status_code=204)
        add("/events", self.events, methods=["GET"])
        add("/findings", self.findings, methods=["GET"])
        add("/findings/{finding_id}", self.close_finding, methods=["DELETE"], status_code=204)
        return api

    # -- people ----------------------------------------------------------------------------------------------------

    async def people(self, after: Cursor = None, search: Search = None, limit: Limit = 50) -> Response:
        """A page of accounts; `search` is the beginning of an identifier or a part of a name."""
        cursor = None if after is None else read("usr", after)
        if after is not None and cursor is None:
            raise Refusal("request.invalid", detail=NO_CURSOR)
        page = await self._rooms.kit.work.read(
            lambda tx: self._accounts.page(tx, after=cursor, limit=limit, search=search)
        )
        following = None if page.next is None else show("usr", page.next)
        return self._parts.json({"users": [account_json(one) for one in page.accounts], "next": following})

    async def person(self, user_id: str) -> Response:
        """One account."""
        user = _user(user_id)
        account = await self._rooms.kit.work.read(lambda tx: self._accounts.load(tx, user))
        if account is None:
            raise Refusal("people.not_found")
        return self._parts.json(account_json(account))

    async def change(self, user_id: str, body: StateBody, request: Request) -> Response:
        """Disables or enables an account."""
        verb = self._accounts.disable if body.disabled else self._accounts.enable
        user, via, actor = self._asked(user_id, request)
        account = await self._parts.write(request, lambda tx: verb(tx, user, via, actor=actor))
        return self._parts.json(account_json(account))

    async def delete(self, user_id: str, request: Request) -> Response:
        """Deletes an account."""
        user, via, actor = self._asked(user_id, request)
        await self._parts.write(request, lambda tx: self._accounts.delete(tx, user, via, actor=actor))
        return Response(status_code=204)

    async def grant(self, user_id: str, body: RolesBody, request: Request) -> Response:
        """Grants roles."""
        user, via, actor = self._asked(user_id, request)
        account = await self._parts.write(
            request, lambda tx: self._accounts.grant(tx, user, body.roles, via, actor=actor)
        )
        return self._parts.json(account_json(account))

    async def revoke(self, user_id: str, role: str, request: Request) -> Response:
        """Takes a role away."""
        user, via, actor = self._asked(user_id, request)
        account = await self._parts.write(request, lambda tx: self._accounts.revoke(tx, user, [role], via, actor=actor))
        return self._parts.json(account_json(account))

    async def reset(self, user_id: str, request: Request) -> dict[str, str]:
        """Has a reset link mailed to the person; an administrator never sees or sets a password (ASVS 6.4.6)."""
        user, via, actor = self._asked(user_id, request)
        await self._parts.confirm(request)
        await self._rooms.passwords.mail_reset(user, via, actor=actor)
        return {"status": "accepted"}

    # -- credentials -----------------------------------------------------------------------------------------------

    async def sessions(self, user_id: str) -> Response:
        """Where somebody is signed in."""
        found = await self._rooms.delivery.live(_user(user_id))
        return self._parts.json({"sessions": [sign_in_json(row, None) for row in found]})

    async def end_all(self, user_id: str, request: Request) -> Response:
        """Signs somebody out everywhere."""
        user, via, _ = self._asked(user_id, request)
        await self._parts.write(request, lambda tx: self._rooms.delivery.end_all(tx, user, via))
        return Response(status_code=204)

    async def end(self, user_id: str, session_id: str, request: Request) -> Response:
        """Ends one sign-in."""
        user, via, _ = self._asked(user_id, request)
        wanted = sign_in_id(session_id)

        def body(tx: Tx) -> bool | Refused:
            return self._rooms.delivery.end(tx, user, wanted, via) or Refused("session.not_found")

        await self._parts.write(request, body)
        return Response(status_code=204)

    async def keys(self, user_id: str) -> Response:
        """Somebody's API keys, the revoked ones too."""
        user = _user(user_id)
        found = await self._rooms.kit.work.read(lambda tx: self._rooms.api_keys.list(tx, user, revoked=True))
        return self._parts.json({"api_keys": [key_json(row) for row in found]})

    async def revoke_key(self, user_id: str, key_id: str, request: Request) -> Response:
        """Revokes an API key."""
        user, via, actor = self._asked(user_id, request)
        identifier, by = read("key", key_id), By(self._parts.facts(request).scopes, via, actor)
        if identifier is None:
            raise Refusal("api_key.not_found")
        await self._parts.write(request, lambda tx: self._rooms.api_keys.revoke(tx, user, identifier, by))
        return Response(status_code=204)

    async def signing_keys(self) -> Response:
        """The signing keys, without their secrets."""
        return self._parts.json({"signing_keys": [_signing_key(key) for key in self._rooms.signing_keys.ring.keys]})

    async def rotate(self, request: Request) -> Response:
        """Makes a new signing key and signs with it at once."""
        await self._parts.confirm(request)
        kid = await self._rooms.signing_keys.rotate(self._parts.via(request), at_once=True)
        return self._parts.json({"kid": kid}, 201)

    async def revoke_signing_key(self, kid: str, request: Request) -> Response:
        """Kills a signing key and every token signed by it."""
        await self._parts.confirm(request)
        if not await self._rooms.signing_keys.revoke(kid, self._parts.via(request)):
            raise Refusal("request.not_found")
        return Response(status_code=204)

    # -- the log ---------------------------------------------------------------------------------------------------

    async def events(self, after: Cursor = None, request_id: Cursor = None, subject: Cursor = None,
                     limit: Limit = 50) -> Response:  # fmt: skip
        """A page of the log, newest first."""
        where = Filter(request_id=request_id, subject=subject)
        try:
            page = await list_events(self._rooms.kit.work, where, after, limit)
        except ValueError:
            raise Refusal("request.invalid", detail=NO_CURSOR) from None
        return self._parts.json({"events": [event_json(row) for row in page.events], "next": page.after})

    async def findings(self) -> Response:
        """What the detectors found."""
        found = await list_findings(self._rooms.kit.work)
        return self._parts.json({"findings": [finding_json(row) for row in found]})

    async def close_finding(self, finding_id: str, request: Request) -> Response:
        """Marks a finding as dealt with."""
        await self._parts.confirm(request)
        identifier = read("fnd", finding_id)
        if identifier is None or not await close_finding(self._rooms.kit.work, identifier):
            raise Refusal("request.not_found")
        return Response(status_code=204)

    def _asked(self, user_id: str, request: Request) -> tuple[bytes, Via, str]:
        return _user(user_id), self._parts.via(request), self._parts.facts(request).subject.id


def _user(text: str) -> bytes:
    identifier = read("usr", text)
    if identifier is None:
        raise Refusal("people.not_found")
    return identifier


def _signing_key(key: SigningKey) -> dict[str, Any]:
    times = {"not_before": key.not_before, "active_from": key.active_from, "retire_at": key.retire_at}
    shown = {name: None if at is None else iso(at) for name, at in times.items()}
    return {"kid": key.kid, "alg": key.alg, **shown, "revoked": key.revoked_at is not None}
