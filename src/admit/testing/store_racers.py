"""Racers for whatever lives in the database: operating-system processes that open it and do one thing at one moment.

Run as `python -m admit.testing.store_racers`, which reads databases and orders from its input, a JSON line each, and
answers with a JSON line each.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from admit.ground.kit import Kit
from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock

#: what one racer does: with the kit of its process and the order's arguments; its answer is JSON
Run = Callable[[Kit, dict[str, Any]], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Order:
    """What each process does `times` times at once: `run` is `module:function`, a `Run`."""

    run: str
    arguments: dict[str, Any] = field(default_factory=dict)
    times: int = 1


class Racers:
    """`number` processes, ready to run; a context manager that ends them. They are dear (each imports everything), so
    one set serves many tests: `open` points all of them to another database.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        command = [sys.executable, "-m", "admit.testing.store_racers"]
        for _ in range(self._number):
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)  # noqa: S603
            )
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.communicate()

    def open(self, url: str) -> Self:
        """Opens the (migrated) database at `url` in all of them, and closes the one before."""
        self._tell({"url": url})
        self._answers()
        return self

    def run(self, order: Order) -> list[Any]:
        """All that the racers answered, in no order."""
        # every racer has answered its last order and waits in readline: they start within a write of each other
        self._tell(asdict(order))
        return [value for answer in self._answers() for value in answer]

    def kill(self) -> None:
        """Ends all of them as a power cut would: no handler runs, nothing is flushed."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _tell(self, message: dict[str, Any]) -> None:
        for process in self._processes:
            assert process.stdin is not None  # noqa: S101 (a pipe was asked for)
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()

    def _answers(self) -> list[list[Any]]:
        answers = []
        for process in self._processes:
            assert process.stdout is not None  # noqa: S101
            if not (line := process.stdout.readline()):
                raise RuntimeError("a racer ended early; its own output says why")
            answers.append(json.loads(line))
        return answers


def named(run: str) -> Run:
    """The function behind `module:function`."""
    module, _, name = run.partition(":")
    found: Run = getattr(importlib.import_module(module), name)
    return found


async def _race(lines: Iterator[str]) -> None:
    clock = ManualClock()
    database: Database | None = None
    for line in lines:
        message = json.loads(line)
        if (url := message.pop("url", None)) is not None:
            if database is not None:
                await database.close()
            database = open_database(url, clock, secrets.token_bytes)
            # connects, so that the race is not decided by who connects first
            await database.write(lambda tx: None)
            _say([])
        elif database is not None:
            order, kit = Order(**message), Kit(database, clock)
            run = named(order.run)
            _say(await asyncio.gather(*(run(kit, order.arguments) for _ in range(order.times))))
    if database is not None:
        await database.close()


def _say(answer: list[Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_race(iter(sys.stdin.readline, "")))
