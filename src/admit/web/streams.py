"""Open connections outlive requests: one whose credential dies is closed with 4401 (mechanism: ties and a deadline).

A WebSocket registers the ties of its caller when it is accepted. A void of one of them, or the deadline, makes us read
the truth again: still alive, it goes on; dead or with fewer rights, the client gets close code 4401 and the application
a disconnect. An HTTP answer that is sent piece by piece breaks off in the same case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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

Died = Callable[[int], Awaitable[None]]


class Watch:
    """The caller of one open connection; `died(code)` is called once, when they may not go on."""

    def __init__(self, gate: Callable[[], Gate | None], context: RequestContext, died: Died) -> None:
        self._gate = gate
        self._context = context
        self._died = died
        self._stop: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._checking: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Watches from now on, if there is a caller; asked again it does nothing."""
        resolved, gate = self._context.resolved, self._gate()
        if self._stop is not None or resolved is None or resolved.facts is None or gate is None:
            return
        facts = resolved.facts
        self._stop = gate.watch([tie for tie, _ in facts.ties], self._moved)
        self._schedule(gate, facts)
        # a void between the check of the request and this line would otherwise be heard by nobody
        self._moved()

    def end(self) -> None:
        """Stops watching."""
        if self._stop is not None:
            self._stop()
        if self._timer is not None:
            self._timer.cancel()
        if self._checking is not None and self._checking is not asyncio.current_task():
            self._checking.cancel()

    def _moved(self) -> None:
        if self._checking is None or self._checking.done():
            self._checking = asyncio.get_running_loop().create_task(self._check())

    def _schedule(self, gate: Gate, facts: Facts) -> None:
        left = max(0.0, (facts.deadline - gate.now()) / SECOND)
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(min(left, LONGEST), self._due)

    def _due(self) -> None:
        self._checking = asyncio.get_running_loop().create_task(self._check())

    async def _check(self) -> None:
        resolved, gate = self._context.resolved, self._gate()
        assert resolved is not None  # noqa: S101
        try:
            facts = None if gate is None else await gate.again(self._context)
        except Refusal:
            await self._died(DIED)
            return
        except Unavailable:
            facts = None
        if facts is None or gate is None:
            # nobody can say that it is alive: closed, never an open door
            await self._died(UNSURE)
        elif resolved.facts is not None and not facts.scopes >= resolved.facts.scopes:
            # the application asked for its rights once, at the beginning: it has to ask again
            await self._died(DIED)
        else:
            self._schedule(gate, facts)


class Watched:
    """One WebSocket, from its handshake to its end."""

    def __init__(self, app: ASGIApp, gate: Callable[[], Gate | None], context: RequestContext) -> None:
        self._app = app
        self._gate = gate
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        dead: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def died(code: int) -> None:
            if not dead.done():
                dead.set_result(code)
                await send({"type": "websocket.close", "code": code, "reason": "the credential is no longer valid"})

        watch = Watch(self._gate, self._context, died)

        async def answer(message: Message) -> None:
            if dead.done():
                return
            await send(message)
            # asked each time: an application may accept first and ask who is there afterwards
            if message["type"] in ("websocket.accept", "websocket.send"):
                watch.begin()

        async def hear() -> Message:
            return await _first(receive, dead)

        try:
            await self._app(scope, hear, answer)
        finally:
            watch.end()


class Streamed:
    """One HTTP answer that is sent piece by piece: it breaks off when its credential dies."""

    def __init__(self, gate: Callable[[], Gate | None], context: RequestContext) -> None:
        self._task = asyncio.current_task()
        self.broken = False
        self._watch = Watch(gate, context, self._break)
        self._watch.begin()

    async def _break(self, _code: int) -> None:
        # the status has been sent: all that is left is not to finish, which every client can tell from an end
        if self._task is not None and not self.broken:
            self.broken = True
            self._task.cancel()

    def end(self) -> None:
        """Stops watching."""
        self._watch.end()


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
