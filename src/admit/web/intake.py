"""Reading requests to our own routes: media type, size and JSON are checked before anything looks at the content."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from starlette.requests import ClientDisconnect
from starlette.types import Message

from admit.crypto import strict_json
from admit.ground.errors import Refusal

LARGEST = 64 * 1024


def _printable(text: str) -> str:
    # NUL cannot be stored by PostgreSQL, and control characters forge log lines and mail headers
    if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text):
        raise ValueError("control characters are not allowed")
    return text


#: a line of text from outside; the pattern tells in OpenAPI what `_printable` refuses
Line = Annotated[
    str,
    StringConstraints(min_length=1, max_length=320),
    AfterValidator(_printable),
    Field(json_schema_extra={"pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$"}),
]


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 194.0 is an integer there (JSON Schema draft 2020-12 section 6.1.1 of validation)
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: behind the bounds of an `int` field: takes a whole number however it is written
Whole = BeforeValidator(_whole)
#: a secret from outside: any characters, bounded; what is not text at all is refused by the reader
Secret = Annotated[str, StringConstraints(min_length=1, max_length=4096)]


class Body(BaseModel):
    """A request body: unknown members are an error, and nothing is converted."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Request(Request):
    _parsed: Any = None

    async def read(self) -> None:
        """Reads the body before FastAPI does, which makes one and the same 400 of whatever goes wrong there."""
        try:
            raw = await self.body()
        except ClientDisconnect:
            raise Refusal("request.unreadable", private="the client went away") from None
        if not raw:
            return
        try:
            self._parsed = strict_json.parse(raw)
        except UnicodeDecodeError:
            raise Refusal("request.unreadable", detail="The body is not JSON: not UTF-8") from None
        except ValueError as error:
            raise Refusal("request.unreadable", detail=f"The body is not JSON: {error}"[:200]) from None

    async def json(self) -> Any:
        return self._parsed


class Intake(APIRoute):
    """The route class of our own application."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            _check_address(request)
            if self.body_field is not None:
                _check_media_type(request)
            limited = _Request(request.scope, _limited(request))
            if self.body_field is not None:
                await limited.read()
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


def _check_address(request: Request) -> None:
    if "\0" in request.scope["path"]:
        # nothing has a NUL in its name, and PostgreSQL fails at one instead of finding nothing
        raise Refusal("request.not_found")
    pairs = request.query_params.multi_items()
    if any("\0" in value for _, value in pairs):
        raise Refusal("request.invalid", detail="A parameter holds a NUL")
    # of two values the proxy, the log and the route may each take another one (ASVS 15.3.7)
    if len({name for name, _ in pairs}) != len(pairs):
        raise Refusal("request.unreadable", detail="A parameter is there twice")


def _check_media_type(request: Request) -> None:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        # RFC 9110 section 8.4: a coding that we do not undo is not a body that we can read
        raise Refusal("request.media_type", detail="Send the body without a content coding")
    sent = request.headers.getlist("content-type")
    if not sent and request.headers.get("content-length", "0") == "0" and "transfer-encoding" not in request.headers:
        return
    media_type, _, parameters = (sent[0] if len(sent) == 1 else "").partition(";")
    charset = parameters.strip().lower()
    if media_type.strip().lower() != "application/json" or charset not in ("", "charset=utf-8", 'charset="utf-8"'):
        raise Refusal("request.media_type")


def _limited(request: Request) -> Callable[[], Coroutine[Any, Any, Message]]:
    lengths = set(request.headers.getlist("content-length")) or {"0"}
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdecimal()):
        raise Refusal("request.unreadable", private=f"Content-Length {length[:40]}")
    if int(length[:12]) > LARGEST:
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
