"""What we know of one request: its id, how it came, who sent it (found out when somebody asks), the limits it hit."""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from starlette.types import Scope

from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.ground.logs import mask
from admit.limits import Hit

if TYPE_CHECKING:
    from admit.web.resolver import Resolved

# random per process, then a counter: unique without asking the operating system on each request
_PREFIX = secrets.token_hex(6).encode()
_COUNTER = itertools.count(1)
_ID = "admit.request_id"  # in the scope


def _begin_anew() -> None:
    global _PREFIX  # noqa: PLW0603
    _PREFIX = secrets.token_hex(6).encode()


# workers that are forked after this import would otherwise all count under one prefix: the same ids twice
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


class RequestContext:
    """One per request and Admit, in the ASGI scope."""

    __slots__ = ("_via", "hits", "id_header", "inner", "refusal", "resolved", "scope")

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        known: tuple[bytes, bytes] | None = scope.get(_ID)
        self.inner = known is not None  # two Admits in one application: the outer one's id is the request's
        if known is None:
            known = scope[_ID] = b"x-request-id", b"%b-%x" % (_PREFIX, next(_COUNTER))
        self.id_header = known
        self.resolved: Resolved | None = None
        self.refusal: Refusal | None = None  # why it was refused, once it was
        self.hits: list[Hit] = []
        self._via: Via | None = None

    @property
    def request_id(self) -> str:
        """What an operator asks for."""
        return self.id_header[1].decode()

    def via(self, address: Callable[[Scope], str | None]) -> Via:
        """The way the request came, for events."""
        if self._via is None:
            agent = next((value for name, value in self.scope["headers"] if name == b"user-agent"), None)
            shown = mask(agent.decode("latin-1"))[:300] if agent is not None else None
            self._via = Via(self.request_id, address(self.scope), shown)
        return self._via
