"""Real requests to the demo's own application, in process, written down: what was sent, what came back, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any

from starlette.types import ASGIApp, Message, Scope

from admit.auth import Admit
from admit.demo.why import Step, explain

#: members and headers whose values are secrets: shown shortened
_SECRET_MEMBERS = frozenset({"access_token", "refresh_token", "csrf_token", "key"})
_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "x-csrf-token"})
_SHOWN_HEADERS = (
    "content-type", "set-cookie", "www-authenticate", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id",
)  # fmt: skip
_LONG = 24
_HIDDEN = "••••••••"
_IN_COOKIE = re.compile(r"([\w-]+)=([^;,\s]{20,})")


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer, with every secret shortened. `why` says what each check found."""

    method: str
    path: str
    sent: tuple[tuple[str, str], ...]
    body: str
    status: int
    phrase: str
    received: tuple[tuple[str, str], ...]
    answer: str
    why: tuple[Step, ...]

    @property
    def ok(self) -> bool:
        """Whether it was let through."""
        return self.status < 400


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    content: Any

    def __getitem__(self, name: str) -> str:
        return str(self.content.get(name, "")) if isinstance(self.content, dict) else ""


@dataclass(slots=True)
class Visitor:
    """Sends requests like a client with a cookie jar of its own, from the address of whoever looks at the page."""

    app: ASGIApp
    auth: Admit
    host: str
    address: str
    cookies: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (path, value)
    exchanges: list[Exchange] = field(default_factory=list)

    async def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:  # fmt: skip
        """One request; it and its answer are written down."""
        content = b"" if body is None else json.dumps(body).encode()
        sent = dict(headers or {})
        if body is not None:
            sent["Content-Type"] = "application/json"
        if jar := [f"{name}={value}" for name, (below, value) in self.cookies.items() if path.startswith(below)]:
            sent["Cookie"] = "; ".join(jar)
        scope = self._scope(method, path, sent, content)
        # taken before the call: the middleware lets go of it afterwards
        context = self.auth.site().door.context(scope)
        status, received, answered = await _call(self.app, scope, content)
        self._keep(received)
        parsed = _parsed(answered)
        why = explain(context, method, path, sent, status)
        self.exchanges.append(
            Exchange(
                method, path, tuple((name, _shorten_header(name, value)) for name, value in sent.items()),
                _pretty(body), status, HTTPStatus(status).phrase, _shown(received), _pretty(parsed), why,
            )
        )  # fmt: skip
        return Answer(status, parsed)

    def _scope(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> Scope:
        raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        raw += [(b"host", self.host.encode()), (b"user-agent", b"The demo's page")]
        if content:
            raw.append((b"content-length", str(len(content)).encode()))
        return {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": raw,
            "client": (self.address, 0), "server": None,
        }  # fmt: skip

    def _keep(self, headers: list[tuple[str, str]]) -> None:
        for name, value in headers:
            if name == "set-cookie":
                for morsel in SimpleCookie(value).values():
                    self.cookies.pop(morsel.key, None)
                    if morsel.value and "device" not in morsel.key:
                        self.cookies[morsel.key] = (morsel["path"], morsel.value)


async def _call(app: ASGIApp, scope: Scope, content: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
    status, headers, answered = 500, [], bytearray()

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in message["headers"]]
        elif message["type"] == "http.response.body":
            answered.extend(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, bytes(answered)


def _parsed(answered: bytes) -> Any:
    try:
        return json.loads(answered) if answered else None
    except ValueError:
        return answered.decode("utf-8", "replace")


def _pretty(content: Any) -> str:
    if content is None:
        return ""
    return json.dumps(_masked(content), indent=2, ensure_ascii=False)


def _masked(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _masked_member(name, value) for name, value in content.items()}
    return [_masked(one) for one in content] if isinstance(content, list) else content


def _masked_member(name: str, value: Any) -> Any:
    if name == "password":
        return _HIDDEN  # a person made it up or remembers it: no part of it is anyone's business
    return shorten(value) if name in _SECRET_MEMBERS and isinstance(value, str) else _masked(value)


def shorten(secret: str) -> str:
    """Enough of a secret to see which one it is."""
    return f"{secret[:10]}…{secret[-4:]}" if len(secret) > _LONG else _HIDDEN


def _shorten_header(name: str, value: str) -> str:
    if name.lower() in ("cookie", "set-cookie"):
        return _IN_COOKIE.sub(lambda found: f"{found[1]}={shorten(found[2])}", value)
    if name.lower() not in _SECRET_HEADERS:
        return value
    scheme, space, secret = value.rpartition(" ")
    return f"{scheme}{space}{shorten(secret)}"


def _shown(received: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((name, _shorten_header(name, value)) for name, value in received if name in _SHOWN_HEADERS)
