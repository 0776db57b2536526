"""API keys of one's own, and of one's service accounts; and the question whether a key is valid."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request, Response
from pydantic import AwareDatetime, BeforeValidator, Field

from admit.credentials.api_key_terms import AS_IS, By, Changes, Terms
from admit.credentials.api_keys import Created, KeyRow
from admit.credentials.live.written import key_ties_json
from admit.credentials.shown import created_json, key_json, limit_json
from admit.ground.clock import from_datetime, micros
from admit.ground.errors import Refusal, Refused
from admit.ground.ids import read
from admit.ground.principal import Facts
from admit.ground.work import Tx
from admit.people.account import Account
from admit.rooms import Rooms
from admit.web.documented import refusals
from admit.web.intake import Body, Intake, Line, Secret, Whole
from admit.web.routes.parts import Parts

T = TypeVar("T")


def _moment(value: Any) -> Any:
    # strict models take no text for a datetime from Python values, and JSON has no datetimes
    return datetime.fromisoformat(value) if isinstance(value, str) else value


Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]
Scope = Annotated[str, Field(min_length=1, max_length=100)]


class LimitBody(Body):
    """A limit of the key's own."""

    hits: Annotated[int, Field(ge=1, le=1_000_000), Whole]
    seconds: Annotated[int, Field(ge=1, le=86_400), Whole]


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

    overlap_seconds: Annotated[int, Field(ge=0, le=30 * 86_400), Whole] | None = None


class VerifyBody(Body):
    """A key that somebody presented, and the scopes it needs. `ties`: with what it hangs on, read afresh."""

    key: Secret
    scopes: Annotated[list[Scope], Field(max_length=100, default_factory=list)]
    ties: bool = False


class ServiceBody(Body):
    """A service account: no password, answered for by its owner."""

    name: Line
    roles: Annotated[list[Scope], Field(max_length=50, default_factory=list)]


