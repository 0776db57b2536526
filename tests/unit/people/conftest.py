"""A house for the tests of accounts, as for those of flows."""

from __future__ import annotations

from tests.unit.flows.conftest import build, clock, database, house, pg_template, url

__all__ = ["build", "clock", "database", "house", "pg_template", "url"]
