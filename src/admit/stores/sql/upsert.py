"""INSERT ... ON CONFLICT in the dialect at hand; the other dialect, with its drivers, is never imported."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.dialects.sqlite import Insert


def insert_for(dialect: str) -> Callable[[Any], Insert]:
    """`insert` of that dialect. Both have the same `on_conflict_do_nothing` and `on_conflict_do_update`."""
    if dialect == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_postgresql

        return insert_postgresql  # type: ignore[return-value]
    from sqlalchemy.dialects.sqlite import insert

    return insert
