"""A password proved by someone whose account is known already, and what every wrong password leaves behind."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from admit.flows.gate import Gate, Reasons
from admit.ground.errors import Refusal
from admit.ground.events import Event, Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.work import Job, Tx
from admit.people.passwords import HashPool
from admit.stores.sql import passwords as rows

_SLOTS = 64
_LIMITS = Reasons("proof.limited", "proof.waiting")


def record_failure(tx: Tx, user: bytes | None, disable_after: int, event: Event, via: Via) -> None:
    """Counts a wrong password and writes its event; the last one allowed disables the password and mails a way back.

    For nobody a row that stands for accounts is updated instead: known and unknown must cost the same.
    """
    tx.emit(event)
    if user is None:
        rows.fail_nobody(tx, zlib.crc32((event.identifier or "").encode()) % _SLOTS)
    elif rows.fail(tx, user, disable_after):
        shown = show("usr", user)
        tx.emit(via.event("password.disabled", subject=shown))
        tx.enqueue(Job("mail", {"template": "password_disabled", "user": shown}))


@dataclass(frozen=True, slots=True)
class Proved:
    """The account whose password was given, and the stored hash that it matched."""

    user: bytes
    hash: str

    def hold(self, tx: Tx) -> bool:
        """Whether that is still the password, inside the transaction that acts on it; ends the row of failures."""
        return rows.succeed(tx, self.user, self.hash, None)


@dataclass(frozen=True, slots=True)
class PasswordProof:
    """Asks a signed-in person for the password again, as carefully as a login does: a stolen session must not become
    a place to guess it.
    """

    kit: Kit
    pool: HashPool
    gate: Gate
    disable_after: int

    async def prove(self, user: bytes, password: str, reason: str, via: Via) -> Proved:
        """Refuses with `reason` when it is wrong, disabled or missing, after the limit of the account was counted."""
        key = f"user:{user.hex()}"
        entered = await self.gate.guess(key, _LIMITS)
        row = await self.kit.work.read(lambda tx: rows.of_user(tx, user))
        verdict = await self.pool.verify(row.hash if row else None, password)
        if row is None or row.hash is None or not verdict.ok or row.password_disabled_at is not None:
            await self.gate.wrong(key)
            event = via.event("login.failed", outcome="refused", reason=reason, subject=show("usr", user))
            await self.kit.work.write(lambda tx: record_failure(tx, user, self.disable_after, event, via))
            raise Refusal(reason)
        await self.gate.right(key, entered)
        return Proved(user, row.hash)
