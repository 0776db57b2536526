"""Reading requests to our own routes: media type, size and JSON are checked before anything looks at the content."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from starlette.types import Message

from admit.crypto import strict_json
from admit.ground.errors import Refusal

LARGEST = 64 * 1024


def _printable(text: str) -> str:
    # NUL cannot be stored by PostgreSQL, and control characters forge log lines and mail headers
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("control characters are not allowed")
    return text


#: a line of text from outside
Line = Annotated[str, StringConstraints(min_length=1, max_length=320), AfterValidator(_printable)]
#: a secret from outside: any characters, bounded; what is not text at all is refused by the reader
Secret = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Body(BaseModel):
    """A request body: unknown members are an error, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Request(Request):
    async def json(self) -> Any:
        try:
            return strict_json.parse(await self.body())
        except ValueError as error:
            raise Refusal("request.unreadable", detail=f"The body is not JSON: {error}"[:200]) from None


class Intake(APIRoute):
    """The route class of our own application."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            if self.body_field is not None:
                _check_media_type(request)
            limited = _Request(request.scope, _limited(request))
            try:
                return await handle(limited)
            except RequestValidationError as error:
                raise invalid(error) from None

        return checked


def invalid(error: RequestValidationError) -> Refusal:
    """One entry for each wrong field; what was sent is not repeated."""
    errors = [
        {"field": ".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]), "message": item["msg"]}
        for item in error.errors()
    ]
    return Refusal("request.invalid", fields={"errors": errors[:50]})


def _check_media_type(request: Request) -> None:
    sent = request.headers.getlist("content-type")
    if not sent and request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return
    media_type, _, parameters = (sent[0] if len(sent) == 1 else "").partition(";")
    charset = parameters.strip().lower()
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise Refusal("request.media_type")


def _limited(request: Request) -> Callable[[], Coroutine[Any, Any, Message]]:
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or int(length[:12]) > LARGEST:
        raise Refusal("request.too_large")
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        message = await request.receive()
        taken += len(message.get("body", b""))
        if taken > LARGEST:
            raise Refusal("request.too_large")
        return message

    return receive
