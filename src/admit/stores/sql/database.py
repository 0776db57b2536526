"""Engines and units of work: `open_database(url)` gives a `Database` for SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Protocol, TypeVar

from admit.ground.clock import Clock, micros
from admit.ground.errors import SettingsError
from admit.ground.principal import Tie
from admit.ground.work import Tx, Work
from admit.stores.sql import events, feed, jobs

T = TypeVar("T")
DEFAULT_TENANT = 1
AfterCommit = Callable[[Sequence[tuple[Tie, int]]], None]


class Database(Work, Protocol):
    """A store: units of work, plus its life."""

    dialect: str
    url: str

    def on_commit(self, hear: AfterCommit) -> None:
        """`hear(voids)` runs after each commit that voided something, before the caller gets its answer."""
        ...

    async def migrate(self) -> None:
        """Brings the schema to this version, under a lock; safe when several processes start at once."""
        ...

    async def changes(self) -> int | None:
        """SQLite: a number that moves when any other connection has written; None where that is not known."""
        ...

    async def close(self) -> None:
        """Finishes what is queued and lets go of every connection."""
        ...


class Scribe:
    """Opens the Tx of a unit of work and writes what it collected: events, voids, jobs."""

    def __init__(self, clock: Clock, random: Callable[[int], bytes], dialect: str, void_for: timedelta) -> None:
        self._clock = clock
        self._random = random
        self._dialect = dialect
        self._void_for = micros(void_for)

    def run(self, connection: object, body: Callable[[Tx], T]) -> tuple[T, Tx]:
        """Runs `body` on an open transaction and writes its events, voids and jobs into it."""
        tx = Tx(connection, self._clock.now(), DEFAULT_TENANT, self._dialect)  # type: ignore[arg-type]
        result = body(tx)
        events.insert(tx, tx.events, self._random)
        feed.insert(tx, tx.voids, tx.now + self._void_for)
        jobs.insert(tx, tx.jobs)
        return result, tx


def open_database(
    url: str,
    clock: Clock,
    random: Callable[[int], bytes],
    *,
    void_for: timedelta = timedelta(minutes=20),
) -> Database:
    """The store behind `url`: `sqlite:///path`, `sqlite://` (in memory), `postgresql://…`.

    `void_for` is how long voids are kept in SQL: the longest access token plus five minutes.
    Raises `SettingsError` for any other scheme.
    """
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme == "sqlite":
        from admit.stores.sql.sqlite import SQLite

        return SQLite(url, Scribe(clock, random, "sqlite", void_for))
    if scheme in ("postgresql", "postgres"):
        from admit.stores.sql.postgresql import PostgreSQL

        return PostgreSQL(url, Scribe(clock, random, "postgresql", void_for))
    raise SettingsError(f"ADMIT_DATABASE: {scheme!r} is not supported; use sqlite:///file or postgresql://host/name")
