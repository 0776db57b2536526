"""Open connections outlive requests: one whose credential dies is closed with 4401 (mechanism: ties and a deadline).

A WebSocket registers the ties of its caller when it is accepted. A void of one of them, or the deadline, makes us read
the truth again: still alive, it goes on; dead or with fewer rights, the client gets close code 4401 and the application
a disconnect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from admit.ground.clock import SECOND
from admit.ground.errors import Refusal, Unavailable
from admit.ground.principal import Facts
from admit.web.context import RequestContext

if TYPE_CHECKING:
    from admit.web.gate import Gate

DIED, UNSURE = 4401, 1013  # RFC 6455 section 7.4.2: private use; 1013 is "try again later"
LONGEST = 3600.0  # seconds; the truth is asked again at least this often


class Watched:
    """One WebSocket, from its handshake to its end."""

    def __init__(self, app: ASGIApp, gate: Callable[[], Gate | None], context: RequestContext) -> None:
        self._app = app
        self._gate = gate
        self._context = context
        self._dead: asyncio.Future[int] | None = None
        self._stop: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._dead = dead = asyncio.get_running_loop().create_future()

        async def answer(message: Message) -> None:
            if dead.done():
                return
            await send(message)
            # asked each time: an application may accept first and ask who is there afterwards
            if self._stop is None and message["type"] in ("websocket.accept", "websocket.send"):
                self._watch(send)

        async def hear() -> Message:
            return await _first(receive, dead)

        try:
            await self._app(scope, hear, answer)
        finally:
            self._forget()

    def _watch(self, send: Send) -> None:
        resolved, gate = self._context.resolved, self._gate()
        if resolved is None or resolved.facts is None or gate is None:
            return
        facts = resolved.facts

        def moved() -> None:
            if self._checking is None or self._checking.done():
                self._checking = asyncio.get_running_loop().create_task(self._check(gate, send))

        self._stop = gate.watch([tie for tie, _ in facts.ties], moved)
        self._schedule(gate, facts, moved)
        # a void between the check of the handshake and this line would otherwise be heard by nobody
        moved()

    def _schedule(self, gate: Gate, facts: Facts, moved: Callable[[], None]) -> None:
        left = max(0.0, (facts.deadline - gate.now()) / SECOND)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(min(left, LONGEST), moved)

    async def _check(self, gate: Gate, send: Send) -> None:
        resolved = self._context.resolved
        assert resolved is not None  # noqa: S101
        try:
            facts = await gate.again(resolved)
        except Refusal:
            await self._close(send, DIED)
        except Unavailable:
            # nobody can say that it is alive: closed, never an open door
            await self._close(send, UNSURE)
        else:
            if resolved.facts is not None and not facts.scopes >= resolved.facts.scopes:
                # the application asked for its rights once, at the handshake: it has to ask again
                await self._close(send, DIED)
                return
            self._schedule(gate, facts, lambda: self._again(gate, send))

    def _again(self, gate: Gate, send: Send) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check(gate, send))

    async def _close(self, send: Send, code: int) -> None:
        assert self._dead is not None  # noqa: S101
        if not self._dead.done():
            self._dead.set_result(code)
            await send({"type": "websocket.close", "code": code, "reason": "the credential is no longer valid"})

    def _forget(self) -> None:
        if self._stop is not None:
            self._stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._checking is not None:
            self._checking.cancel()


async def _first(receive: Receive, dead: asyncio.Future[int]) -> Message:
    """The next message, or a disconnect when the credential dies first."""
    hearing = asyncio.ensure_future(receive())
    try:
        waited: set[asyncio.Future[Any]] = {hearing, dead}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not hearing.done():
            hearing.cancel()
    if hearing.done() and not hearing.cancelled() and not dead.done():
        return hearing.result()
    return {"type": "websocket.disconnect", "code": dead.result() if dead.done() else UNSURE}
