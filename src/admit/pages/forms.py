"""Forms: read strictly, and shown again with what was typed and each error at its field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from admit.ground.errors import Refusal
from admit.pages.messages import of_code, text

LARGEST = 16 * 1024
_MOST_FIELDS = 20
_LONGEST_LINE = 320
_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """What was typed, and what is wrong with it: field -> texts; the field "" is the form as a whole."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    errors: Mapping[str, list[str]] = field(default_factory=dict)

    def line(self, name: str) -> str:
        """One line of text; refuses (`request.invalid`) what no field of ours can hold."""
        value = self.values.get(name, "").strip()
        if len(value) > _LONGEST_LINE or not value.isprintable():
            raise Refusal("request.invalid", fields={"errors": [{"field": name, "message": text("field.unusable")}]})
        return value

    def secret(self, name: str) -> str:
        """A secret, exactly as it was typed."""
        return self.values.get(name, "")

    def required(self, name: str, *, secret: bool = False) -> str:
        """The same, but never empty: refuses (`request.invalid`) at its field."""
        value = self.secret(name) if secret else self.line(name)
        if not value:
            raise Refusal("request.invalid", fields={"errors": [{"field": name, "message": text("field.empty")}]})
        return value


async def read(request: Request) -> Form:
    """The fields of a form. Refuses another media type, too much, broken encoding, and a field that is there twice."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise Refusal("request.media_type", detail=f"Send {_TYPE}")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise Refusal("request.too_large")
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )  # fmt: skip
    except ValueError:
        raise Refusal("request.unreadable", detail=text("form.unreadable")) from None
    values = dict(pairs)
    if len(values) != len(pairs) or any("\0" in value for value in values.values()):
        raise Refusal("request.unreadable", detail=text("form.unreadable"))
    return Form(values)


def refused(form: Form, refusal: Refusal) -> Form:
    """The form again, with the refusal's texts at their fields, and without the password."""
    errors: dict[str, list[str]] = {}
    for item in refusal.fields.get("errors", ()):
        name, message = _error(item, form)
        errors.setdefault(name, []).append(message)
    if not errors:
        place = _PLACES.get(refusal.code, "")
        errors[place if place in form.values else ""] = [of_code(refusal.code, refusal.detail)]
    return Form({name: value for name, value in form.values.items() if name != "password"}, errors)


def _error(item: Mapping[str, Any], form: Form) -> tuple[str, str]:
    if "code" in item:  # of a password: why it cannot be taken
        return "password", str(item["detail"])
    name = str(item["field"])
    return (name if name in form.values else ""), str(item["message"])


_PLACES = {"login_failed": "password", "username_taken": "username"}
