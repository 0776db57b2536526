"""The application's own table, in the same database, through the application's own connection.

`author` is a foreign key to our table of accounts: a post cannot outlive the person who wrote it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from admit.ground.ids import read, show

_TABLE = """
CREATE TABLE IF NOT EXISTS posts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL DEFAULT 1,
    author BLOB NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    FOREIGN KEY (tenant, author) REFERENCES admit_users (tenant, id) ON DELETE CASCADE
)
"""
_SHOWN = 20
_COLUMNS = "SELECT id, author, title, body FROM posts"


class Posts:
    """Posts in the SQLite file at `path`."""

    def __init__(self, path: str) -> None:
        self._path = path

    def prepare(self) -> None:
        """Makes the table; Admit's own tables must be there, since it refers to them."""
        with self._connection() as connection:
            connection.execute(_TABLE)

    def add(self, author: str, title: str, body: str) -> int:
        """Stores a post of `author` (a public identifier, `usr_…`); its id."""
        with self._connection() as connection:
            added = connection.execute(
                "INSERT INTO posts (author, title, body) VALUES (?, ?, ?)", (read("usr", author), title, body)
            )
            return int(added.lastrowid or 0)

    def get(self, identifier: int) -> dict[str, Any] | None:
        """One post, or None."""
        with self._connection() as connection:
            row = connection.execute(f"{_COLUMNS} WHERE id = ?", (identifier,)).fetchone()
        return None if row is None else _post(*row)

    def newest(self) -> list[dict[str, Any]]:
        """The newest posts first."""
        with self._connection() as connection:
            rows = connection.execute(f"{_COLUMNS} ORDER BY id DESC LIMIT ?", (_SHOWN,)).fetchall()
        return [_post(*row) for row in rows]

    def delete(self, identifier: int) -> bool:
        """Deletes a post; False when there was none."""
        with self._connection() as connection:
            return bool(connection.execute("DELETE FROM posts WHERE id = ?", (identifier,)).rowcount)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=5)) as connection:
            # SQLite checks foreign keys only where a connection asks for it
            connection.execute("PRAGMA foreign_keys = ON")
            with connection:
                yield connection


def _post(identifier: int, author: bytes, title: str, body: str) -> dict[str, Any]:
    return {"id": identifier, "author": show("usr", author), "title": title, "body": body}
