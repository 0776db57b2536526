"""`admit migrate` and `admit fence`: the database as a whole."""

from __future__ import annotations

import asyncio
from typing import Any

from admit.build import open_store
from admit.cli.opening import here, operator, within
from admit.cli.terminal import Json, Terminal, Yes, confirm
from admit.credentials.fence import Fence
from admit.ground.clock import iso
from admit.ground.events import Via
from admit.ground.logs import mask
from admit.rooms import Rooms
from admit.stores.sql.migrations import current, head


def migrate(as_json: Json = False) -> None:
    """Bring the database to this version, under a lock; safe beside running servers."""
    settings, own = here()

    async def work() -> tuple[str | None, str | None]:
        database = open_store(settings, own)
        try:
            before = await database.read(lambda tx: current(tx.connection))
            await database.migrate()
            return before, await database.read(lambda tx: current(tx.connection))
        finally:
            await database.close()

    before, after = asyncio.run(work())
    data = {"database": mask(settings.database), "before": before, "after": after, "newest": head()}
    said = (
        f"The database is at {after} already."
        if before == after
        else f"Migrated from {before or 'nothing'} to {after}."
    )
    Terminal(as_json).said(data, said)


def fence(yes: Yes = False, as_json: Json = False) -> None:
    """After a restore or a lossy failover: end every sign-in and API key, and replace the signing keys.

    A database that went back in time may have forgotten revocations; so nothing issued before this moment counts any
    more. API keys work again once they are rotated.
    """
    confirm("End every sign-in, refuse every API key until it is rotated, replace the signing keys?", yes or as_json)
    done = within(_fence)
    more = "" if done["signing_keys"] else " HS256: change ADMIT_TOKENS__HS256_SECRET yourself, then restart."
    Terminal(as_json).said(done, f"Everything issued before {done['fenced_at']} is dead.{more}")


async def _fence(rooms: Rooms) -> dict[str, Any]:
    raised = await Fence(rooms.kit, rooms.signing_keys).raise_now(Via(), operator())
    keys = None if raised.active is None else {"active": raised.active, "revoked": raised.revoked}
    return {"fenced_at": iso(raised.at), "signing_keys": keys}
