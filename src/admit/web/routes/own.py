"""What our routes do, for routes of an application's own: other paths and bodies, the same checks and answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, TypeVar

from fastapi import Request, Response
from pydantic import ValidationError

from admit.credentials.delivery import Deliver
from admit.ground.errors import Refusal
from admit.web.intake import Body
from admit.web.routes.api_keys import ApiKeyRoutes, CreateBody
from admit.web.routes.parts import Parts
from admit.web.routes.signing_in import LoginBody, LogoutBody, RefreshBody, RegisterBody, SigningIn

B = TypeVar("B", bound=Body)


class OwnRoutes:
    """`auth.routes`. Each verb takes the request and returns the whole answer, cookies included; it raises `Refusal`
    like `auth.require`. The refresh cookie keeps its path: browsers send it to our own `/refresh` and `/logout` only.
    """

    def __init__(self, parts: Parts, signing_in: SigningIn, api_keys: ApiKeyRoutes) -> None:
        self._parts = parts
        self._signing_in = signing_in
        self._api_keys = api_keys

    async def register(
        self, request: Request, *, password: str, username: str | None = None, email: str | None = None,
        profile: Mapping[str, Any] = MappingProxyType({}),
    ) -> Response:  # fmt: skip
        """`POST /auth/register`: 202, alike for known and unknown addresses."""
        body = _read(RegisterBody, password=password, username=username, email=email, profile=dict(profile))
        return self._parts.json(await self._signing_in.register(body, request), 202)

    async def login(self, request: Request, identifier: str, password: str, deliver: Deliver = "tokens") -> Response:
        """`POST /auth/login`: tokens in the body, or cookies, as `deliver` says."""
        return await self._signing_in.login(
            _read(LoginBody, identifier=identifier, password=password, deliver=deliver), request
        )

    async def refresh(self, request: Request, refresh_token: str | None = None) -> Response:
        """`POST /auth/refresh`: a new pair for a refresh token."""
        return await self._signing_in.refresh(request, _read(RefreshBody, refresh_token=refresh_token))

    async def logout(self, request: Request, refresh_token: str | None = None) -> Response:
        """`POST /auth/logout`: ends the sign-in of this refresh token, or of the credential of the request."""
        return await self._signing_in.logout(request, _read(LogoutBody, refresh_token=refresh_token))

    async def csrf(self, request: Request) -> Response:
        """`GET /auth/csrf`: a token for the cookie that this browser holds."""
        return await self._signing_in.csrf(request)

    async def create_api_key(
        self, request: Request, name: str, scopes: Iterable[str] = (), expires_at: datetime | None = None
    ) -> Response:
        """`POST /auth/api-keys`: 201 with the key's text, which is shown this once."""
        await self._parts.person(request)
        return await self._api_keys.create(
            _read(CreateBody, name=name, scopes=list(scopes), expires_at=expires_at), request
        )

    async def revoke_api_key(self, request: Request, key_id: str) -> Response:
        """`DELETE /auth/api-keys/{id}`: 204; 404 for what is not the caller's."""
        await self._parts.person(request)
        return await self._api_keys.revoke(key_id, request)


def _read(model: type[B], **values: Any) -> B:
    """The body of one of our routes from plain values; refuses what the route itself would refuse."""
    try:
        return model(**values)
    except ValidationError as error:
        errors = [
            {"field": ".".join(str(part) for part in item["loc"]), "message": item["msg"]} for item in error.errors()
        ]
        raise Refusal("request.invalid", fields={"errors": errors[:50]}) from None
