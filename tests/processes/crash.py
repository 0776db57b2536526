"""A process that exchanges a refresh token and kills itself at the n-th step: before each statement, before the commit,
and after it. Run as `python -m tests.processes.crash URL`; reads `{"token": …, "at": n}` lines, answers a line each.

Each order runs in a fork, so that the imports are paid once; the parent opens no database of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

import sqlalchemy as sa

from admit.testing.credential_rooms import rooms_on
from admit.testing.refresh_suite import exchanged


class Fuse:
    """Counts steps, and kills the process at the chosen one."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.steps = 0
        self.armed = False

    def step(self, *_: Any, **__: Any) -> None:
        if not self.armed:
            return
        self.steps += 1
        if self.steps == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


async def run(url: str, token: str, fuse: Fuse) -> str:
    async with rooms_on(url) as rooms:
        await rooms.database.read(lambda tx: None)
        fuse.armed = True
        successor = await exchanged(rooms, token)
        # the last step: committed, and nobody told
        fuse.step()
        fuse.armed = False
        return successor.refresh_token


def child(url: str, order: dict[str, Any], answer: int) -> None:
    fuse = Fuse(order["at"])
    for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
        sa.event.listen(sa.Engine, moment, fuse.step)
    token = asyncio.run(run(url, order["token"], fuse))
    os.write(answer, json.dumps({"token": token, "steps": fuse.steps}).encode())


def one(url: str, order: dict[str, Any]) -> dict[str, Any]:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        code = 1
        try:
            child(url, order, writing)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return {"killed": os.WTERMSIG(status)}
    return {"exit": os.WEXITSTATUS(status), **json.loads(said or "{}")}


def main() -> None:
    for line in sys.stdin:
        sys.stdout.write(json.dumps(one(sys.argv[1], json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
