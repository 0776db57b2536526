"""API keys: 256 random bits behind a readable prefix, shown once, dead with their owner's rights (mission S7)."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, Protocol

from admit.credentials import api_key_terms as terms_of
from admit.credentials.api_key_terms import AS_IS, By, Changes, Leave, Terms
from admit.crypto.opaque import KeyKind, KeyParts, api_key_format, api_key_shape, sha256
from admit.ground.clock import micros
from admit.ground.errors import Refused
from admit.ground.events import Event
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.principal import Credential, Facts, Subject, SubjectKind, Tie
from admit.ground.work import Tx
from admit.rights import Rights, join, split
from admit.settings import Settings
from admit.stores.sql import api_keys as rows
from admit.stores.sql.api_keys import KeyRow, KeyTruth, OwnerRow

__all__ = ["AS_IS", "ApiKeys", "By", "Changes", "Created", "KeyRow", "KeyTruth", "Leave", "Terms", "facts", "precheck"]

#: no deadline of its own: what a 64-bit column can hold
NEVER = 2**63 - 1
KEPT = micros(timedelta(days=90))  # how long revoked keys and retired secrets still have a reason of their own
MOST_REVOKED = 1000
HINT_LETTERS = 4


class Created(NamedTuple):
    """A key with its text, which exists nowhere else and is shown this once."""

    row: KeyRow
    key: str

    def __repr__(self) -> str:
        return f"Created(id={self.row.id.hex()}, key=***)"


class ApiKeys:
    """The life of API keys. The verbs run inside a transaction and are tied to the owner: another's key is not there.

    A wrong field raises `Refusal` with `fields["errors"]` before anything is written; every other "no" is a returned
    `Refused`.
    """

    def __init__(self, kit: Kit, settings: Settings, rights: Rights) -> None:
        self._kit = kit
        self._brand = settings.brand
        self._settings = settings.api_keys
        self._rights = rights

    # -- verbs -----------------------------------------------------------------------------------------------------

    def create(self, tx: Tx, owner: bytes, terms: Terms, by: By) -> Created | Refused:
        """A new key of `owner` (a person or a service account), with at most what both they and the asker hold.

        Refuses `api_key.name`, `api_key.expiry`, `api_key.limit`, `rights.scope_unknown` (raised);
        `people.not_found`, `api_key.owner_inactive`, `rights.scope_not_held`, `api_key.too_many` (returned).
        """
        limit = terms_of.limit(terms.limit, by.held, self._settings)
        wanted: dict[str, Any] = {
            "name": terms_of.name(terms.name),
            "scopes": join(self._rights.known(terms.scopes)),
            "expires_at": terms_of.expiry(terms.expires_at, tx.now, self._settings),
            "limit_hits": limit and limit[0],
            "limit_per": limit and limit[1],
        }
        holder = _active(rows.owner(tx, owner, lock=True))
        if isinstance(holder, Refused):
            return holder
        if not self._may_give(holder, terms.scopes, by):
            return Refused("rights.scope_not_held")
        # the owner's row is held: nobody adds a key between this count and the insert
        if rows.count(tx, owner) >= self._settings.max_per_owner:
            return Refused("api_key.too_many")
        identifier = self._kit.new_id()
        key, hint, digest = self._secret(tx, identifier, holder)
        fixed = {"id": identifier, "user_id": owner, "environment": self._settings.environment, "hint": hint}
        rows.insert(tx, {**fixed, **wanted}, digest)
        data = {"scopes": sorted(terms.scopes), "expires_at": wanted["expires_at"]}
        tx.emit(_event("api_key.created", owner, identifier, by, data))
        return Created(self._row(tx, owner, identifier), key)

    def list(self, tx: Tx, owner: bytes, *, revoked: bool = False) -> Sequence[KeyRow]:
        """The keys of `owner`, newest first; the revoked ones that are still known only when asked for."""
        return rows.of(tx, owner, revoked=revoked, limit=self._settings.max_per_owner + MOST_REVOKED)

    def get(self, tx: Tx, owner: bytes, identifier: bytes) -> KeyRow | None:
        """A key of `owner`, also a revoked one; None for another's and for none."""
        return rows.get(tx, owner, identifier)

    def change(self, tx: Tx, owner: bytes, identifier: bytes, changes: Changes, by: By) -> KeyRow | Refused:
        """Changes what is given; the key's text stays the same.

        Refuses as `create` does, `api_key.not_found` (returned) for another's or a revoked key, and
        `rights.scope_not_held` (returned) when it is enabled or lives longer and may do more than the asker.
        """
        values = self._values(tx, changes, by)
        if _revives(changes) and (refused := self._beyond(tx, owner, identifier, by)) is not None:
            return refused
        if changes.scopes is not AS_IS:
            holder = _active(rows.owner(tx, owner))
            if isinstance(holder, Refused):
                return holder
            if not self._may_give(holder, changes.scopes, by):
                return Refused("rights.scope_not_held")
        if values and not self._touch(tx, owner, identifier, values):
            return Refused("api_key.not_found")
        row = rows.get(tx, owner, identifier)
        if row is None or row.revoked_at is not None:
            return Refused("api_key.not_found")
        if values:
            tx.emit(_event("api_key.changed", owner, identifier, by, {"changed": sorted(values)}))
        return row

    def rotate(
        self, tx: Tx, owner: bytes, identifier: bytes, by: By, overlap: timedelta | None = None
    ) -> Created | Refused:
        """A new text under the same id. The old one works for `overlap` more (None: as set), one before it stops now.

        Refuses `api_key.overlap` (raised); `api_key.not_found`, `api_key.owner_inactive` and, since whoever rotates
        gets a working key, `rights.scope_not_held` when the key may do more than the asker (returned).
        """
        until = tx.now + terms_of.overlap(overlap, self._settings)
        if (refused := self._beyond(tx, owner, identifier, by)) is not None:
            return refused
        holder = _active(rows.owner(tx, owner))
        if isinstance(holder, Refused):
            return holder
        key, hint, digest = self._secret(tx, identifier, holder)
        self._touch(tx, owner, identifier, {"hint": hint})
        rows.retire_secrets(tx, identifier, until)
        rows.add_secret(tx, identifier, digest)
        tx.emit(_event("api_key.rotated", owner, identifier, by, {"old_until": until}))
        return Created(self._row(tx, owner, identifier), key)

    def revoke(self, tx: Tx, owner: bytes, identifier: bytes, by: By) -> KeyRow | Refused:
        """Ends a key for good; `api_key.not_found` for another's and for one that is revoked already."""
        if not self._touch(tx, owner, identifier, {"revoked_at": tx.now}):
            return Refused("api_key.not_found")
        tx.emit(_event("api_key.revoked", owner, identifier, by, {}))
        return self._row(tx, owner, identifier)

    def forget(self, tx: Tx, limit: int = 1000) -> int:
        """Deletes keys revoked and secrets retired more than 90 days ago; how many rows."""
        return rows.forget(tx, tx.now - KEPT, limit)

    # -- presented keys --------------------------------------------------------------------------------------------

    def precheck(self, text: str) -> KeyParts | Refused:
        """What `text` carries, by looking at it alone: prefix, checksum and environment cost no query.

        Refuses `api_key.malformed`, `api_key.checksum`, `api_key.environment`.
        """
        return precheck(text, self._brand, self._settings.environment)

    def read(self, tx: Tx, parts: KeyParts) -> Facts | Refused:
        """The truth about a key that passed `precheck`: one query; then as `facts`."""
        truth = rows.truth(tx, sha256(parts.secret))
        if truth is None:
            return Refused("api_key.unknown")
        # the secret alone proves the key; the rest of the text must not say otherwise
        if parts.tenant != truth.tenant or not hmac.compare_digest(parts.id, truth.id):
            return Refused("api_key.unknown", "the secret belongs to another key")
        # prefix and checksum are no proof: anybody can relabel a test key as a live one
        if truth.environment != self._settings.environment:
            return Refused("api_key.environment", "relabelled")
        return facts(truth, tx.now, self._rights)

    async def verify(self, text: str) -> Facts | Refused:
        """`precheck`, then `read` in a transaction of its own. Raises `Unavailable` when the store is down."""
        parts = self.precheck(text)
        return parts if isinstance(parts, Refused) else await self._kit.work.read(lambda tx: self.read(tx, parts))

    # -- parts -----------------------------------------------------------------------------------------------------

    def _values(self, tx: Tx, changes: Changes, by: By) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if not isinstance(changes.name, Leave):
            values["name"] = terms_of.name(changes.name)
        if not isinstance(changes.scopes, Leave):
            values["scopes"] = join(self._rights.known(changes.scopes))
        if not isinstance(changes.expires_at, Leave):
            values["expires_at"] = terms_of.expiry(changes.expires_at, tx.now, self._settings)
        if not isinstance(changes.limit, Leave):
            limit = terms_of.limit(changes.limit, by.held, self._settings)
            values |= {"limit_hits": limit and limit[0], "limit_per": limit and limit[1]}
        if not isinstance(changes.disabled, Leave):
            values["disabled_at"] = tx.now if changes.disabled else None
        return values

    def _effective(self, holder: _Owned, scopes: frozenset[str]) -> frozenset[str]:
        return self._rights.effective(scopes, *_ceilings(holder, self._rights))

    def _may_give(self, holder: _Owned, scopes: frozenset[str], by: By) -> bool:
        return scopes <= by.held and scopes <= self._effective(holder, scopes)

    def _beyond(self, tx: Tx, owner: bytes, identifier: bytes, by: By) -> Refused | None:
        """Refuses whoever would bring a key to life that may do more than they may; a living key's row is held."""
        allowed = rows.scopes(tx, owner, identifier)
        if allowed is None:
            return Refused("api_key.not_found")
        holder = _active(rows.owner(tx, owner))
        if isinstance(holder, Refused):
            return holder
        within = self._effective(holder, split(allowed)) <= by.held
        return None if within else Refused("rights.scope_not_held")

    def _touch(self, tx: Tx, owner: bytes, identifier: bytes, values: dict[str, Any]) -> bool:
        version = rows.touch(tx, owner, identifier, values)
        if version is not None:
            tx.void(Tie("key", identifier), version)
        return version is not None

    def _secret(self, tx: Tx, identifier: bytes, holder: OwnerRow) -> tuple[str, str, bytes]:
        kind: KeyKind = "s" if holder.user_kind == "service" else "p"
        form = api_key_format(self._brand, kind, self._settings.environment)
        secret = self._kit.random(32)
        key = form.issue(KeyParts(tx.tenant, identifier, secret).pack())
        return key, f"{form.prefix}…{key[-HINT_LETTERS:]}", sha256(secret)

    @staticmethod
    def _row(tx: Tx, owner: bytes, identifier: bytes) -> KeyRow:
        row = rows.get(tx, owner, identifier)
        if row is None:
            raise LookupError("an API key vanished inside its own transaction")
        return row


