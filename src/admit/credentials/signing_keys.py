"""The signing keys of this issuer: made, sealed at rest, rotated while the server runs, revoked at once.

Nodes switch by time (`active_from`), so a planned rotation needs no message; an unplanned one voids the tie `kid`,
which makes every process read the keys again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from admit.credentials.vault import TENANT, open_sealer
from admit.crypto.keys import Algorithm, Ring, SigningKey, generate_key, hs256_key
from admit.crypto.sealing import MasterSecrets, Sealer, aad
from admit.ground.clock import SECOND, micros
from admit.ground.errors import SettingsError
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.principal import Tie
from admit.ground.work import Tx
from admit.settings import Settings
from admit.stores.sql import signing_keys as rows
from admit.stores.sql.signing_keys import SigningKeyRow

PURPOSE = "signing"
#: the tie that is voided whenever the set of keys changes
RING = Tie("kid", b"ring")


class SigningKeys:
    """The ring of keys as this process knows it, and the verbs that change it."""

    def __init__(self, kit: Kit, settings: Settings, masters: MasterSecrets) -> None:
        self._kit = kit
        self._masters = masters
        self._algorithm: Algorithm = settings.tokens.algorithm
        self._publish_for = settings.tokens.jwks_max_age
        self._life = settings.tokens.access_for
        self._active_for = settings.tokens.key_active_for
        self._symmetric = _symmetric(settings)
        self._sealer: Sealer | None = None
        self._ring = Ring(())
        self._reading = asyncio.Lock()

    async def prepare(self) -> None:
        """Opens the seal and makes the first key when there is none of the configured algorithm.

        Raises `SettingsError` for a master secret that does not fit the database.
        """
        self._sealer = await open_sealer(self._kit, self._masters, PURPOSE)
        await self.reload()
        if not self._has_active():
            await self._make(Via(), at_once=True, unless=self._is_active)

    @property
    def ring(self) -> Ring:
        """Every key of this issuer, as a value."""
        return self._ring

    @property
    def symmetric(self) -> bool:
        """Whether the key is a secret of the settings (HS256), which no verb here can change."""
        return self._symmetric is not None

    def active(self) -> SigningKey:
        """The key that signs now; `Unavailable` when there is none."""
        return self._ring.active(self._kit.clock.now(), (self._algorithm,))

    async def reload(self) -> None:
        """Reads the keys again."""
        async with self._reading:
            kept = await self._kit.work.read(rows.all_keys)
            keys = [self._open(row) for row in kept]
            if self._symmetric is not None:
                keys.append(self._symmetric)
            self._ring = Ring(tuple(keys))

    async def rotate(self, via: Via, *, at_once: bool = False) -> str:
        """Makes a new key and lets the present ones retire; returns its kid.

        By default the key is published for the JWKS max-age before it signs, so that no verifier meets an unknown kid;
        `at_once` signs with it immediately. Tokens of the old key are good until they expire.
        """
        return await self._make(via, at_once=at_once, unless=lambda _row, _now: False)

    async def revoke(self, kid: str, via: Via) -> bool:
        """Kills a key and every token signed by it at once; a successor takes over in the same moment.

        False: there is no such key, or it was revoked before.
        """
        await self.reload()
        now = self._kit.clock.now()
        others = any(key.kid != kid and self._can_sign(key, now) for key in self._ring.keys)
        successor = None if others or self._symmetric is not None else await self._generate()

        def body(tx: Tx) -> bool:
            rows.lock(tx)
            version = rows.revoke(tx, kid)
            if version is None:
                return False
            tx.void(Tie("kid", kid.encode()), version)
            tx.emit(via.event("signing_key.revoked", data={"kid": kid}))
            if successor is not None:
                self._insert(tx, successor, via, tx.now)
            tx.void(RING, rows.ring_version(tx))
            return True

        revoked = await self._kit.work.write(body)
        await self.reload()
        if revoked and not self._has_active():
            # the last other key was revoked in the same moment
            await self._make(via, at_once=True, unless=self._is_active)
        return revoked

    def replace_all(self, tx: Tx, successor: SigningKey | None, via: Via) -> list[str]:
        """Revokes every key and lets `successor` (of `generate`) sign at once, in the transaction of a fence; the
        revoked kids. The caller reloads after the commit.
        """
        rows.lock(tx)
        revoked = []
        for row in rows.all_keys(tx):
            version = rows.revoke(tx, row.kid)
            if version is not None:
                tx.void(Tie("kid", row.kid.encode()), version)
                tx.emit(via.event("signing_key.revoked", data={"kid": row.kid}))
                revoked.append(row.kid)
        if successor is not None:
            self._insert(tx, successor, via, tx.now)
        tx.void(RING, rows.ring_version(tx))
        return revoked

    async def generate(self) -> SigningKey | None:
        """A fresh key that nobody knows of yet; None for HS256."""
        return None if self._symmetric is not None else await self._generate()

    async def keep_fresh(self, via: Via) -> bool:
        """A step of the leader: makes the successor in time; True when it made one."""
        if self._symmetric is not None:
            return False
        due = micros(self._active_for - self._publish_for)
        now = self._kit.clock.now()
        newest = max((k.active_from for k in self._ring.keys if k.alg == self._algorithm and k.usable(now)), default=0)
        if now < newest + due:
            return False
        # asked again inside: a leader that lost its lease meanwhile must not add a second one
        await self._make(
            via, at_once=False, unless=lambda row, at: self._is_ours(row, at) and at < row.active_from + due
        )
        return True

    async def _make(self, via: Via, *, at_once: bool, unless: Callable[[SigningKeyRow, int], bool]) -> str:
        """A new key, unless one of those there are will do; the kid of whichever it is."""
        key = await self._generate()
        publish_for = timedelta(0) if at_once else self._publish_for

        def body(tx: Tx) -> str:
            # of several processes that start at once the first makes the key, and the others find it here
            rows.lock(tx)
            for row in rows.all_keys(tx):
                if unless(row, tx.now):
                    return row.kid
            self._insert(tx, key, via, tx.now + micros(publish_for))
            tx.void(RING, rows.ring_version(tx))
            return key.kid

        kid = await self._kit.work.write(body)
        await self.reload()
        return kid

    async def _generate(self) -> SigningKey:
        # RSA keys take a second to make: never on the loop
        return await asyncio.to_thread(generate_key, self._algorithm, self._kit.clock.now())

    def _insert(self, tx: Tx, key: SigningKey, via: Via, active_from: int) -> None:
        first = not any(row.alg == key.alg for row in rows.all_keys(tx))
        rows.insert(tx, SigningKeyRow(key.kid, key.alg, self._seal(key), 1, tx.now, tx.now, active_from, None, None))
        rows.retire(tx, key.alg, active_from + micros(self._life + self._publish_for), key.kid)
        type_ = "signing_key.created" if first else "signing_key.rotated"
        tx.emit(via.event(type_, data={"kid": key.kid, "alg": key.alg}))

    def _is_ours(self, row: SigningKeyRow, now: int) -> bool:
        alive = row.revoked_at is None and (row.retire_at is None or row.retire_at > now)
        return row.alg == self._algorithm and alive

    def _is_active(self, row: SigningKeyRow, now: int) -> bool:
        # a process beside us made it a moment ago, by a clock that may be a little ahead of ours
        return self._is_ours(row, now) and row.active_from <= now + 5 * SECOND

    def _has_active(self) -> bool:
        now = self._kit.clock.now()
        return any(self._can_sign(key, now) for key in self._ring.keys)

    def _can_sign(self, key: SigningKey, now: int) -> bool:
        return key.alg == self._algorithm and key.active_from <= now and key.usable(now)

    def _seal(self, key: SigningKey) -> bytes:
        assert self._sealer is not None, "prepare() opens the seal"  # noqa: S101
        return self._sealer.seal(key.secret, _place(key.kid))

    def _open(self, row: SigningKeyRow) -> SigningKey:
        assert self._sealer is not None, "prepare() opens the seal"  # noqa: S101
        secret = self._sealer.open(bytes(row.secret), _place(row.kid))
        alg: Algorithm = row.alg  # type: ignore[assignment]
        return SigningKey(row.kid, alg, secret, row.not_before, row.active_from, row.retire_at, row.revoked_at)


def _place(kid: str) -> bytes:
    return aad(TENANT, "signing_keys", "secret", kid.encode())


def _symmetric(settings: Settings) -> SigningKey | None:
    if settings.tokens.algorithm != "HS256":
        return None
    if settings.tokens.hs256_secret is None:
        raise SettingsError("ADMIT_TOKENS__HS256_SECRET is not set; HS256 needs a secret of 256 random bits")
    return hs256_key(settings.tokens.hs256_secret.get_secret_value(), setting="ADMIT_TOKENS__HS256_SECRET")
