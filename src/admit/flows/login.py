"""Signing in: the first dispatcher. The order of every check stands here, and nowhere else.

address limit -> account and device -> waits and limit of the identifier -> hash -> record -> next step -> session or
tokens. A known and an unknown account run the same statements and the same hash, and are refused with the same words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from admit.credentials.delivery import Deliver, Delivered, Delivery, Started
from admit.credentials.grants import Person
from admit.flows.gate import Gate, Reasons, identifier_key
from admit.flows.proof import record_failure
from admit.flows.steps import Attempt, Challenge, SignInPolicy, next_step
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Event, Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.logs import mask
from admit.ground.principal import Method
from admit.ground.work import Tx
from admit.people import devices, identifiers
from admit.people.passwords import HashPool, Verdict
from admit.settings import Settings
from admit.stores.sql import accounts as accounts_rows
from admit.stores.sql import passwords as rows
from admit.stores.sql.passwords import LoginRow

_LIMITS = Reasons("login.limited_identifier", "login.waiting")
_NO_SUCH = ""  # stands for what was typed and is no identifier: no stored value is empty


class SignedIn(NamedTuple):
    """What a sign-in gives. `device` goes into the device cookie, for `people.devices.KNOWN_FOR`."""

    user: bytes
    delivered: Delivered
    device: str

    def __repr__(self) -> str:
        return f"SignedIn(user={self.user.hex()}, ***)"


@dataclass(frozen=True, slots=True)
class Login:
    """`observe` takes events of refusals that changed nothing; it must not block."""

    kit: Kit
    settings: Settings
    pool: HashPool
    gate: Gate
    delivery: Delivery
    observe: Callable[[Event], None]

    async def login(
        self, identifier: str, password: str, deliver: Deliver, via: Via, device: str | None = None
    ) -> SignedIn:  # fmt: skip
        """Signs a person in by username or address; `device` is the device cookie.

        Refuses `login_failed` (one body for every cause), `email_unverified` (after the right password only) and
        `rate_limited` with Retry-After. Raises `Unavailable`.
        """
        try:
            address = await self.gate.address(via.address, "login.limited_address")
            found = await self._find(identifier, device)
            key = _key(identifier, device, found)
            guess = await self.gate.guess(key, _LIMITS)
        except Refusal as refusal:
            self.observe(_failed(identifier, refusal.reason, None, via))
            raise
        verdict = await self.pool.verify(found.hash if found else None, password)
        reason = _wrong(found, verdict)
        if reason is not None or found is None or found.hash is None:
            raise await self._fail(identifier, key, reason or "login.unknown", found, via)
        upgraded = await self.pool.hash(password) if verdict.upgrade else None
        done = await self._start(_Right(identifier, found, found.hash, upgraded), deliver, device, via)
        await self.gate.right(key, guess, address)
        started, cookie = done
        return SignedIn(found.user_id, await self.delivery.finish(started), cookie)

    async def _find(self, identifier: str, device: str | None) -> LoginRow | None:
        name = identifiers.read(identifier)
        kind, value = (name.kind, name.value) if name else ("username", _NO_SUCH)
        digest = devices.digest(device)
        return await self.kit.work.read(lambda tx: rows.find(tx, kind, value, digest))

    async def _fail(self, typed: str, key: str, reason: str, found: LoginRow | None, via: Via) -> Refusal:
        user = found.user_id if found else None
        event = _failed(typed, reason, user, via)
        await self.gate.wrong(key)
        after = self.settings.passwords.disable_after
        await self.kit.work.write(lambda tx: record_failure(tx, user, after, event, via))
        return Refusal(reason)

    async def _start(self, right: _Right, deliver: Deliver, device: str | None, via: Via) -> tuple[Started, str]:
        """Everything that the right password brings, in one transaction; refuses after it."""
        known = device if right.found.device else None
        policy = SignInPolicy(self.settings.require_verified)

        def body(tx: Tx) -> tuple[Started, str] | Refused:
            user = right.found.user_id
            person = accounts_rows.get(tx, user)
            if person is None or not rows.succeed(tx, user, right.hash, right.upgraded):
                return _refuse(tx, right, "login.changed", via)
            if person.disabled_at is not None:
                return _refuse(tx, right, "login.disabled", via)
            if right.upgraded is not None:
                tx.emit(via.event("password.upgraded", subject=show("usr", user)))
            attempt = Attempt((Method("pwd", tx.now),), right.found.verified)
            step = next_step(attempt, policy)
            if isinstance(step, Challenge):
                return _refuse(tx, right, "login.unverified", via)
            started = self.delivery.start(tx, Person(user, tuple(person.roles.split()), step.methods), deliver, via)
            tx.emit(via.event("login.succeeded", subject=show("usr", user), identifier=_short(right.typed)))
            return started, devices.remember(self.kit, tx, user, known, via)

        done = await self.kit.work.write(body)
        if isinstance(done, Refused):
            raise done.refusal()
        return done


class _Right(NamedTuple):
    """A right password: of which account, the hash it matched, and a better one to store."""

    typed: str
    found: LoginRow
    hash: str
    upgraded: str | None


def _key(identifier: str, device: str | None, found: LoginRow | None) -> str:
    """A known device has limits of its own: strangers who guess at an identifier do not lock its owner out."""
    if found is not None and found.device:
        return f"device:{devices.digest(device).hex()}"
    return identifier_key(identifier)


def _wrong(found: LoginRow | None, verdict: Verdict) -> str | None:
    """The private reason against this login, or None. Decided after the hash, whatever it is."""
    if found is None:
        return "login.unknown"
    if found.hash is None:
        return "login.no_password"
    if found.password_disabled_at is not None:
        return "login.password_disabled"
    if not verdict.ok:
        return "login.password"
    return "login.disabled" if found.user_disabled_at is not None else None


def _refuse(tx: Tx, right: _Right, reason: str, via: Via) -> Refused:
    tx.emit(_failed(right.typed, reason, right.found.user_id, via))
    return Refused(reason)


def _failed(typed: str, reason: str, user: bytes | None, via: Via) -> Event:
    subject = show("usr", user) if user else None
    return via.event("login.failed", outcome="refused", reason=reason, subject=subject, identifier=_short(typed))


def _short(typed: str) -> str:
    """What was typed, for the log: no longer than an address, and nothing that a terminal or PostgreSQL chokes on."""
    # a token or key pasted into the wrong field is not for the log either
    return "".join(ch if ch.isprintable() else "�" for ch in mask(typed)[: identifiers.ADDRESS_LENGTH])
