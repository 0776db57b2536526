"""The pure ASGI middleware: a context for each request, our own paths to our own application, refusals to answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admit.ground.errors import Refusal, Unavailable
from admit.limits import headers as limit_headers
from admit.web import problem
from admit.web.context import RequestContext
from admit.web.lift import lift
from admit.web.streams import Streamed, Watched

if TYPE_CHECKING:
    from admit.web.door import Door
    from admit.web.site import Site

Header = tuple[bytes, bytes]
# an answer of ours that is no page can run nothing, even where a browser shows it as one (ASVS 3.2.1)
_NO_PAGE = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_STARTS = frozenset({"http.response.start", "websocket.http.response.start"})


class Middleware:
    """Stands around an ASGI application. `site` is asked late, since the application's lifespan may open it."""

    def __init__(self, app: ASGIApp, site: Callable[[], Site], *, cors: bool = False) -> None:
        self.app = app
        self._site = site
        self._cors = cors
        self._lifted = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind != "http" and kind != "websocket":  # noqa: PLR1714 (on every request)
            await self.app(scope, receive, send)
            return
        site = self._site()
        context = site.door.context(scope)
        owned = site.owns(get_route_path(scope))
        answer = _Answer(send, site.headers if owned else (), context, site.door if not owned else None)
        if (owned or self._cors) and kind == "http":
            cors = site.cors
            answer.extra = [*answer.extra, *cors.headers(scope)]
            if cors.is_preflight(scope):
                answer.extra = site.headers
                await cors.preflight(scope, answer)
                return
        try:
            if not site.is_open:
                await site.open()
            await self._app_of(site, context, owned=owned)(scope, receive, answer)
        except (Refusal, Unavailable) as error:
            if answer.started:
                raise
            await refuse(site, context, problem.refusal_of(error), answer)
        except asyncio.CancelledError:
            if not answer.broken():
                raise
            # our own cancellation: the server sees an answer without an end, and closes the connection
        finally:
            answer.end()
            # context and scope hold each other: left so, every request would wait for the garbage collector
            scope.pop(site.door.key, None)

    def _app_of(self, site: Site, context: RequestContext, *, owned: bool) -> ASGIApp:
        scope = context.scope
        if not self._lifted:
            self._lifted = True
            lift(scope.get("app"))
        app = site.app if owned else self.app
        return Watched(app, lambda: site.door.gate, context) if scope["type"] == "websocket" else app


class _Answer:
    """The `send` of one request: adds the request id, the limits that were hit, and `extra`."""

    __slots__ = ("context", "door", "extra", "send", "started", "stream")

    def __init__(
        self, send: Send, extra: list[Header] | tuple[()], context: RequestContext, door: Door | None
    ) -> None:  # fmt: skip
        self.send = send
        self.door = door  # None: the answer is our own, and no stream
        self.stream: Streamed | None = None
        self.extra: list[Header] | tuple[()] = extra
        self.context = context
        self.started = False

    def __call__(self, message: Message) -> Awaitable[None]:
        # hands on the awaitable of `send` instead of waiting for it: one coroutine less for each message
        kind = message["type"]
        if kind in _STARTS:
            self.started = True
            context = self.context
            # a list of our own: an application may hand the same header list to several responses
            headers = [*message.get("headers", ()), *self.extra]
            if not context.inner:
                headers.append(context.id_header)
            if self.door is None and not any(name == b"content-security-policy" for name, _ in headers):
                headers.append(_NO_PAGE)
            if context.hits:
                # Retry-After belongs to the refusal, which has it already
                headers += [field for field in limit_headers(context.hits) if field[0] != b"retry-after"]
            message["headers"] = headers
        elif kind == "websocket.accept":
            self.started = True
        elif self.stream is None and message.get("more_body") and kind == "http.response.body":
            self._watch()
        return self.send(message)

    def broken(self) -> bool:
        """Whether the answer was broken off because its credential died."""
        return self.stream is not None and self.stream.broken

    def end(self) -> None:
        """The request is over."""
        if self.stream is not None:
            self.stream.end()

    def _watch(self) -> None:
        door, context = self.door, self.context
        if door is not None and context.resolved is not None:
            self.stream = Streamed(lambda: door.gate, context)


async def refuse(site: Site, context: RequestContext, refusal: Refusal, send: Send) -> None:
    """Answers with a refusal, and writes the one event of it."""
    site.record(context, refusal)
    scope = context.scope
    websocket = scope["type"] == "websocket"
    if websocket and "websocket.http.response" not in scope.get("extensions", {}):
        code = 4401 if refusal.status == 401 else 4403
        await send({"type": "websocket.close", "code": code, "reason": refusal.code})
        return
    kind = "websocket.http.response" if websocket else "http.response"
    content = problem.body(refusal, context.request_id)
    length = (b"content-length", str(len(content)).encode())
    headers = [*problem.headers(refusal, site.realm), length]
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": b"" if scope.get("method") == "HEAD" else content})
