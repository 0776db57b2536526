"""The fence: after a restore or a lossy failover nothing that was issued before this moment counts any more.

A database that went back in time may have forgotten revocations, used refresh tokens and dead keys.
"""

from __future__ import annotations

from typing import NamedTuple

from admit.credentials.signing_keys import SigningKeys
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.stores.sql import feed, truth


class Raised(NamedTuple):
    """What a fence did: its moment (microseconds), the kid that signs from now on (None for HS256, whose secret stands
    in the settings), and the kids that are dead.
    """

    at: int
    active: str | None
    revoked: list[str]


class Fence:
    """Ends every session and grant of the tenant, refuses API keys until they are rotated, replaces signing keys."""

    def __init__(self, kit: Kit, signing_keys: SigningKeys) -> None:
        self._kit = kit
        self._signing_keys = signing_keys

    async def raise_now(self, via: Via, actor: str | None = None) -> Raised:
        """One transaction: either all of it is dead, or nothing has changed. Raises `Unavailable`."""
        successor = await self._signing_keys.generate()
        name = self._kit.random(16).hex()

        def body(tx: Tx) -> Raised:
            tx.void(Tie("tenant", tx.tenant.to_bytes(4, "big")), truth.fence(tx))
            # Versions went back with the rows: a process that knows higher ones would take the void above for an old
            # one. As another database it forgets all that it knew.
            feed.identify(tx, name)
            revoked = self._signing_keys.replace_all(tx, successor, via)
            tx.emit(via.event("fence.raised", actor=actor))
            return Raised(tx.now, None if successor is None else successor.kid, revoked)

        raised = await self._kit.work.write(body)
        await self._signing_keys.reload()
        return raised
