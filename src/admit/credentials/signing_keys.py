"""The signing keys of this issuer: made, sealed at rest, rotated while the server runs, revoked at once.

Nodes switch by time (`active_from`), so a planned rotation needs no message; an unplanned one voids the tie `kid`,
which makes every process read the keys again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from admit.credentials.vault import TENANT, open_sealer
from admit.crypto.keys import Algorithm, Ring, SigningKey, generate_key, hs256_key
from admit.crypto.sealing import MasterSecrets, Sealer, aad
from admit.ground.clock import micros
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
        self._versions: dict[str, int] = {}
        self._reading = asyncio.Lock()

    async def prepare(self) -> None:
        """Opens the seal and makes the first key when there is none of the configured algorithm.

        Raises `SettingsError` for a master secret that does not fit the database.
        """
        self._sealer = await open_sealer(self._kit, self._masters, PURPOSE)
        await self.reload()
        if self._symmetric is None and not self._has_active():
            await self.rotate(Via(), at_once=True)

    @property
    def ring(self) -> Ring:
        """Every key of this issuer, as a value."""
        return self._ring

    def active(self) -> SigningKey:
        """The key that signs now; `Unavailable` when there is none."""
        return self._ring.active(self._kit.clock.now(), (self._algorithm,))

    def version(self, kid: str) -> int:
        """The version of a key's row, for the tie `kid`."""
        return self._versions.get(kid, 0)

    async def reload(self) -> None:
        """Reads the keys again."""
        async with self._reading:
            kept = await self._kit.work.read(rows.all_keys)
            keys = [self._open(row) for row in kept]
            if self._symmetric is not None:
                keys.append(self._symmetric)
            self._versions = {row.kid: row.version for row in kept}
            self._ring = Ring(tuple(keys))

    async def rotate(self, via: Via, *, at_once: bool = False) -> str:
        """Makes a new key and lets the present ones retire; returns its kid.

        By default the key is published for the JWKS max-age before it signs, so that no verifier meets an unknown kid;
        `at_once` signs with it immediately. Tokens of the old key are good until they expire.
        """
        # RSA keys take a second to make: never on the loop
        key = await asyncio.to_thread(generate_key, self._algorithm, self._kit.clock.now())
        publish_for = timedelta(0) if at_once else self._publish_for

        def body(tx: Tx) -> None:
            active_from = tx.now + micros(publish_for)
            row = SigningKeyRow(
                key.kid, key.alg, self._seal(key), 1, tx.now, tx.now, active_from, None, None
            )  # fmt: skip
            rows.insert(tx, row)
            rows.retire(tx, key.alg, active_from + micros(self._life + self._publish_for), key.kid)
            tx.void(RING, tx.now)
            tx.emit(via.event("signing_key.rotated", data={"kid": key.kid, "alg": key.alg}))

        await self._kit.work.write(body)
        await self.reload()
        return key.kid

    async def revoke(self, kid: str, via: Via) -> bool:
        """Kills a key and every token signed by it at once; a successor takes over. False: there is no such key."""

        def body(tx: Tx) -> bool:
            version = rows.revoke(tx, kid)
            if version is None:
                return False
            tx.void(Tie("kid", kid.encode()), version)
            tx.void(RING, tx.now)
            tx.emit(via.event("signing_key.revoked", data={"kid": kid}))
            return True

        revoked = await self._kit.work.write(body)
        await self.reload()
        if revoked and not self._has_active():
            await self.rotate(via, at_once=True)
        return revoked

    async def keep_fresh(self, via: Via) -> bool:
        """A step of the leader: makes the successor in time; True when it made one."""
        if self._symmetric is not None:
            return False
        now = self._kit.clock.now()
        newest = max((k.active_from for k in self._ring.keys if k.alg == self._algorithm and k.usable(now)), default=0)
        if now < newest + micros(self._active_for - self._publish_for):
            return False
        await self.rotate(via)
        return True

    def _has_active(self) -> bool:
        now = self._kit.clock.now()
        return any(k.alg == self._algorithm and k.active_from <= now and k.usable(now) for k in self._ring.keys)

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
