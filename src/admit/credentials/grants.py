"""Grants: the record of who allowed what to which client, the root of revocation of everything issued from it."""

from __future__ import annotations

from typing import NamedTuple

from admit.credentials import methods as proofs
from admit.credentials.mint import Access, token_id
from admit.crypto.opaque import RefreshParts, refresh_format, sha256
from admit.ground.clock import micros
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.principal import Method, Tie
from admit.ground.work import Tx
from admit.rights import Rights, join
from admit.settings import Settings
from admit.stores.sql import grants as rows
from admit.stores.sql.grants import GrantRow, NewFamily

__all__ = ["SIGN_IN", "GrantRow", "GrantStarted", "Grants"]

#: the row of the built-in sign-in among the clients (put there by the first migration), and its client_id
SIGN_IN = bytes(15) + b"\x01"
SIGN_IN_ID = "admit"


class GrantStarted(NamedTuple):
    """A new grant with its first refresh token, and what its first access token will say."""

    id: bytes
    refresh_token: str
    access: Access

    def __repr__(self) -> str:
        return f"GrantStarted(id={self.id.hex()}, refresh_token=***)"


class Grants:
    """The life of grants of the built-in sign-in."""

    def __init__(self, kit: Kit, settings: Settings, rights: Rights) -> None:
        self._kit = kit
        self._rights = rights
        self._tokens = settings.tokens
        self._format = refresh_format(settings.brand)

    def start(
        self, tx: Tx, person: Person, deliver: str, via: Via, *, scopes: frozenset[str] | None = None
    ) -> GrantStarted:
        """A grant of `person` to the built-in sign-in, with a refresh family."""
        identifier, family = self._kit.new_id(), self._kit.new_id()
        expires_at = tx.now + micros(self._tokens.refresh_for)
        proof, secret = self._kit.random(16), self._kit.random(32)
        row = GrantRow(
            identifier, person.id, SIGN_IN, None, "login", deliver, None if scopes is None else join(scopes), None,
            proofs.write(person.methods), 1, tx.now, tx.now, expires_at, None, via.address, via.agent,
        )  # fmt: skip
        idle_until = min(expires_at, tx.now + micros(self._tokens.refresh_idle))
        rows.insert(tx, row, NewFamily(family, identifier, sha256(proof), sha256(secret), expires_at, idle_until))
        tx.emit(via.event("grant.started", subject=person.shown, client=SIGN_IN_ID, session=show("grt", identifier)))
        effective = self._rights.effective(scopes, self._rights.held(person.roles))
        access = Access(
            person.kind, person.id, identifier, SIGN_IN_ID, effective, person.methods, tx.now, token_id(secret, family)
        )  # fmt: skip
        return GrantStarted(
            identifier, self._format.issue(RefreshParts(tx.tenant, family, proof, secret).pack()), access
        )

    def end(self, tx: Tx, user: bytes, identifier: bytes, via: Via, reason: str | None = None) -> bool:
        """Ends one grant of `user` and everything issued from it; False when it is not theirs or has ended."""
        return self._end(tx, user, via, [identifier], None, reason) > 0

    def end_all(self, tx: Tx, user: bytes, via: Via, keep: bytes | None = None) -> int:
        """Ends all grants of `user` but `keep`; how many."""
        return self._end(tx, user, via, None, keep, None)

    async def live(self, user: bytes) -> list[GrantRow]:
        """The grants of `user` that still work, newest first. Raises `Unavailable`."""
        return await self._kit.work.read(lambda tx: rows.live(tx, user))

    def renew(self, tx: Tx, user: bytes, identifier: bytes, newest: Method) -> bool:
        """Records a fresh proof of identity on a live grant; access tokens of it see that at their next use."""
        recorded = rows.methods_of(tx, user, identifier)
        if recorded is None:
            return False
        version = rows.set_methods(tx, user, identifier, proofs.write(proofs.renewed(proofs.read(recorded), newest)))
        if version is not None:
            tx.void(Tie("grant", identifier), version)
        return version is not None

    @staticmethod
    def _end(
        tx: Tx, user: bytes, via: Via, wanted: list[bytes] | None, keep: bytes | None, reason: str | None
    ) -> int:  # fmt: skip
        ended = rows.end(tx, user, wanted, keep)
        for identifier, version in ended:
            tx.void(Tie("grant", identifier), version)
            tx.emit(via.event("grant.ended", reason=reason, subject=show("usr", user), session=show("grt", identifier)))
        return len(ended)


class Person(NamedTuple):
    """Whom a credential is for: id, kind of subject, roles now, and how they proved who they are."""

    id: bytes
    roles: tuple[str, ...]
    methods: tuple[Method, ...]
    kind: str = "user"

    @property
    def shown(self) -> str:
        """The public identifier."""
        return show("usr", self.id)
