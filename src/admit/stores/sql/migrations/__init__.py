"""Schema migrations (Alembic), with a version table of our own so that an application's Alembic lives beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

VERSION_TABLE = "admit_alembic_version"


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def upgrade(connection: Connection, target: str = "heads") -> None:
    """Runs what is missing up to `target` on an open transaction."""
    script = _script()

    def steps(revision: Any, _context: Any) -> Any:
        return script._upgrade_revs(target, revision)

    with EnvironmentContext(Config(), script, fn=steps) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE, transactional_ddl=False)
        environment.run_migrations()


def current(connection: Connection) -> str | None:
    """The revision this database is on; None for an empty one."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def head() -> str | None:
    """The newest revision this version of Admit knows."""
    return _script().get_current_head()


def include_object(_object: Any, name: str | None, type_: str, *_: Any) -> bool:
    """For the `include_object` of an application's own Alembic: keeps it from dropping our tables."""
    return not (type_ == "table" and (name or "").startswith("admit_"))


def include_name(name: str | None, type_: str, _parents: Any = None) -> bool:
    """For `include_name`, beside `include_object`: keeps our tables from being read at all, which PostgreSQL's own
    types would make SQLAlchemy warn about.
    """
    return include_object(None, name, type_)
