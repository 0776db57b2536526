"""The same stores as the audit room's tests."""

from tests.unit.audit.conftest import another, clock, database, kit, pg_template, url

__all__ = ["another", "clock", "database", "kit", "pg_template", "url"]
