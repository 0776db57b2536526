"""Credentials as their owners and administrators see them: JSON forms without any secret."""

from __future__ import annotations

from typing import Any

from admit.credentials.api_keys import Created, KeyRow
from admit.credentials.grants import GrantRow
from admit.credentials.sessions import SessionRow
from admit.ground.clock import iso
from admit.ground.ids import show
from admit.rights import split


def sign_in_json(row: SessionRow | GrantRow, current: bytes | None) -> dict[str, Any]:
    """A sign-in as its owner sees it."""
    return {
        "id": show("grt" if isinstance(row, GrantRow) else "ses", row.id),
        "kind": row.deliver if isinstance(row, GrantRow) else "session",
        "created_at": iso(row.created_at),
        "seen_at": iso(row.seen_at),
        "expires_at": iso(row.expires_at),
        "address": row.address,
        "agent": row.agent,
        "current": row.id == current,
    }


def key_json(row: KeyRow) -> dict[str, Any]:
    """A key as its owner sees it; the text is gone."""
    return {
        "id": show("key", row.id),
        "name": row.name,
        "owner": show("usr", row.user_id),
        "environment": row.environment,
        "scopes": sorted(split(row.scopes)),
        "hint": row.hint,
        "created_at": iso(row.created_at),
        "expires_at": _when(row.expires_at),
        "last_used_at": _when(row.last_used_at),
        "uses": row.uses or 0,
        "last_address": row.last_address,
        "disabled": row.disabled_at is not None,
        "revoked_at": _when(row.revoked_at),
        "limit": limit_json(row.limit),
        "old_until": _when(row.old_until),
    }


def created_json(created: Created) -> dict[str, Any]:
    """A key with its text, this once."""
    return {**key_json(created.row), "key": created.key}


def limit_json(limit: tuple[int, int] | None) -> dict[str, int] | None:
    """A key's own limit."""
    return None if limit is None else {"hits": limit[0], "seconds": limit[1] // 1_000_000}


def _when(at: int | None) -> str | None:
    return None if at is None else iso(at)
