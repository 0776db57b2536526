"""CORS from one exact list of origins; a preflight never needs a credential, and refusals can be read."""

from __future__ import annotations

from starlette.types import Scope, Send

from admit.settings import Settings
from admit.web.peer import origins

Header = tuple[bytes, bytes]
_METHODS = b"GET, POST, PATCH, PUT, DELETE, OPTIONS"
_EXPOSED = b"X-Request-Id, RateLimit, RateLimit-Policy, Retry-After, WWW-Authenticate"


class Cors:
    """Whether a browser may let another origin read our answers."""

    def __init__(self, settings: Settings) -> None:
        self.origins = origins(settings.cors.origins)
        self._max_age = str(int(settings.cors.max_age.total_seconds())).encode()
        names = ("Authorization", "Content-Type", "X-CSRF-Token", settings.api_keys.header)
        self._allowed = ", ".join(names).encode()

    def headers(self, scope: Scope) -> list[Header]:
        """The headers of an answer; always Vary, so that no cache hands one origin's answer to another."""
        if not self.origins:
            return []
        origin = self._origin(scope)
        if origin is None:
            return [(b"vary", b"Origin")]
        return [
            (b"vary", b"Origin"),
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", _EXPOSED),
        ]

    def is_preflight(self, scope: Scope) -> bool:
        """An OPTIONS request that asks for permission (Fetch standard section 3.2.2)."""
        return scope["method"] == "OPTIONS" and any(
            name == b"access-control-request-method" for name, _ in scope["headers"]
        )

    async def preflight(self, scope: Scope, send: Send) -> None:
        """Answers a preflight; from an unlisted origin with no permission in it."""
        headers = self.headers(scope) if self.origins else []
        if self._origin(scope) is not None:
            headers += [
                (b"access-control-allow-methods", _METHODS),
                (b"access-control-allow-headers", self._allowed),
                (b"access-control-max-age", self._max_age),
            ]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _origin(self, scope: Scope) -> bytes | None:
        sent = [value for name, value in scope["headers"] if name == b"origin"]
        return sent[0] if len(sent) == 1 and sent[0].decode("latin-1") in self.origins else None