def precheck(text: str, brand: str, environment: str) -> KeyParts | Refused:
    """See `ApiKeys.precheck`; for services that have no keys of their own."""
    shape = api_key_shape(brand, text)
    if shape is None:
        return Refused("api_key.malformed")
    form = api_key_format(brand, *shape)
    payload = form.parse(text)
    if payload is None:
        return Refused("api_key.checksum" if form.problem(text) == "checksum" else "api_key.malformed")
    if shape[1] != environment:
        return Refused("api_key.environment")
    return KeyParts.unpack(payload)


def facts(truth: KeyTruth, now: int, rights: Rights) -> Facts | Refused:
    """What a live key gives its bearer: scopes = the key's ∩ what its owner may do now (∩ what the person who answers
    for a service account may do). Refuses with the first reason of `_DEAD` that holds.
    """
    for reason, holds in _DEAD:
        if holds(truth, now):
            return Refused(reason)
    kind: SubjectKind = "service" if truth.user_kind == "service" else "user"
    ties = [
        (Tie("key", truth.id), truth.version),
        (Tie("user", truth.user_id), truth.user_version),
        (Tie("tenant", truth.tenant.to_bytes(4, "big")), truth.tenant_version),
    ]
    if truth.owner_id is not None and truth.owner_version is not None:
        ties.append((Tie("user", truth.owner_id), truth.owner_version))
    own_limit = truth.limit_hits is not None and truth.limit_per is not None
    return Facts(
        subject=Subject(kind, show("usr", truth.user_id)),
        owner=truth.user_id,
        credential=Credential("api_key", show("key", truth.id), truth.name),
        credential_id=truth.id,
        scopes=rights.effective(split(truth.scopes), *_ceilings(truth, rights)),
        ties=tuple(ties),
        deadline=min(truth.expires_at or NEVER, truth.retires_at or NEVER),
        tenant=truth.tenant,
        limit=(truth.limit_hits or 0, truth.limit_per or 0) if own_limit else None,
    )


