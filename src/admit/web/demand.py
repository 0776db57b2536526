"""What a route demands of its caller, as a value, and the one pure check."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from admit.ground.clock import micros
from admit.ground.errors import Refusal
from admit.ground.principal import CredentialKind, Principal

FRESH = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Demand:
    """Scopes (all of `scopes`, at least one of `any_of`), assurance level, age of the proof, kinds of credential."""

    scopes: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    level: int = 1
    max_age: timedelta | None = None
    credentials: frozenset[CredentialKind] | None = None

    def check(self, caller: Principal, now: int) -> None:
        """Raises `Refusal` with what is missing; the order tells too few rights before a stale sign-in."""
        held = caller.scopes
        if self.scopes and not held.issuperset(self.scopes):
            raise Refusal("rights.scope", fields={"scopes": [scope for scope in self.scopes if scope not in held]})
        if self.any_of and held.isdisjoint(self.any_of):
            raise Refusal("rights.scope", fields={"scopes": list(self.any_of)})
        if self.credentials is not None and caller.credential.kind not in self.credentials:
            raise Refusal("rights.credential_kind", private=caller.credential.kind)
        if self.level > 1 and caller.level < self.level:
            raise Refusal("rights.level", fields={"level": self.level})
        if self.max_age is not None:
            proved = caller.auth_time
            # a machine has no proof of presence to be fresh
            if proved is None or now - proved > micros(self.max_age):
                raise Refusal("rights.max_age", fields={"max_age": int(self.max_age.total_seconds())})
