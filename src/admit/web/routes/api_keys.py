"""API keys of one's own, and of one's service accounts; and the question whether a key is valid."""

# no postponed annotations here: FastAPI could not resolve the `Depends` that live in the enclosing function
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BeforeValidator, Field

from admit.credentials.api_key_terms import AS_IS, By, Changes, Terms
from admit.credentials.api_keys import Created
from admit.ground.clock import from_datetime, iso, micros
from admit.ground.errors import Refusal, Refused
from admit.ground.ids import read, show
from admit.ground.principal import Principal
from admit.rights import split
from admit.rooms import Rooms
from admit.stores.sql.api_keys import KeyRow
from admit.web.intake import Body, Intake, Line, Secret
from admit.web.routes.parts import Parts


def _moment(value: Any) -> Any:
    # strict models take no text for a datetime from Python values, and JSON has no datetimes
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Scope = Annotated[str, Field(min_length=1, max_length=100)]


class LimitBody(Body):
    """A limit of the key's own."""

    hits: Annotated[int, Field(ge=1, le=1_000_000)]
    seconds: Annotated[int, Field(ge=1, le=86_400)]


class CreateBody(Body):
    """A key to be made. `service_account`: for which of one's service accounts, instead of oneself."""

    name: Line
    scopes: Annotated[list[Scope], Field(max_length=100, default_factory=list)]
    expires_at: Moment | None = None
    limit: LimitBody | None = None
    service_account: Line | None = None


class ChangeBody(Body):
    """What shall change; members that are not there stay as they are."""

    name: Line | None = None
    scopes: Annotated[list[Scope], Field(max_length=100)] | None = None
    expires_at: Moment | None = None
    limit: LimitBody | None = None
    disabled: bool | None = None


class RotateBody(Body):
    """How long the old text works beside the new one; the setting's overlap by default."""

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400)] | None = None


class VerifyBody(Body):
    """A key that somebody presented, and the scopes it needs."""

    key: Secret
    scopes: Annotated[list[Scope], Field(max_length=100, default_factory=list)]


class ServiceBody(Body):
    """A service account: no password, answered for by its owner."""

    name: Line
    roles: Annotated[list[Scope], Field(max_length=50, default_factory=list)]


def router(rooms: Rooms, parts: Parts) -> APIRouter:
    """The routes of API keys."""
    api = APIRouter(route_class=Intake, tags=["API keys"])
    _keys(api, rooms, parts)
    _verify(api, rooms, parts)
    _services(api, rooms, parts)
    return api


def _keys(api: APIRouter, rooms: Rooms, parts: Parts) -> None:  # noqa: C901
    keys, work = rooms.api_keys, rooms.kit.work

    @api.get("/api-keys")
    async def listed(request: Request, _: Annotated[Principal, Depends(parts.caller)]) -> Response:
        owner = parts.facts(request).owner
        services = await work.read(lambda tx: rooms.accounts.services_of(tx, owner))
        owners = [owner, *(account.id for account in services)]
        found = await work.read(lambda tx: [row for one in owners for row in keys.list(tx, one)])
        return parts.json({"api_keys": [key_json(row) for row in found]})

    @api.post("/api-keys", status_code=201)
    async def create(body: CreateBody, request: Request, _: Annotated[Principal, Depends(parts.caller)]) -> Response:
        owner = await _owner(request, body.service_account)
        limit = None if body.limit is None else (body.limit.hits, micros(timedelta(seconds=body.limit.seconds)))
        expires_at = None if body.expires_at is None else from_datetime(body.expires_at)
        terms = Terms(body.name, frozenset(body.scopes), expires_at, limit)
        created = await parts.write(request, lambda tx: keys.create(tx, owner, terms, _by(request)))
        return parts.json(created_json(created), 201)

    @api.get("/api-keys/{key_id}")
    async def one(key_id: str, request: Request, _: Annotated[Principal, Depends(parts.caller)]) -> Response:
        row = (await _mine(request, key_id))[1]
        return parts.json(key_json(row))

    @api.patch("/api-keys/{key_id}")
    async def change(
        key_id: str, body: ChangeBody, request: Request, _: Annotated[Principal, Depends(parts.caller)]
    ) -> Response:
        owner, row = await _mine(request, key_id)
        changes = _changes(body)
        changed = await parts.write(request, lambda tx: keys.change(tx, owner, row.id, changes, _by(request)))
        return parts.json(key_json(changed))

    @api.delete("/api-keys/{key_id}", status_code=204)
    async def revoke(key_id: str, request: Request, _: Annotated[Principal, Depends(parts.caller)]) -> Response:
        owner, row = await _mine(request, key_id)
        await parts.write(request, lambda tx: keys.revoke(tx, owner, row.id, _by(request)))
        return Response(status_code=204)

    @api.post("/api-keys/{key_id}/rotate")
    async def rotate(
        key_id: str,
        request: Request,
        _: Annotated[Principal, Depends(parts.caller)],
        body: RotateBody | None = None,
    ) -> Response:
        owner, row = await _mine(request, key_id)
        seconds = body.overlap_seconds if body is not None else None
        overlap = None if seconds is None else timedelta(seconds=seconds)
        created = await parts.write(request, lambda tx: keys.rotate(tx, owner, row.id, _by(request), overlap))
        return parts.json(created_json(created))

    def _by(request: Request) -> By:
        facts = parts.facts(request)
        return By(facts.scopes, parts.via(request), facts.subject.id)

    async def _owner(request: Request, service: str | None) -> bytes:
        owner = parts.facts(request).owner
        if service is None:
            return owner
        wanted = read("usr", service)
        services = await work.read(lambda tx: rooms.accounts.services_of(tx, owner))
        if wanted is None or wanted not in {account.id for account in services}:
            raise Refusal("people.not_found")
        return wanted

    async def _mine(request: Request, text: str) -> tuple[bytes, KeyRow]:
        """The key, if it is the caller's or one of their service accounts'; another's is not there."""
        identifier, owner = read("key", text), parts.facts(request).owner
        if identifier is None:
            raise Refusal("api_key.not_found")
        services = await work.read(lambda tx: rooms.accounts.services_of(tx, owner))
        for candidate in (owner, *(account.id for account in services)):
            row = await work.read(lambda tx, candidate=candidate: keys.get(tx, candidate, identifier))  # type: ignore[misc]
            if row is not None:
                return candidate, row
        raise Refusal("api_key.not_found")


