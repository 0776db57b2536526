"""For administrators (scope `admit:admin`): people, their sign-ins and keys, the log, findings, signing keys."""

# no postponed annotations here: FastAPI could not resolve the `Depends` that live in the enclosing function
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from admit.audit.findings import close_finding, finding_json, list_findings
from admit.audit.reading import Filter, event_json, list_events
from admit.credentials.api_key_terms import By
from admit.ground.clock import iso
from admit.ground.errors import Refusal, Refused
from admit.ground.ids import read, show
from admit.ground.principal import Principal
from admit.ground.work import Tx
from admit.rooms import Rooms
from admit.web.intake import Body, Intake, Line
from admit.web.routes.account import account_json, sign_in_id, sign_in_json, sign_ins
from admit.web.routes.api_keys import key_json
from admit.web.routes.parts import Parts

Limit = Annotated[int, Query(ge=1, le=200)]
Cursor = Annotated[str | None, Query(max_length=64)]


class StateBody(Body):
    """Whether an account may be used."""

    disabled: bool


class RolesBody(Body):
    """The roles to be granted or revoked."""

    roles: Annotated[list[Line], Field(min_length=1, max_length=50)]


def router(rooms: Rooms, parts: Parts) -> APIRouter:
    """The routes of administration, all behind one demand."""
    api = APIRouter(route_class=Intake, prefix="/admin", tags=["administration"])
    _people(api, rooms, parts)
    _credentials(api, rooms, parts)
    _log(api, rooms, parts)
    return api


def _user(text: str) -> bytes:
    identifier = read("usr", text)
    if identifier is None:
        raise Refusal("people.not_found")
    return identifier


def _people(api: APIRouter, rooms: Rooms, parts: Parts) -> None:
    accounts, work = rooms.accounts, rooms.kit.work

    @api.get("/users")
    async def listed(
        _: Annotated[Principal, Depends(parts.admin)],
        after: Cursor = None,
        search: Annotated[str | None, Query(max_length=100)] = None,
        limit: Limit = 50,
    ) -> Response:
        cursor = None if after is None else _user(after)
        page = await work.read(lambda tx: accounts.page(tx, after=cursor, limit=limit, search=search))
        following = None if page.next is None else show("usr", page.next)
        return parts.json({"users": [account_json(one) for one in page.accounts], "next": following})

    @api.get("/users/{user_id}")
    async def one(user_id: str, _: Annotated[Principal, Depends(parts.admin)]) -> Response:
        user = _user(user_id)
        account = await work.read(lambda tx: accounts.load(tx, user))
        if account is None:
            raise Refusal("people.not_found")
        return parts.json(account_json(account))

    @api.patch("/users/{user_id}")
    async def change(
        user_id: str, body: StateBody, request: Request, caller: Annotated[Principal, Depends(parts.admin)]
    ) -> Response:
        user, via, actor = _user(user_id), parts.via(request), caller.subject.id
        verb = accounts.disable if body.disabled else accounts.enable
        account = await parts.write(request, lambda tx: verb(tx, user, via, actor=actor))
        return parts.json(account_json(account))

    @api.delete("/users/{user_id}", status_code=204)
    async def delete(user_id: str, request: Request, caller: Annotated[Principal, Depends(parts.admin)]) -> Response:
        user, via = _user(user_id), parts.via(request)
        await parts.write(request, lambda tx: accounts.delete(tx, user, via, actor=caller.subject.id))
        return Response(status_code=204)

    @api.post("/users/{user_id}/roles")
    async def grant(
        user_id: str, body: RolesBody, request: Request, caller: Annotated[Principal, Depends(parts.admin)]
    ) -> Response:
        user, via, actor = _user(user_id), parts.via(request), caller.subject.id
        account = await parts.write(request, lambda tx: accounts.grant(tx, user, body.roles, via, actor=actor))
        return parts.json(account_json(account))

    @api.delete("/users/{user_id}/roles/{role}")
    async def revoke(
        user_id: str, role: str, request: Request, caller: Annotated[Principal, Depends(parts.admin)]
    ) -> Response:
        user, via, actor = _user(user_id), parts.via(request), caller.subject.id
        account = await parts.write(request, lambda tx: accounts.revoke(tx, user, [role], via, actor=actor))
        return parts.json(account_json(account))

    @api.post("/users/{user_id}/password-reset", status_code=202)
    async def reset(
        user_id: str, request: Request, caller: Annotated[Principal, Depends(parts.admin)]
    ) -> dict[str, str]:
        # the link goes to the person; an administrator never sees or sets a password (ASVS 6.4.6)
        await rooms.passwords.mail_reset(_user(user_id), parts.via(request), actor=caller.subject.id)
        return {"status": "accepted"}


