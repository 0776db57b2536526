"""ASGI without a socket: applications are called by turns, and the best round of each counts.

On a shared machine a mean measures the neighbours. The minimum of many short interleaved rounds measures the code.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

from starlette.types import ASGIApp, Message, Scope

Headers = list[tuple[bytes, bytes]]


@dataclass
class Lane:
    """One application under test, with the requests that it gets in rotation (at least one)."""

    name: str
    app: ASGIApp
    requests: Sequence[Headers]
    path: str = "/"
    rounds: list[float] = field(default_factory=list)  # microseconds a request, one a round

    def __post_init__(self) -> None:
        self._turn = cycle(self.requests)

    @property
    def best(self) -> float:
        """Microseconds a request in the best round."""
        return min(self.rounds)

    def scopes(self, count: int) -> list[Scope]:
        """The next `count` requests, as a server would hand them over: made before the watch starts."""
        return [_scope(self.path, headers) for headers in islice(self._turn, count)]


def _scope(path: str, headers: Headers) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost:8000"), (b"user-agent", b"bench"), (b"accept", b"*/*"), *headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
        "state": {},
    }


async def _receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nothing(_message: Message) -> None:
    return


async def status(app: ASGIApp, scope: Scope) -> tuple[int, bytes, Headers]:
    """One request, looked at: what a lane measures must be the answer that it should be."""
    seen: list[Message] = []

    async def keep(message: Message) -> None:
        seen.append(message)

    await app(scope, _receive, keep)
    body = b"".join(message.get("body", b"") for message in seen[1:])
    return seen[0]["status"], body, list(seen[0]["headers"])


async def warm(lane: Lane) -> None:
    """Every request of the rotation once; raises when one is not answered with 200."""
    for scope in lane.scopes(len(lane.requests)):
        code, body, _ = await status(lane.app, scope)
        if code != 200:
            raise RuntimeError(f"{lane.name}: {code} {body[:300]!r}")


async def race(lanes: Sequence[Lane], *, rounds: int, requests: int) -> None:
    """`rounds` times, every lane by turns answers `requests` requests; who begins changes every time."""
    gc.collect()
    gc.freeze()
    for number in range(rounds):
        at = number % len(lanes)
        for lane in (*lanes[at:], *lanes[:at]):
            lane.rounds.append(await _round(lane, requests))
    gc.unfreeze()


async def _round(lane: Lane, requests: int) -> float:
    scopes, app = lane.scopes(requests), lane.app
    begun = time.thread_time_ns()  # a neighbour who takes the processor away does not count
    for scope in scopes:
        await app(scope, _receive, _nothing)
    return (time.thread_time_ns() - begun) / requests / 1000


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    cells = [list(map(str, head)), *(list(map(str, row)) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = []
    for row in cells:
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  " + "  ".join([row[0].ljust(widths[0]), *rest]).rstrip())
    lines.insert(1, "  " + "  ".join("-" * width for width in widths))
    return "\n".join(lines)