class ApiKeyRoutes:
    """The routes of API keys and service accounts."""

    def __init__(self, rooms: Rooms, parts: Parts) -> None:
        self._rooms = rooms
        self._keys = rooms.api_keys
        self._accounts = rooms.accounts
        self._parts = parts

    def router(self) -> APIRouter:
        """The table of routes."""
        api = APIRouter(route_class=Intake, tags=["API keys"])
        caller, person = [Depends(self._parts.caller)], [Depends(self._parts.person)]
        verifier = [Depends(self._parts.require("admit:verify"))]
        add, full, state = api.add_api_route, refusals(404, 409), refusals(409)
        # a key that leaked must not make a second one that outlives it, nor end its owner's others: it may renew itself
        add("/api-keys", self.listed, methods=["GET"], dependencies=person)
        add("/api-keys", self.create, methods=["POST"], dependencies=person, status_code=201, responses=full)
        add("/api-keys/verify", self.verify, methods=["POST"], dependencies=verifier)
        add("/api-keys/{key_id}", self.one, methods=["GET"], dependencies=person)
        add("/api-keys/{key_id}", self.change, methods=["PATCH"], dependencies=person, responses=state)
        add("/api-keys/{key_id}", self.revoke, methods=["DELETE"], dependencies=person, status_code=204)
        add("/api-keys/{key_id}/rotate", self.rotate, methods=["POST"], dependencies=caller, responses=state)
        add("/service-accounts", self.services, methods=["GET"], dependencies=person)
        add("/service-accounts", self.create_service, methods=["POST"], dependencies=person, status_code=201,
            responses=state)  # fmt: skip
        add("/service-accounts/{account_id}", self.delete_service, methods=["DELETE"], dependencies=person,
            status_code=204)  # fmt: skip
        return api

    async def listed(self, request: Request) -> Response:
        """One's own keys and those of one's service accounts."""
        owner = self._parts.facts(request).owner
        found = await self._rooms.kit.work.read(
            lambda tx: [row for one in self._owners(tx, owner) for row in self._keys.list(tx, one)]
        )
        return self._parts.json({"api_keys": [key_json(row) for row in found]})

    async def create(self, body: CreateBody, request: Request) -> Response:
        """A new key; its text is in this answer and nowhere else."""
        caller, by = self._parts.facts(request).owner, self._by(request)
        expires_at = None if body.expires_at is None else from_datetime(body.expires_at)
        terms = Terms(body.name, frozenset(body.scopes), expires_at, _limit(body.limit))
        wanted = caller if body.service_account is None else read("usr", body.service_account)

        def make(tx: Tx) -> Created | Refused:
            if wanted is None or wanted not in self._owners(tx, caller):
                return Refused("people.not_found")
            return self._keys.create(tx, wanted, terms, by)

        return self._parts.json(created_json(await self._parts.write(request, make)), 201)

    async def one(self, key_id: str, request: Request) -> Response:
        """One key."""
        caller = self._parts.facts(request).owner
        row = await self._rooms.kit.work.read(lambda tx: self._mine(tx, caller, key_id))
        return self._parts.json(key_json(_found(row)))

    async def change(self, key_id: str, body: ChangeBody, request: Request) -> Response:
        """Renames, rescopes, sets the expiry or limit, disables or enables."""
        changes, by = _changes(body), self._by(request)
        row = await self._on_mine(
            request, key_id, lambda tx, key: self._keys.change(tx, key.user_id, key.id, changes, by)
        )
        return self._parts.json(key_json(row))

    async def revoke(self, key_id: str, request: Request) -> Response:
        """Ends a key for good."""
        by = self._by(request)
        await self._on_mine(request, key_id, lambda tx, key: self._keys.revoke(tx, key.user_id, key.id, by))
        return Response(status_code=204)

    async def rotate(self, key_id: str, request: Request, body: RotateBody | None = None) -> Response:
        """A new text under the same id; the old one works for the overlap. A key may ask this for itself."""
        facts = self._parts.facts(request)
        if facts.credential.kind == "api_key" and facts.credential.id != key_id:
            raise Refusal("rights.credential_kind", private="a key for another one")
        by, seconds = self._by(request), body.overlap_seconds if body is not None else None
        overlap = None if seconds is None else timedelta(seconds=seconds)
        created = await self._on_mine(
            request, key_id, lambda tx, key: self._keys.rotate(tx, key.user_id, key.id, by, overlap)
        )
        return self._parts.json(created_json(created))

    async def verify(self, body: VerifyBody) -> Response:
        """Whether a key that somebody presented is valid, for the scopes it needs."""
        try:
            live = self._rooms.live
            facts = await (live.truth if body.ties else live.facts)("api_key", body.key)
        except Refusal as refusal:
            return self._parts.json({"valid": False, "code": refusal.code})
        more = key_ties_json(facts) if body.ties else {}
        return self._parts.json({**verdict_json(facts, frozenset(body.scopes)), **more})

    async def services(self, request: Request) -> Response:
        """The service accounts that the caller answers for."""
        owner = self._parts.facts(request).owner
        found = await self._rooms.kit.work.read(lambda tx: self._accounts.services_of(tx, owner))
        return self._parts.json({"service_accounts": [service_json(one) for one in found]})

    async def create_service(self, body: ServiceBody, request: Request) -> Response:
        """A service account: no password, at most the roles of its owner."""
        owner, via = self._parts.facts(request).owner, self._parts.via(request)
        made = await self._parts.write(
            request, lambda tx: self._accounts.create_service(tx, owner, body.name, body.roles, via)
        )
        return self._parts.json(service_json(made), 201)

    async def delete_service(self, account_id: str, request: Request) -> Response:
        """Deletes a service account with its keys."""
        owner, via, wanted = self._parts.facts(request).owner, self._parts.via(request), read("usr", account_id)

        def body(tx: Tx) -> Refused | None:
            if wanted is None or wanted == owner or wanted not in self._owners(tx, owner):
                return Refused("people.not_found")
            return self._accounts.delete(tx, wanted, via)

        await self._parts.write(request, body)
        return Response(status_code=204)

    def _by(self, request: Request) -> By:
        facts = self._parts.facts(request)
        return By(facts.scopes, self._parts.via(request), facts.subject.id)

    def _owners(self, tx: Tx, caller: bytes) -> list[bytes]:
        return [caller, *(account.id for account in self._accounts.services_of(tx, caller))]

    def _mine(self, tx: Tx, caller: bytes, text: str) -> KeyRow | None:
        """The key, if it is the caller's or one of their service accounts'; another's is not there."""
        identifier = read("key", text)
        if identifier is None:
            return None
        found = (self._keys.get(tx, owner, identifier) for owner in self._owners(tx, caller))
        return next((row for row in found if row is not None), None)

    async def _on_mine(self, request: Request, text: str, verb: Callable[[Tx, KeyRow], T | Refused]) -> T:
        caller = self._parts.facts(request).owner

        def body(tx: Tx) -> T | Refused:
            row = self._mine(tx, caller, text)
            return Refused("api_key.not_found") if row is None else verb(tx, row)

        return await self._parts.write(request, body)


def _found(row: KeyRow | None) -> KeyRow:
    if row is None:
        raise Refusal("api_key.not_found")
    return row


def _limit(body: LimitBody | None) -> tuple[int, int] | None:
    return None if body is None else (body.hits, micros(timedelta(seconds=body.seconds)))


def _expiry(body: ChangeBody) -> int | None:
    return None if body.expires_at is None else from_datetime(body.expires_at)


def _changes(body: ChangeBody) -> Changes:
    given = body.model_fields_set
    return Changes(
        name=body.name if body.name is not None else AS_IS,
        scopes=frozenset(body.scopes) if body.scopes is not None else AS_IS,
        expires_at=_expiry(body) if "expires_at" in given else AS_IS,
        limit=_limit(body.limit) if "limit" in given else AS_IS,
        disabled=body.disabled if body.disabled is not None else AS_IS,
    )


def verdict_json(facts: Facts, needed: frozenset[str]) -> dict[str, Any]:
    """The answer to whoever asks about a live key."""
    missing = needed - facts.scopes
    return {
        "valid": not missing,
        "code": "insufficient_scope" if missing else "valid",
        "owner": facts.subject.id,
        "id": facts.credential.id,
        "name": facts.credential.name,
        "scopes": sorted(facts.scopes),
        "limit": limit_json(facts.limit),
    }


def service_json(account: Account) -> dict[str, Any]:
    """A service account as its owner sees it."""
    return {"id": account.shown, "name": account.name, "roles": list(account.roles)}
