"""Cross-site requests: Fetch Metadata first, Origin next, then a signed token bound to the credential.

The need for it follows from the credential (`ambient`: the browser sent it unasked), so no route can forget it.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable

from starlette.types import Scope

from admit.ground.errors import Refusal
from admit.web.peer import Peer

HEADER = b"x-csrf-token"
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_RANDOM, _MAC = 16, 32
_LETTERS = (_RANDOM + _MAC) // 3 * 4  # of base64, no padding


class Csrf:
    """Issues and checks tokens, and judges where a request comes from."""

    def __init__(
        self, keys: tuple[bytes, ...], random: Callable[[int], bytes], peer: Peer, trusted: frozenset[str]
    ) -> None:
        self._keys = keys
        self._random = random
        self._peer = peer
        self._trusted = trusted

    def issue(self, binding: bytes) -> str:
        """A token for the credential with this binding (session or grant id); random, so that no two look alike."""
        random = self._random(_RANDOM)
        return base64.urlsafe_b64encode(random + self._mac(self._keys[0], binding, random)).decode()

    def check_origin(self, scope: Scope) -> None:
        """Refuses what another site sent (`csrf_cross_site`): for whatever consumes or sets an ambient credential."""
        sent = [(name, value) for name, value in scope["headers"] if name in _ORIGIN_HEADERS]
        headers = {name: value.decode("latin-1") for name, value in sent}
        if len(headers) != len(sent):
            # no browser says it twice; of two values a proxy may have judged the other one
            raise Refusal("csrf.origin", private="said twice")
        origin = headers.get(b"origin")
        if origin in self._trusted:
            return
        if headers.get(b"sec-fetch-site", "none") not in ("same-origin", "none"):
            raise Refusal("csrf.fetch_site", private=headers[b"sec-fetch-site"][:40])
        if origin is not None and not self._peer.own_origin(scope, origin):
            raise Refusal("csrf.origin", private=origin[:100])

    def check(self, scope: Scope, binding: bytes) -> None:
        """The whole order for a request that a cookie authenticates; safe methods pass (RFC 9110 section 9.2.1)."""
        if scope["type"] == "websocket":
            self._check_websocket(scope)
            return
        if scope["method"] in SAFE:
            return
        self.check_origin(scope)
        sent = [value for name, value in scope["headers"] if name == HEADER]
        if not sent:
            raise Refusal("csrf.missing")
        if len(sent) > 1:
            raise Refusal("csrf.malformed", private="more than one token")
        self.check_token(sent[0].decode("latin-1"), binding)

    def check_token(self, token: str, binding: bytes) -> None:
        """Refuses a token that was not issued for this binding."""
        try:
            # the length first: padding that is not needed would be read over
            raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True) if len(token) == _LETTERS else b""
        except (binascii.Error, ValueError):
            raise Refusal("csrf.malformed") from None
        if len(raw) != _RANDOM + _MAC:
            raise Refusal("csrf.malformed")
        random, mac = raw[:_RANDOM], raw[_RANDOM:]
        if not any(hmac.compare_digest(mac, self._mac(key, binding, random)) for key in self._keys):
            raise Refusal("csrf.other_credential")

    def _check_websocket(self, scope: Scope) -> None:
        # a handshake is a GET that the same-origin policy does not stop, and no header can be added to it
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None or not (origin in self._trusted or self._peer.own_origin(scope, origin)):
            raise Refusal("csrf.websocket_origin", private=(origin or "none")[:100])

    @staticmethod
    def _mac(key: bytes, binding: bytes, random: bytes) -> bytes:
        return hmac.digest(key, b"csrf" + binding + random, "sha256")


_ORIGIN_HEADERS = frozenset({b"origin", b"sec-fetch-site"})