def _verify(api: APIRouter, rooms: Rooms, parts: Parts) -> None:
    verifier = parts.require("admit:verify")

    @api.post("/api-keys/verify")
    async def verify(body: VerifyBody, request: Request, _: Annotated[Principal, Depends(verifier)]) -> Response:
        try:
            facts = await rooms.live.facts("api_key", body.key)
        except Refusal as refusal:
            return parts.json({"valid": False, "code": refusal.code})
        missing = sorted(set(body.scopes) - facts.scopes)
        return parts.json(
            {
                "valid": not missing,
                "code": "insufficient_scope" if missing else "valid",
                "owner": facts.subject.id,
                "id": facts.credential.id,
                "name": facts.credential.name,
                "scopes": sorted(facts.scopes),
                "limit": limit_json(facts.limit),
            }
        )


def _services(api: APIRouter, rooms: Rooms, parts: Parts) -> None:
    @api.get("/service-accounts")
    async def listed(request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        owner = parts.facts(request).owner
        found = await rooms.kit.work.read(lambda tx: rooms.accounts.services_of(tx, owner))
        shown = [{"id": one.shown, "name": one.name, "roles": list(one.roles)} for one in found]
        return parts.json({"service_accounts": shown})

    @api.post("/service-accounts", status_code=201)
    async def create(body: ServiceBody, request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        owner, via = parts.facts(request).owner, parts.via(request)
        made = await parts.write(
            request, lambda tx: rooms.accounts.create_service(tx, owner, body.name, body.roles, via)
        )
        return parts.json({"id": made.shown, "name": made.name, "roles": list(made.roles)}, 201)

    @api.delete("/service-accounts/{account_id}", status_code=204)
    async def delete(account_id: str, request: Request, _: Annotated[Principal, Depends(parts.person)]) -> Response:
        owner, via, wanted = parts.facts(request).owner, parts.via(request), read("usr", account_id)

        def body(tx: Any) -> Refused | None:
            if wanted is None or wanted not in {one.id for one in rooms.accounts.services_of(tx, owner)}:
                return Refused("people.not_found")
            return rooms.accounts.delete(tx, wanted, via)

        await parts.write(request, body)
        return Response(status_code=204)


def _expiry(body: ChangeBody) -> int | None:
    return None if body.expires_at is None else from_datetime(body.expires_at)


def _changes(body: ChangeBody) -> Changes:
    given = body.model_fields_set
    limit = None if body.limit is None else (body.limit.hits, micros(timedelta(seconds=body.limit.seconds)))
    return Changes(
        name=body.name if body.name is not None else AS_IS,
        scopes=frozenset(body.scopes) if body.scopes is not None else AS_IS,
        expires_at=_expiry(body) if "expires_at" in given else AS_IS,
        limit=limit if "limit" in given else AS_IS,
        disabled=body.disabled if body.disabled is not None else AS_IS,
    )


def key_json(row: KeyRow) -> dict[str, Any]:
    """A key as its owner sees it; the text is gone."""
    return {
        "id": show("key", row.id),
        "name": row.name,
        "owner": show("usr", row.user_id),
        "environment": row.environment,
        "scopes": sorted(split(row.scopes)),
        "hint": row.hint,
        "created_at": iso(row.created_at),
        "expires_at": _when(row.expires_at),
        "last_used_at": _when(row.last_used_at),
        "uses": row.uses or 0,
        "last_address": row.last_address,
        "disabled": row.disabled_at is not None,
        "revoked_at": _when(row.revoked_at),
        "limit": limit_json(row.limit),
        "old_until": _when(row.old_until),
    }


def created_json(created: Created) -> dict[str, Any]:
    """A key with its text, this once."""
    return {**key_json(created.row), "key": created.key}


def limit_json(limit: tuple[int, int] | None) -> dict[str, int] | None:
    """A key's own limit."""
    return None if limit is None else {"hits": limit[0], "seconds": limit[1] // 1_000_000}


def _when(at: int | None) -> str | None:
    return None if at is None else iso(at)
