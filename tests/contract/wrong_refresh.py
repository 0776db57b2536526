"""A refresh that is wrong on purpose: it reads, checks, and then writes. The suite must not let it pass."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from admit.credentials.grants import SIGN_IN_ID
from admit.credentials.refresh import Refresh
from admit.crypto.opaque import RefreshParts, next_secret, sha256
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.stores.sql import grants as rows
from admit.stores.sql import schema
from admit.testing.refresh_suite import FORMAT, rooms_of


class ReadThenWrite(Refresh):
    """Right for one caller at a time."""

    async def wrong(self, token: str) -> str:
        payload = FORMAT.parse(token)
        assert payload is not None
        parts, nonce = RefreshParts.unpack(payload), self._kit.random(32)
        digest = sha256(parts.secret)
        truth = await self._kit.work.read(lambda tx: rows.family(tx, parts.family))
        assert truth is not None
        secret = next_secret(parts.secret, nonce)
        if bytes(truth.current) != digest:
            outcome = await self._kit.work.write(
                lambda tx: self._judge(tx, rows.family(tx, parts.family), parts, None, Via())
            )
            if isinstance(outcome, Refused):
                return outcome.reason
            secret = outcome.secret
        else:

            def write(tx: Tx) -> None:
                swap = sa.update(schema.families).where(schema.families.c.id == parts.family)
                changed = {"previous": digest, "current": sha256(secret), "nonce": nonce, "rotated_at": tx.now}
                tx.connection.execute(swap.values(changed))
                tx.emit(self._event(Via(), "refresh.rotated", truth))

            await self._kit.work.write(write)
        return FORMAT.issue(parts._replace(secret=secret).pack())


async def race(kit: Kit, arguments: dict[str, Any]) -> list[str]:
    rooms = await rooms_of(kit)
    refresh = ReadThenWrite(kit, rooms.settings, rooms.rights, rooms.mint)
    (token,) = arguments["tokens"]
    # the access token is not what is wrong here: a right one, so that the suite's other checks do not fail first
    signed_in = await rooms.sign_in(bytes.fromhex(arguments["user"])) if "user" in arguments else None
    return [token, await refresh.wrong(token), signed_in.access_token if signed_in else SIGN_IN_ID]
