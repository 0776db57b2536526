"""Migrations: what they build is what `schema.py` says, and several processes may start at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from admit.ground.clock import SystemClock
from admit.ground.work import Tx
from admit.stores.sql.database import open_database
from admit.stores.sql.migrations import VERSION_TABLE, current, head, include_name, include_object
from admit.stores.sql.schema import metadata


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'admit.sqlite3'}"
    empty: str = request.getfixturevalue("pg_empty")
    return empty


def differences(tx: Tx) -> list[Any]:
    """What Alembic would change to bring the database to `schema.py`."""
    options = {
        "version_table": VERSION_TABLE, "compare_type": True, "target_metadata": metadata,
        "include_name": lambda name, kind, _parents: kind != "table" or (name or "").startswith("admit_"),
    }  # fmt: skip
    context = MigrationContext.configure(tx.connection, opts=options)
    return [one for one in compare_metadata(context, metadata) if not _is_xid(one)]


def _is_xid(difference: Any) -> bool:
    # PostgreSQL's xid8 is not in SQLAlchemy's reflection
    return isinstance(difference, list) and difference[0][0] == "modify_type" and difference[0][3] == "xid"


@pytest.mark.filterwarnings("ignore:Did not recognize type 'xid8'")
async def test_the_migrations_build_the_schema(url: str) -> None:
    database = open_database(url, SystemClock(), bytes)
    try:
        await database.migrate()
        assert await database.read(lambda tx: current(tx.connection)) == head()
        assert await database.read(differences) == []
    finally:
        await database.close()


async def test_migrating_twice_changes_nothing(url: str) -> None:
    database = open_database(url, SystemClock(), bytes)
    try:
        await database.migrate()
        await database.migrate()
        assert await database.read(lambda tx: current(tx.connection)) == head()
    finally:
        await database.close()


@pytest.mark.parametrize(("name", "kept"), [("admit_users", False), ("posts", True)])
def test_an_applications_own_alembic_leaves_our_tables_alone(name: str, kept: bool) -> None:
    assert include_object(None, name, "table", False, None) is kept
    assert include_name(name, "table", {}) is kept
