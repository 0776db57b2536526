"""Tickets and keys that are wrong on purpose: they read, check, and then write. The suites must not let them pass."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from admit.credentials.tickets import Tickets
from admit.credentials.usage import Usage
from admit.crypto.opaque import KeyParts, api_key_format, sha256
from admit.ground.clock import micros
from admit.ground.errors import Refused
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.settings import Settings
from admit.stores.sql import api_keys, schema
from admit.testing.ticket_suite import PURPOSE

SECRETS = schema.api_key_secrets


async def take(kit: Kit, arguments: dict[str, Any]) -> list[str | None]:
    mine = kit.new_id()
    seen = await kit.work.read(lambda tx: Tickets(kit, Settings()).peek(tx, PURPOSE, arguments["text"]))
    if isinstance(seen, Refused):
        return [seen.reason, None]
    taken = sa.update(schema.tickets).where(schema.tickets.c.id == seen.id)

    def write(tx: Tx) -> None:
        tx.connection.execute(taken.values(taken_at=tx.now, taken_for=mine))

    await kit.work.write(write)
    return ["taken", mine.hex()]


async def rotate(kit: Kit, arguments: dict[str, Any]) -> str:
    owner, key, secret = bytes.fromhex(arguments["owner"]), bytes.fromhex(arguments["key"]), kit.random(32)
    newest = sa.select(SECRETS.c.digest).where(SECRETS.c.key_id == key, SECRETS.c.retires_at.is_(None))
    seen = await kit.work.read(lambda tx: tx.connection.execute(newest).scalars().all())

    def write(tx: Tx) -> None:
        until = tx.now + micros(timedelta(hours=1))
        tx.connection.execute(sa.update(SECRETS).where(SECRETS.c.digest.in_(seen)).values(retires_at=until))
        api_keys.touch(tx, owner, key, {})
        api_keys.add_secret(tx, key, sha256(secret))

    await kit.work.write(write)
    return api_key_format("admit", "p", "live").issue(KeyParts(1, key, secret).pack())


async def note_only(kit: Kit, arguments: dict[str, Any]) -> int:
    """Notes a use that is never written: the process is killed before its next batch."""
    usage = Usage(kit.work, kit.clock)
    usage.note(bytes.fromhex(arguments["key"]), None)
    return usage.pending