def _revives(changes: Changes) -> bool:
    """Whether a change may let a key work that did not, or longer than it would have."""
    return changes.disabled is False or changes.expires_at is not AS_IS


#: private reason -> when it holds, in the order in which they are looked at
_DEAD: tuple[tuple[str, Callable[[KeyTruth, int], bool]], ...] = (
    ("api_key.revoked", lambda truth, now: truth.revoked_at is not None),
    ("api_key.retired", lambda truth, now: truth.retires_at is not None and truth.retires_at <= now),
    ("api_key.expired", lambda truth, now: truth.expires_at is not None and truth.expires_at <= now),
    ("api_key.disabled", lambda truth, now: truth.disabled_at is not None),
    ("api_key.owner_disabled", lambda truth, now: _inactive(truth)),
    # a restored database may have forgotten a revocation; a rotation after the fence makes the key good again
    ("api_key.fenced", lambda truth, now: truth.fenced_at is not None and truth.secret_created_at <= truth.fenced_at),
)


class _Owned(Protocol):
    """What `KeyTruth` and `OwnerRow` both know of an owner."""

    @property
    def roles(self) -> str: ...
    @property
    def user_disabled_at(self) -> int | None: ...
    @property
    def owner_id(self) -> bytes | None: ...
    @property
    def owner_version(self) -> int | None: ...
    @property
    def owner_roles(self) -> str | None: ...
    @property
    def owner_disabled_at(self) -> int | None: ...


def _inactive(holder: _Owned) -> bool:
    """Whether the owner, or the person who answers for them, is disabled or gone."""
    gone = holder.owner_id is not None and holder.owner_version is None
    return gone or holder.user_disabled_at is not None or holder.owner_disabled_at is not None


def _ceilings(holder: _Owned, rights: Rights) -> tuple[frozenset[str], ...]:
    own = rights.held(split(holder.roles))
    return (own,) if holder.owner_id is None else (own, rights.held(split(holder.owner_roles)))


def _active(holder: OwnerRow | None) -> OwnerRow | Refused:
    if holder is None:
        return Refused("people.not_found")
    return Refused("api_key.owner_inactive") if _inactive(holder) else holder


def _event(type_: str, owner: bytes, identifier: bytes, by: By, data: dict[str, Any]) -> Event:
    subject, credential = show("usr", owner), show("key", identifier)
    return by.via.event(type_, subject=subject, credential=credential, actor=by.actor or subject, data=data)