def _credentials(api: APIRouter, rooms: Rooms, parts: Parts) -> None:
    work = rooms.kit.work

    @api.get("/users/{user_id}/sessions")
    async def sessions(user_id: str, _: Annotated[Principal, Depends(parts.admin)]) -> Response:
        found = await sign_ins(rooms, _user(user_id))
        return parts.json({"sessions": [sign_in_json(row, None) for row in found]})

    @api.delete("/users/{user_id}/sessions", status_code=204)
    async def end_all(user_id: str, request: Request, _: Annotated[Principal, Depends(parts.admin)]) -> Response:
        user, via = _user(user_id), parts.via(request)
        await parts.write(request, lambda tx: rooms.delivery.end_all(tx, user, via))
        return Response(status_code=204)

    @api.delete("/users/{user_id}/sessions/{session_id}", status_code=204)
    async def end(
        user_id: str, session_id: str, request: Request, _: Annotated[Principal, Depends(parts.admin)]
    ) -> Response:
        user, wanted, via = _user(user_id), sign_in_id(session_id), parts.via(request)

        def body(tx: Tx) -> bool | Refused:
            return rooms.delivery.end(tx, user, wanted, via) or Refused("session.not_found")

        await parts.write(request, body)
        return Response(status_code=204)

    @api.get("/users/{user_id}/api-keys")
    async def keys(user_id: str, _: Annotated[Principal, Depends(parts.admin)]) -> Response:
        user = _user(user_id)
        found = await work.read(lambda tx: rooms.api_keys.list(tx, user, revoked=True))
        return parts.json({"api_keys": [key_json(row) for row in found]})

    @api.delete("/users/{user_id}/api-keys/{key_id}", status_code=204)
    async def revoke(
        user_id: str, key_id: str, request: Request, caller: Annotated[Principal, Depends(parts.admin)]
    ) -> Response:
        user, identifier = _user(user_id), read("key", key_id)
        by = By(caller.scopes, parts.via(request), caller.subject.id)
        if identifier is None:
            raise Refusal("api_key.not_found")
        await parts.write(request, lambda tx: rooms.api_keys.revoke(tx, user, identifier, by))
        return Response(status_code=204)

    @api.get("/signing-keys")
    async def signing_keys(_: Annotated[Principal, Depends(parts.admin)]) -> Response:
        return parts.json({"signing_keys": [_signing_key(key) for key in rooms.signing_keys.ring.keys]})

    @api.post("/signing-keys/rotate", status_code=201)
    async def rotate(request: Request, _: Annotated[Principal, Depends(parts.admin)]) -> Response:
        return parts.json({"kid": await rooms.signing_keys.rotate(parts.via(request), at_once=True)}, 201)

    @api.delete("/signing-keys/{kid}", status_code=204)
    async def revoke_signing_key(kid: str, request: Request, _: Annotated[Principal, Depends(parts.admin)]) -> Response:
        if not await rooms.signing_keys.revoke(kid, parts.via(request)):
            raise Refusal("request.not_found")
        return Response(status_code=204)


def _signing_key(key: Any) -> dict[str, Any]:
    times = {"not_before": key.not_before, "active_from": key.active_from, "retire_at": key.retire_at}
    shown = {name: None if at is None else iso(at) for name, at in times.items()}
    return {"kid": key.kid, "alg": key.alg, **shown, "revoked": key.revoked_at is not None}


def _log(api: APIRouter, rooms: Rooms, parts: Parts) -> None:
    work = rooms.kit.work

    @api.get("/events")
    async def events(
        _: Annotated[Principal, Depends(parts.admin)],
        after: Cursor = None,
        request_id: Annotated[str | None, Query(max_length=64)] = None,
        subject: Annotated[str | None, Query(max_length=64)] = None,
        limit: Limit = 50,
    ) -> Response:
        try:
            page = await list_events(work, Filter(request_id=request_id, subject=subject), after, limit)
        except ValueError:
            raise Refusal("request.invalid", detail="`after` is not a cursor") from None
        return parts.json({"events": [event_json(row) for row in page.events], "next": page.after})

    @api.get("/findings")
    async def findings(_: Annotated[Principal, Depends(parts.admin)]) -> Response:
        return parts.json({"findings": [finding_json(row) for row in await list_findings(work)]})

    @api.delete("/findings/{finding_id}", status_code=204)
    async def close(finding_id: str, _: Annotated[Principal, Depends(parts.admin)]) -> Response:
        identifier = read("fnd", finding_id)
        if identifier is None or not await close_finding(work, identifier):
            raise Refusal("request.not_found")
        return Response(status_code=204)
