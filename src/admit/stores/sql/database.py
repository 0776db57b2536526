"""Engines and units of work: `open_database(url)` gives a `Database` for SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

from admit.ground.clock import Clock
from admit.ground.errors import SettingsError
from admit.ground.work import Tx, Work
from admit.stores.sql.scribe import AfterCommit, Scribe

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

T = TypeVar("T")


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

    async def watch(self, body: Callable[[Tx], T]) -> tuple[T, int]:
        """A read on a connection of its own, which no crowd of requests can take away and which fails fast.

        The number says which connection it was: another one than before may have missed something in between.
        """
        ...

    def joined(self, connection: Connection | AsyncConnection) -> Work:
        """Units of work inside a transaction of the application's own. Raises `AdmitError` for another database."""
        ...

    async def close(self) -> None:
        """Finishes what is queued and lets go of every connection."""
        ...


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
