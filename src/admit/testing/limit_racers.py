"""Racers for stores of limits: operating-system processes that open one store and hit it at the same moment.

Run as `python -m admit.testing.limit_racers`, which reads an `Opening` and then orders from its input, a JSON line
each, and answers with a JSON line each.
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
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Self

from admit.ground.clock import micros
from admit.limits import Limit, LimitStore, SqlLimits, ValkeyLimits, Waits
from admit.stores.sql.database import open_database
from admit.stores.valkey import Valkey
from admit.testing.clock import ManualClock


@dataclass(frozen=True, slots=True)
class Opening:
    """How a process opens the store: `module:function`, an async function, and its arguments."""

    function: str
    arguments: tuple[str, ...]

    async def open(self) -> LimitStore:
        """The store, opened in this process; its clock stands still at the same moment in all of them."""
        module, _, name = self.function.partition(":")
        opened: LimitStore = await getattr(importlib.import_module(module), name)(*self.arguments)
        return opened


@dataclass(frozen=True, slots=True)
class Order:
    """What each racer does `times` times at once under `key`: `hit`, `fail`, or `spend` (a hit and its refund)."""

    verb: str
    key: str
    times: int
    max: int = 1


class Racers:
    """`number` processes with the store open, ready to run; a context manager that ends them."""

    def __init__(self, opening: Opening, number: int) -> None:
        self._opening = opening
        self._number = number
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}
        command = [sys.executable, "-m", "admit.testing.limit_racers"]
        for _ in range(self._number):
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)  # noqa: S603
            )
        self._tell({"function": self._opening.function, "arguments": self._opening.arguments})
        self._answers()
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.communicate()

    def run(self, order: Order) -> list[int]:
        """All that the racers got, in no order: 1 or 0 for a hit, the wait in microseconds for a failure."""
        self._tell(asdict(order))
        return [value for answer in self._answers() for value in answer]

    def _tell(self, message: dict[str, Any]) -> None:
        # every racer has read its last order and waits in readline: they start within a write of each other
        for process in self._processes:
            assert process.stdin is not None  # noqa: S101 (a pipe was asked for)
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()

    def _answers(self) -> list[list[int]]:
        answers = []
        for process in self._processes:
            assert process.stdout is not None  # noqa: S101
            if not (line := process.stdout.readline()):
                raise RuntimeError("a racer ended early; its own output says why")
            answers.append(json.loads(line))
        return answers


async def open_sql(url: str) -> LimitStore:
    """Limits in the (migrated) database at `url`."""
    return SqlLimits(open_database(url, ManualClock(), secrets.token_bytes))


async def open_valkey(url: str) -> LimitStore:
    """Limits in the Valkey at `url`."""
    return ValkeyLimits(Valkey(url), ManualClock())


async def _hit(store: LimitStore, order: Order) -> int:
    return int((await store.hit(order.key, Limit(order.max, timedelta(minutes=1)))).allowed)


async def _fail(store: LimitStore, order: Order) -> int:
    return micros(await store.fail(order.key, Waits()))


async def _spend(store: LimitStore, order: Order) -> int:
    limit = Limit(order.max, timedelta(minutes=1))
    if not (await store.hit(order.key, limit)).allowed:
        return 0
    await store.refund(order.key, limit)
    return 1


_VERBS: dict[str, Callable[[LimitStore, Order], Awaitable[int]]] = {"hit": _hit, "fail": _fail, "spend": _spend}


async def _race(lines: Iterator[str]) -> None:
    first = json.loads(next(lines))
    store = await Opening(first["function"], tuple(first["arguments"])).open()
    await store.waiting("warm")  # connects, so that the race is not decided by who connects first
    _say([])
    for line in lines:
        order = Order(**json.loads(line))
        _say(await asyncio.gather(*(_VERBS[order.verb](store, order) for _ in range(order.times))))
    await store.close()


def _say(answer: list[int]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_race(iter(sys.stdin.readline, "")))
