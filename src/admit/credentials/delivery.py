"""How a sign-in is delivered: tokens in the body, tokens in cookies, a session cookie, or the split for SPAs."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

from admit.credentials.grants import GrantRow, Grants, GrantStarted, Person
from admit.credentials.mint import Mint
from admit.credentials.sessions import SessionRow, Sessions, SessionStarted
from admit.ground.events import Via
from admit.ground.work import Tx

Deliver = Literal["tokens", "cookie", "session", "spa"]
DELIVERIES: frozenset[str] = frozenset(get_args(Deliver))


class Started(NamedTuple):
    """What a sign-in began, not yet signed."""

    deliver: Deliver
    session: SessionStarted | None = None
    grant: GrantStarted | None = None


class Delivered(NamedTuple):
    """Everything the web layer needs to answer. `binding` is what CSRF tokens of it are bound to (16 bytes)."""

    deliver: Deliver
    binding: bytes
    expires_in: int
    access_token: str | None = None
    refresh_token: str | None = None
    session_token: str | None = None

    def __repr__(self) -> str:
        return f"Delivered(deliver={self.deliver!r}, ***)"


class Delivery:
    """Starts what was asked for; sessions and grants end together through here as well."""

    def __init__(self, sessions: Sessions, grants: Grants, mint: Mint) -> None:
        self.sessions = sessions
        self.grants = grants
        self._mint = mint

    def start(self, tx: Tx, person: Person, deliver: Deliver, via: Via) -> Started:
        """Begins a session or a grant of `person`, in the transaction that proves the sign-in."""
        if deliver == "session":
            return Started(deliver, session=self.sessions.start(tx, person.id, person.methods, via))
        return Started(deliver, grant=self.grants.start(tx, person, deliver, via))

    async def finish(self, started: Started) -> Delivered:
        """Keeps the session or signs the access token, after the commit. Raises `Unavailable`."""
        if started.session is not None:
            session = started.session
            await self.sessions.keep(session)
            return Delivered(started.deliver, session.id, session.lives, session_token=session.token)
        assert started.grant is not None  # noqa: S101
        access_token = await self._mint.access_token(started.grant.access)
        return Delivered(
            started.deliver,
            started.grant.id,
            self._mint.expires_in,
            access_token,
            started.grant.refresh_token,
        )

    async def live(self, user: bytes) -> list[SessionRow | GrantRow]:
        """Every session and grant of `user` that still works, newest first. Raises `Unavailable`."""
        found: list[SessionRow | GrantRow] = [*await self.sessions.live(user), *await self.grants.live(user)]
        return sorted(found, key=lambda row: row.created_at, reverse=True)

    def end_all(self, tx: Tx, user: bytes, via: Via, keep: bytes | None = None) -> int:
        """Ends every session and grant of `user` but the one with the id `keep`; how many."""
        return self.sessions.end_all(tx, user, via, keep) + self.grants.end_all(tx, user, via, keep)

    def end(self, tx: Tx, user: bytes, identifier: bytes, via: Via) -> bool:
        """Ends the session or grant of `user` with that id; False when it is not theirs or has ended."""
        return self.sessions.end(tx, user, identifier, via) or self.grants.end(tx, user, identifier, via)
