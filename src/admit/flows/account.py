"""What people do with their own account: look at it, change their profile, delete it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from admit.flows.proof import PasswordProof
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.people.account import Account
from admit.people.accounts import Accounts


@dataclass(frozen=True, slots=True)
class OwnAccount:
    """The account of whoever is signed in."""

    kit: Kit
    accounts: Accounts
    proof: PasswordProof

    async def me(self, user: bytes) -> Account:
        """The account; refuses `not_found` when it was deleted meanwhile."""
        account = await self.kit.work.read(lambda tx: self.accounts.load(tx, user))
        if account is None:
            raise Refusal("people.not_found")
        return account

    async def change_profile(self, user: bytes, changes: Mapping[str, Any], via: Via) -> Account:
        """Puts `changes` into the profile; refuses `invalid_input` with one error a field, and then nothing changed."""
        done = await self.kit.work.write(lambda tx: self.accounts.change_profile(tx, user, changes, via))
        if isinstance(done, Refused):
            raise done.refusal()
        return done

    async def delete(self, user: bytes, password: str, via: Via) -> None:
        """Deletes the account and everything that hangs on it, after the password was given again.

        Refuses `login_failed`, `rate_limited`, and `conflict` for the last administrator.
        """
        proved = await self.proof.prove(user, password, "people.delete_password", via)

        def body(tx: Tx) -> Refused | None:
            if not proved.hold(tx):
                return Refused("proof.changed")
            return self.accounts.delete(tx, user, via)

        if (refused := await self.kit.work.write(body)) is not None:
            raise refused.refusal()
