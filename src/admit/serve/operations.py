"""What operators ask: alive, ready, how much. Answered first of all, so that it works when nothing else does."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admit.auth import Admit
from admit.ground.errors import Refusal, Unavailable
from admit.serve.metrics import CONTENT_TYPE, Metrics
from admit.stores.sql import feed as feed_rows
from admit.web import problem
from admit.web.context import RequestContext

_PLAIN = "text/plain; charset=utf-8"


class Operations:
    """`/healthz` says only ok; `/readyz` asks the store and the revocation feed; `/metrics` is closed unless opened.

    Everything else passes on and is counted.
    """

    def __init__(self, app: ASGIApp, auth: Admit, metrics: Metrics) -> None:
        self.app = app
        self._auth = auth
        self._metrics = metrics
        self._login = f"{auth.settings.prefix}/login"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"]
        if scope["method"] in ("GET", "HEAD") and path in ("/healthz", "/readyz", "/metrics"):
            await self._operate(path, scope, send)
            return
        counting = _Counting(send)
        try:
            await self.app(scope, receive, counting)
        except Exception:
            self._metrics.answered(500)
            raise
        self._metrics.answered(counting.status)
        if path == self._login and scope["method"] == "POST":
            self._metrics.signed_in(counting.status)

    async def _operate(self, path: str, scope: Scope, send: Send) -> None:
        if path == "/healthz":
            await _answer(scope, send, 200, _PLAIN, b"ok\n")
        elif path == "/readyz":
            try:
                await self._ready()
            except Unavailable as error:
                await _refuse(scope, send, problem.refusal_of(error))
            else:
                await _answer(scope, send, 200, _PLAIN, b"ready\n")
        elif self._auth.settings.debug_docs:
            self._metrics.sample(self._auth.rooms)
            await _answer(scope, send, 200, CONTENT_TYPE, self._metrics.text())
        else:
            await _refuse(scope, send, Refusal("request.not_found"))

    async def _ready(self) -> None:
        """Raises `Unavailable` unless requests that need a Principal can be answered."""
        await self._auth.open()
        rooms = self._auth.rooms
        await rooms.live.feed.freshen()
        await rooms.kit.work.read(feed_rows.identity)


class _Counting:
    """Remembers the status; 499 when the caller went away before there was one."""

    __slots__ = ("send", "status")

    def __init__(self, send: Send) -> None:
        self.send = send
        self.status = 499

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self.send(message)


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    content = problem.body(refusal, RequestContext(scope).request_id)
    await _send(scope, send, refusal.status, problem.headers(refusal, "admit"), content)


async def _answer(scope: Scope, send: Send, status: int, kind: str, content: bytes) -> None:
    await _send(scope, send, status, [(b"content-type", kind.encode()), (b"cache-control", b"no-store")], content)


async def _send(scope: Scope, send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    length = (b"content-length", str(len(content)).encode())
    sniff = (b"x-content-type-options", b"nosniff")
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length, sniff]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else content})
