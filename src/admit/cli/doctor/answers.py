"""An answer of the server that is looked at, as a value."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import httpx2


class Cookie(NamedTuple):
    """One Set-Cookie header. `attributes`: names in lower case with their values ("" for flags)."""

    name: str
    value: str
    attributes: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (names in lower case), body and the time it took in seconds. Nothing of it is printed."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    text: str = field(default="", repr=False)
    seconds: float = 0.0

    @classmethod
    def of(cls, response: httpx2.Response, seconds: float) -> Answer:
        """The value of a response that has been read."""
        headers = tuple((name.lower(), value) for name, value in response.headers.multi_items())
        return cls(response.status_code, headers, response.text, seconds)

    @property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none."""
        try:
            body = json.loads(self.text)
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    @property
    def code(self) -> str | None:
        """The code of a refusal."""
        code = self.json.get("code")
        return code if isinstance(code, str) else None

    def header(self, name: str) -> str | None:
        """The first header of that name."""
        return next((value for other, value in self.headers if other == name), None)

    @property
    def cookies(self) -> list[Cookie]:
        """The cookies that it sets."""
        return [_cookie(value) for name, value in self.headers if name == "set-cookie"]

    def says(self) -> tuple[int, dict[str, Any]]:
        """Status and body without what differs from request to request."""
        return self.status, {name: value for name, value in self.json.items() if name != "request_id"}


def _cookie(header: str) -> Cookie:
    pair, *rest = (part.strip() for part in header.split(";"))
    name, _, value = pair.partition("=")
    attributes = (part.partition("=") for part in rest)
    return Cookie(name, value, {key.strip().lower(): value.strip() for key, _, value in attributes})
