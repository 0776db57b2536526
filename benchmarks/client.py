"""A small HTTP client on asyncio streams: one request after another on a connection that stays open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any, Self


class Connection:
    """One keep-alive connection. Understands answers with Content-Length, which is what these servers send."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, headers: Sequence[str] = (), body: bytes = b"") -> tuple[int, bytes]:
        """Status and body."""
        lines = [f"{method} {path} HTTP/1.1", f"host: localhost:{self._port}", f"content-length: {len(body)}", *headers]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = next((line for line in head.split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        return int(head.split(b" ", 2)[1]), await self._reader.readexactly(int(length.split(b":")[1]))

    async def post(self, path: str, content: Mapping[str, Any], headers: Sequence[str] = ()) -> tuple[int, bytes]:
        """The same with a JSON body."""
        return await self.ask("POST", path, ["content-type: application/json", *headers], json.dumps(content).encode())


async def each_once(port: int, headers: Sequence[str], *, connections: int) -> None:
    """Every header once, so that each credential has been verified. Raises when an answer is not 200."""
    left = iter(headers)

    async def one() -> None:
        async with Connection(port) as connection:
            for header in left:
                status, body = await connection.ask("GET", "/", [header])
                if status != 200:
                    raise RuntimeError(f"{status} {body[:200]!r}")

    await asyncio.gather(*(one() for _ in range(connections)))


async def flood(port: int, headers: Sequence[str], seconds: float, *, connections: int) -> tuple[int, float]:
    """As many requests as fit in; how many, and how long it took. Raises when an answer is not 200."""
    begun, turn, count = time.monotonic(), cycle(headers), 0

    async def one() -> None:
        nonlocal count
        async with Connection(port) as connection:
            while time.monotonic() < begun + seconds:
                status, body = await connection.ask("GET", "/", [next(turn)])
                if status != 200:
                    raise RuntimeError(f"{status} {body[:200]!r}")
                count += 1

    await asyncio.gather(*(one() for _ in range(connections)))
    return count, time.monotonic() - begun
