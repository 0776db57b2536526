"""Units of work: `await work.write(body)` runs a plain function inside one transaction that it cannot escape.

Nothing can be awaited between BEGIN and COMMIT, so no hash, HTTP call or mail ever holds a writer, and a client that
disconnects cannot cut a transaction in half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

from admit.ground.events import Event
from admit.ground.principal import Tie

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """Work for later: `kind` names the handler, `data` is JSON. Never holds a secret or a link."""

    kind: str
    data: dict[str, Any]
    due: int | None = None


@dataclass(slots=True)
class Tx:
    """One open transaction. `now` is microseconds UTC, fixed for its length; `tenant` is part of every key.

    `connection` is for query files (`admit.stores.sql`) only; rooms pass the Tx on.
    """

    connection: Connection
    now: int
    tenant: int
    dialect: str
    events: list[Event] = field(default_factory=list)
    voids: list[tuple[Tie, int]] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        """A durable event: written in this transaction, or not at all."""
        self.events.append(event)

    def void(self, tie: Tie, version: int) -> None:
        """What anyone knows of `tie` below `version` is void; its row must carry `version` in this transaction."""
        self.voids.append((tie, version))

    def enqueue(self, job: Job) -> None:
        """A job that exists once this transaction has been committed, and not otherwise."""
        self.jobs.append(job)


class Work(Protocol):
    """Units of work over one store. Both raise `Unavailable` when the store is down or the queue is full."""

    async def write(self, body: Callable[[Tx], T]) -> T:
        """Runs `body` in a read-write transaction; commits when it returns, rolls back when it raises."""
        ...

    async def read(self, body: Callable[[Tx], T]) -> T:
        """Runs `body` in a read-only transaction on the primary."""
        ...
