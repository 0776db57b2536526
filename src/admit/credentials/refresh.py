"""Refresh: one conditional swap a rotation, a grace of ten seconds for those who lost the race, theft ends the grant.

The next secret is HMAC-SHA256(presented secret, fresh nonce of the row). Only digests and the nonce are stored: any
node can give the same answer again, also after kill -9, while neither the database, nor our keys, nor an old token
alone gives anything.
"""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple

from admit.credentials import methods as proofs
from admit.credentials.mint import Access, Mint, token_id
from admit.crypto.opaque import RefreshParts, next_secret, refresh_format, sha256
from admit.ground.clock import micros
from admit.ground.errors import Refused
from admit.ground.events import Event, Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.rights import Rights, split
from admit.settings import Settings
from admit.stores.sql import grants as rows
from admit.stores.sql.grants import FamilyTruth


class Refreshed(NamedTuple):
    """A pair of tokens. `grant` is the id behind both; `deliver` says how the first pair was delivered."""

    access_token: str
    refresh_token: str
    expires_in: int
    grant: bytes
    deliver: str

    def __repr__(self) -> str:
        return f"Refreshed(grant={self.grant.hex()}, tokens=***)"


class _Rotated(NamedTuple):
    secret: bytes
    access: Access
    deliver: str


class Refresh:
    """Exchanges refresh tokens (mission S11; RFC 9700 section 4.14.2)."""

    def __init__(self, kit: Kit, settings: Settings, rights: Rights, mint: Mint) -> None:
        self._kit = kit
        self._rights = rights
        self._mint = mint
        self._format = refresh_format(settings.brand)
        self._grace = micros(settings.tokens.refresh_grace)
        self._idle = micros(settings.tokens.refresh_idle)

    async def exchange(self, token: str, client: str, via: Via, scopes: frozenset[str] | None = None) -> Refreshed:
        """A new pair for `token`, presented by `client`; raises `Refusal` with the reason.

        `scopes` narrows this access token (RFC 6749 section 6), never the grant.
        """
        payload = self._format.parse(token)
        if payload is None:
            raise Refused("refresh.malformed").refusal()
        parts = RefreshParts.unpack(payload)
        # made outside the body, which may run twice when the database asks for a retry
        nonce = self._kit.random(32)
        outcome = await self._kit.work.write(lambda tx: self._rotate(tx, parts, client, nonce, scopes, via))
        if isinstance(outcome, Refused):
            raise outcome.refusal()
        access_token = await self._mint.access_token(outcome.access)
        successor = RefreshParts(parts.tenant, parts.family, parts.proof, outcome.secret)
        return Refreshed(
            access_token, self._format.issue(successor.pack()), self._mint.expires_in, outcome.access.grant,
            outcome.deliver,
        )  # fmt: skip

    async def end(self, token: str, via: Via) -> bool:
        """Ends the grant that `token` belongs to (logout; RFC 7009); False for a token that is not one of ours."""
        payload = self._format.parse(token)
        if payload is None:
            return False
        parts = RefreshParts.unpack(payload)
        return await self._kit.work.write(lambda tx: self._end_by_token(tx, parts, via))

    async def binding(self, token: str) -> bytes | None:
        """The grant behind a token of ours, dead or alive: what a CSRF token sent with it must be bound to."""
        payload = self._format.parse(token)
        if payload is None:
            return None
        parts = RefreshParts.unpack(payload)
        truth = await self._kit.work.read(lambda tx: rows.family(tx, parts.family))
        if truth is None or not hmac.compare_digest(bytes(truth.proof), sha256(parts.proof)):
            return None
        return bytes(truth.grant_id)

    async def problem(self, token: str) -> str | None:
        """Why `token` would be refused now, as its own client would hear it; None when it would be exchanged.

        Changes nothing: a token that was used already does not end its grant by being asked about.
        """
        payload = self._format.parse(token)
        if payload is None:
            return "refresh.malformed"
        parts = RefreshParts.unpack(payload)
        return await self._kit.work.read(lambda tx: self._problem(tx, parts))

    def _problem(self, tx: Tx, parts: RefreshParts) -> str | None:
        truth = rows.family(tx, parts.family)
        refused = self._may(truth, parts, "" if truth is None else truth.client, None)
        if refused is None and truth is not None:
            refused = self._dead(tx, truth)
        if refused is not None or truth is None:
            return refused.reason if refused is not None else "refresh.unknown"
        current = hmac.compare_digest(bytes(truth.current), sha256(parts.secret))
        return None if current or self._repeats(tx, truth, parts) else "refresh.reused"

    def _repeats(self, tx: Tx, truth: FamilyTruth, parts: RefreshParts) -> bool:
        """The same exchange again within the grace: a double click, a second tab, an answer that was lost."""
        if truth.previous is None or truth.nonce is None or tx.now - truth.rotated_at > self._grace:
            return False
        return hmac.compare_digest(bytes(truth.previous), sha256(parts.secret))

    def _rotate(
        self, tx: Tx, parts: RefreshParts, client: str, nonce: bytes, scopes: frozenset[str] | None, via: Via
    ) -> _Rotated | Refused:
        digest = sha256(parts.secret)
        truth = rows.family(tx, parts.family)
        # a check that fails must not burn the token: all of them come before the swap
        if refused := self._may(truth, parts, client, scopes):
            return refused
        assert truth is not None  # noqa: S101
        secret = next_secret(parts.secret, nonce)
        if rows.swap(tx, parts.family, digest, sha256(secret), nonce, tx.now + self._idle):
            tx.emit(self._event(via, "refresh.rotated", truth))
            return self._answer(truth, parts.family, secret, nonce, tx.now, scopes)
        # somebody was faster, or the token is an old one: what was read before the swap may be stale by now
        return self._judge(tx, rows.family(tx, parts.family), parts, scopes, via)

    @staticmethod
    def _may(
        truth: FamilyTruth | None, parts: RefreshParts, client: str, scopes: frozenset[str] | None
    ) -> Refused | None:
        if truth is None:
            return Refused("refresh.unknown")
        if not hmac.compare_digest(bytes(truth.proof), sha256(parts.proof)):
            return Refused("refresh.proof")
        if truth.client != client:
            return Refused("refresh.client", private=f"belongs to {truth.client}")
        if scopes is not None and truth.scopes is not None and scopes - split(truth.scopes):
            return Refused("refresh.scope")
        return None

    def _judge(
        self, tx: Tx, truth: FamilyTruth | None, parts: RefreshParts, scopes: frozenset[str] | None, via: Via
    ) -> _Rotated | Refused:
        """Why the swap did not happen, in the order that decides between bad luck and theft."""
        if truth is None:
            return Refused("refresh.unknown")
        if dead := self._dead(tx, truth):
            return dead
        if truth.nonce is not None and self._repeats(tx, truth, parts):
            tx.emit(self._event(via, "refresh.repeated", truth))
            nonce = bytes(truth.nonce)
            return self._answer(truth, parts.family, next_secret(parts.secret, nonce), nonce, truth.rotated_at, scopes)
        # a token of this family (the proof held) that is used up: two parties hold it
        ended = rows.end(tx, None, [bytes(truth.grant_id)], None)
        if not ended:
            # somebody beside us saw the same reuse a moment earlier: one theft is one event
            return Refused("refresh.family_ended")
        for identifier, version in ended:
            tx.void(Tie("grant", identifier), version)
        tx.emit(self._event(via, "refresh.reused", truth, outcome="refused", reason="refresh.reused"))
        return Refused("refresh.reused", recorded=True)

    @staticmethod
    def _dead(tx: Tx, truth: FamilyTruth) -> Refused | None:
        # before the fence nothing says whether a token is an old one or the current one
        fenced = truth.fenced_at is not None and truth.granted_at <= truth.fenced_at
        signs = {
            "refresh.subject_disabled": truth.user_disabled_at is not None,
            "refresh.family_ended": truth.ended_at is not None or truth.grant_ended_at is not None,
            "refresh.client": truth.client_disabled_at is not None,
            "refresh.fenced": fenced,
            "refresh.expired": truth.expires_at <= tx.now,
            "refresh.idle": truth.idle_until <= tx.now,
        }
        return next((Refused(reason) for reason, seen in signs.items() if seen), None)

    def _answer(
        self,
        truth: FamilyTruth,
        family: bytes,
        secret: bytes,
        nonce: bytes,
        at: int,
        scopes: frozenset[str] | None,
    ) -> _Rotated:
        asked = None if truth.scopes is None else split(truth.scopes)
        asked = asked if scopes is None else scopes
        access = Access(
            truth.user_kind, bytes(truth.user_id), bytes(truth.grant_id), truth.client,
            self._rights.effective(asked, self._rights.held(truth.roles.split())), proofs.read(truth.methods),
            at, token_id(nonce, family),
        )  # fmt: skip
        return _Rotated(secret, access, truth.deliver)

    def _end_by_token(self, tx: Tx, parts: RefreshParts, via: Via) -> bool:
        truth = rows.family(tx, parts.family)
        if truth is None or not hmac.compare_digest(bytes(truth.proof), sha256(parts.proof)):
            return False
        for identifier, version in rows.end(tx, None, [bytes(truth.grant_id)], None):
            tx.void(Tie("grant", identifier), version)
            tx.emit(self._event(via, "grant.ended", truth))
        return True

    @staticmethod
    def _event(via: Via, type_: str, truth: FamilyTruth, **more: Any) -> Event:
        return via.event(
            type_, subject=show("usr", bytes(truth.user_id)), client=truth.client,
            session=show("grt", bytes(truth.grant_id)), **more,
        )  # fmt: skip
