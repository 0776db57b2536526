"""Sessions: an opaque secret in a cookie, its digest in the store, a new secret at every rise of privilege."""

from __future__ import annotations

from typing import NamedTuple

from admit.credentials import methods as proofs
from admit.credentials.session_store import Begun, SessionStore
from admit.crypto.opaque import SessionParts, session_format, sha256
from admit.ground.clock import SECOND, micros
from admit.ground.events import Event, Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.principal import Method, Tie
from admit.ground.work import Tx
from admit.settings import Settings
from admit.stores.sql import sessions as rows
from admit.stores.sql.sessions import SessionRow

__all__ = ["SessionRow", "SessionStarted", "Sessions"]


class SessionStarted(NamedTuple):
    """A session with its secret, which exists nowhere else. Not alive before `Sessions.keep(begun)`."""

    token: str
    begun: Begun

    @property
    def id(self) -> bytes:
        """The session's id."""
        return self.begun.id

    @property
    def lives(self) -> int:
        """Seconds until its absolute end."""
        return self.begun.lives

    def __repr__(self) -> str:
        return f"SessionStarted(id={self.id.hex()}, token=***, lives={self.lives})"


class Sessions:
    """The life of sessions (mission S8; NIST SP 800-63B-4 section 5)."""

    def __init__(self, kit: Kit, settings: Settings, store: SessionStore) -> None:
        self._kit = kit
        self._store = store
        self._absolute = micros(settings.sessions.absolute)
        self._idle = micros(settings.sessions.idle)
        self._format = session_format(settings.brand)

    def start(self, tx: Tx, user: bytes, methods: tuple[Method, ...], via: Via) -> SessionStarted:
        """A new session of `user`."""
        identifier, expires_at = self._kit.new_id(), tx.now + self._absolute
        token, digest = self._secret(tx, identifier)
        row = SessionRow(
            identifier, user, 1, proofs.write(methods), tx.now, tx.now, expires_at, self._idle, None,
            via.address, via.agent,
        )  # fmt: skip
        rows.insert(tx, row, digest)
        tx.emit(self._event(via, "session.started", user, identifier))
        return SessionStarted(token, Begun(identifier, 1, tx.now, self._idle, self._absolute // SECOND))

    def rotate(
        self, tx: Tx, user: bytes, identifier: bytes, methods: tuple[Method, ...], via: Via
    ) -> SessionStarted | None:
        """Gives a live session a new secret (at every rise of privilege); the old one is dead with the commit.

        None when the session has ended meanwhile. Its absolute end does not move.
        """
        token, digest = self._secret(tx, identifier)
        renewed = rows.replace_digest(tx, user, identifier, digest, proofs.write(methods))
        if renewed is None:
            return None
        version, expires_at, idle = renewed
        tx.void(Tie("session", identifier), version)
        tx.emit(self._event(via, "session.rotated", user, identifier))
        return SessionStarted(token, Begun(identifier, version, tx.now, idle, (expires_at - tx.now) // SECOND))

    async def keep(self, started: SessionStarted) -> None:
        """Makes a session usable, after the commit of its start or rotation and before its secret goes out.

        Raises `Unavailable`; then the secret is dead.
        """
        await self._store.keep(started.begun)

    def end(self, tx: Tx, user: bytes, identifier: bytes, via: Via) -> bool:
        """Ends one session of `user`; False when it is not theirs or has ended."""
        return self._end(tx, user, via, [identifier], None) > 0

    def end_all(self, tx: Tx, user: bytes, via: Via, keep: bytes | None = None) -> int:
        """Ends all sessions of `user` but `keep`; how many."""
        return self._end(tx, user, via, None, keep)

    async def live(self, user: bytes) -> list[SessionRow]:
        """The sessions that `user` can still use, newest first. Raises `Unavailable`."""
        found = await self._store.with_uses(await self._kit.work.read(lambda tx: rows.live(tx, user)))
        now = self._kit.clock.now()
        return [row for row in found if row.seen_at + row.idle > now]

    def _end(self, tx: Tx, user: bytes, via: Via, wanted: list[bytes] | None, keep: bytes | None) -> int:
        ended = rows.end(tx, user, wanted, keep)
        for identifier, version in ended:
            tx.void(Tie("session", identifier), version)
            tx.emit(self._event(via, "session.ended", user, identifier))
        return len(ended)

    def _secret(self, tx: Tx, identifier: bytes) -> tuple[str, bytes]:
        secret = self._kit.random(32)
        return self._format.issue(SessionParts(tx.tenant, identifier, secret).pack()), sha256(secret)

    @staticmethod
    def _event(via: Via, type_: str, user: bytes, identifier: bytes) -> Event:
        return via.event(type_, subject=show("usr", user), session=show("ses", identifier))
