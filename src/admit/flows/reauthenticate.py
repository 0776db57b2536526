"""Proving again who one is, for what needs a fresh sign-in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from admit.credentials.delivery import Delivery
from admit.credentials.methods import renewed
from admit.credentials.sessions import SessionStarted
from admit.flows.proof import PasswordProof
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.principal import Method
from admit.ground.work import Tx


@dataclass(frozen=True, slots=True)
class Reauthenticate:
    """A fresh proof on the credential in hand."""

    kit: Kit
    proof: PasswordProof
    delivery: Delivery

    async def session(
        self, user: bytes, session: bytes, methods: Iterable[Method], password: str, via: Via
    ) -> SessionStarted:  # fmt: skip
        """Gives the session a new secret and records the proof; the old secret is dead. `methods` are those so far.

        Refuses `login_failed`, `rate_limited`, `not_authenticated` (the session ended meanwhile).
        """

        def body(tx: Tx) -> SessionStarted | Refused:
            if not proved.hold(tx):
                return Refused("proof.changed")
            newer = renewed(methods, Method("pwd", tx.now))
            started = self.delivery.sessions.rotate(tx, user, session, newer, via)
            if started is None:
                return Refused("reauthenticate.ended")
            tx.emit(via.event("login.reauthenticated", subject=show("usr", user), session=show("ses", session)))
            return started

        proved = await self.proof.prove(user, password, "reauthenticate.password", via)
        done = await self.kit.work.write(body)
        if isinstance(done, Refused):
            raise done.refusal()
        await self.delivery.sessions.keep(done)
        return done

    async def grant(self, user: bytes, grant: bytes, password: str, via: Via) -> None:
        """Records the proof on a grant: its access tokens count as fresh from then on. Refuses as `session` does."""

        def body(tx: Tx) -> Refused | None:
            if not proved.hold(tx):
                return Refused("proof.changed")
            if not self.delivery.grants.renew(tx, user, grant, Method("pwd", tx.now)):
                return Refused("reauthenticate.ended")
            tx.emit(via.event("login.reauthenticated", subject=show("usr", user), session=show("grt", grant)))
            return None

        proved = await self.proof.prove(user, password, "reauthenticate.password", via)
        if (refused := await self.kit.work.write(body)) is not None:
            raise refused.refusal()
