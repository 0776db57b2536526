"""What the pages need of the web room, as protocols: the two rooms stand side by side and do not import each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from fastapi import Request, Response

from admit.credentials.delivery import Delivered
from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.ground.principal import Facts

Header = tuple[bytes, bytes]


class CsrfTokens(Protocol):
    """Signed tokens that are bound to something."""

    def issue(self, binding: bytes) -> str: ...

    def check_token(self, token: str, binding: bytes) -> None: ...


class Resolved(Protocol):
    """Who is calling."""

    @property
    def facts(self) -> Facts | None: ...


class Parts(Protocol):
    """The checks that belong to a request."""

    @property
    def csrf(self) -> CsrfTokens: ...

    def via(self, request: Request) -> Via: ...

    async def resolve(self, request: Request) -> Resolved: ...

    def check_sets_cookies(self, request: Request) -> None: ...


class CookieNames(Protocol):
    """The cookies that pages read and set."""

    @property
    def device(self) -> str: ...

    @property
    def form(self) -> str: ...

    def set(self, name: str, value: str, *, lives: int, path: str = "/") -> Header: ...


class Answers(Protocol):
    """How a sign-in is written."""

    @property
    def cookies(self) -> CookieNames: ...

    def signed_in(self, delivered: Delivered, device: str, request: Request) -> Response: ...

    def signed_out(self) -> list[Header]: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """`cookie(headers, name)` reads a cookie strictly; `record` writes the event of a refusal and gives the request's
    id; `random(n)` gives n random bytes.
    """

    parts: Parts
    answers: Answers
    cookie: Callable[[Sequence[Header], str], str | None]
    record: Callable[[Request, Refusal], str]
    random: Callable[[int], bytes]
