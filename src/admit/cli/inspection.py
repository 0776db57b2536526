"""What a credential is, and whether it would be let in now: the checks of the server, one after the other, in words.

Nothing here changes anything, and nothing that is given back holds the credential or a part of it that is secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from admit.audit.reasons import REASON_HELP
from admit.credentials.live.live import Kind as LiveKind
from admit.crypto.opaque import (
    RefreshParts,
    TicketParts,
    api_key_shape,
    refresh_format,
    session_format,
    sha256,
    ticket_format,
)
from admit.ground.clock import iso
from admit.ground.codes import REASONS
from admit.ground.errors import Refusal
from admit.ground.ids import read, show
from admit.ground.principal import Facts
from admit.ground.work import Tx
from admit.rooms import Rooms
from admit.stores.sql import grants, tickets, truth
from admit.stores.sql.tickets import TicketRow

What = Literal["access token", "refresh token", "session cookie", "API key", "ticket", "foreign JWT", "unknown"]
#: characters; the longest credential of ours is a JWT of 8192
LONGEST = 64 * 1024

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
#: the checks of an access token in their order, each with the private reasons that it refuses with
STEPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("form", ("jwt.too_long", "jwt.malformed", "jwt.header")),
    ("algorithm", ("jwt.algorithm",)),
    ("signing key", ("jwt.kid", "jwt.key_revoked")),
    ("signature", ("jwt.signature",)),
    ("issuer", ("jwt.issuer",)),
    ("audience", ("jwt.audience",)),
    ("type", ("jwt.type",)),
    ("expiry", ("jwt.no_expiry", "jwt.expired")),
    ("beginning", ("jwt.not_yet", "jwt.issued_ahead")),
    ("subject and other claims", ("jwt.subject", "jwt.claims", "jwt.binding")),
    ("grant", ("access.unknown", "access.grant_ended", "access.fenced", "access.changed")),
    ("person", ("access.subject_disabled",)),
    ("client", ("access.client_disabled",)),
)


class Jwt(NamedTuple):
    """Header and payload of a JWT, believed by nobody yet."""

    header: dict[str, Any]
    claims: dict[str, Any]


class Step(NamedTuple):
    """One check: passed, failed, or not reached because one before it failed."""

    name: str
    result: Literal["passed", "failed", "not reached"]


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found out. `reason` is the private one and None when the credential is good; `also` are further truths
    that the first refusal hides. Never holds the credential.
    """

    what: What
    accepted: bool | None
    reason: str | None = None
    steps: tuple[Step, ...] = ()
    header: Mapping[str, Any] = field(default_factory=dict)
    claims: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    also: tuple[str, ...] = ()

    @property
    def code(self) -> str | None:
        """What a caller is told."""
        return REASONS.get(self.reason or "")

    @property
    def verdict(self) -> str:
        """The whole in plain words."""
        if self.reason is not None:
            return REASON_HELP[self.reason].meaning
        if self.accepted is None:
            return "Nothing that this server issues looks like that."
        return "It would be accepted now."

    @property
    def mend(self) -> str:
        """What to do about it."""
        return REASON_HELP[self.reason].mend if self.reason in REASON_HELP else ""

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "what": self.what, "accepted": self.accepted, "reason": self.reason, "code": self.code,
            "verdict": self.verdict, "mend": self.mend, "also": list(self.also),
            "steps": [step._asdict() for step in self.steps], "header": dict(self.header),
            "claims": dict(self.claims), "facts": dict(self.facts),
        }  # fmt: skip


def parts_of_jwt(text: str) -> Jwt | None:
    """Header and payload of whatever has the form of a signed JWT; None for anything else. Checks nothing."""
    if len(text) > LONGEST or not _COMPACT.fullmatch(text):
        return None
    head, payload, _ = text.split(".")
    header, claims = _object(head), _object(payload)
    return None if header is None or claims is None else Jwt(header, claims)


async def inspect(rooms: Rooms, text: str) -> Inspection:
    """What `text` is and whether this server would accept it now. Raises `Unavailable` when the store is down."""
    brand = rooms.settings.brand
    if (jwt := parts_of_jwt(text)) is not None:
        return await _access_token(rooms, text, jwt)
    if api_key_shape(brand, text) is not None:
        return await _live(rooms, "API key", "api_key", text)
    if text.startswith(session_format(brand).prefix):
        return await _live(rooms, "session cookie", "session", text)
    if text.startswith(refresh_format(brand).prefix):
        return await _refresh_token(rooms, text)
    if text.startswith(ticket_format(brand).prefix):
        return await _ticket(rooms, text)
    return Inspection("unknown", None)


async def _access_token(rooms: Rooms, text: str, jwt: Jwt) -> Inspection:
    ours = jwt.claims.get("iss") == rooms.settings.issuer
    what: What = "access token" if ours else "foreign JWT"
    found = await _live(rooms, what, "access_token", text)
    steps = _steps(found.reason)
    proved = any(step.name == "signature" and step.result == "passed" for step in steps)
    also = await _hidden(rooms, jwt, found.reason) if proved and found.reason is not None else ()
    return Inspection(
        what, found.accepted, found.reason, steps, jwt.header, _readable(jwt.claims), found.facts, also
    )  # fmt: skip


async def _live(rooms: Rooms, what: What, kind: LiveKind, text: str) -> Inspection:
    try:
        facts = await rooms.live.facts(kind, text)
    except Refusal as refusal:
        return Inspection(what, False, refusal.reason)
    return Inspection(what, True, facts=_told(facts))


def _steps(reason: str | None) -> tuple[Step, ...]:
    failed = next((at for at, (_, reasons) in enumerate(STEPS) if reason in reasons), None)
    if failed is None:
        return tuple(Step(name, "passed") for name, _ in STEPS) if reason is None else ()
    return tuple(
        Step(name, "passed" if at < failed else "failed" if at == failed else "not reached")
        for at, (name, _) in enumerate(STEPS)
    )


async def _hidden(rooms: Rooms, jwt: Jwt, reason: str) -> tuple[str, ...]:
    """What else is true of a token whose signature holds: an expired one whose grant was ended, say."""
    grant = read("grt", str(jwt.claims.get("sid", "")))
    kid = str(jwt.header.get("kid", ""))
    row = None if grant is None else await rooms.kit.work.read(lambda tx: truth.grant(tx, grant, kid))
    if row is None:
        return () if reason == "access.unknown" else ("Its grant is not known here (any more).",)
    said = []
    if row.ended_at is not None:
        said.append(f"Its grant was ended at {iso(row.ended_at)}.")
    if row.user_disabled_at is not None and reason != "access.subject_disabled":
        said.append(f"The person was disabled at {iso(row.user_disabled_at)}.")
    if row.client_disabled_at is not None and reason != "access.client_disabled":
        said.append(f"The client was disabled at {iso(row.client_disabled_at)}.")
    return tuple(said)


async def _refresh_token(rooms: Rooms, text: str) -> Inspection:
    reason = await rooms.refresh.problem(text)
    payload = refresh_format(rooms.settings.brand).parse(text)
    facts: dict[str, Any] = {}
    # the proof inside is checked before anything of the family is told
    if payload is not None and reason not in ("refresh.unknown", "refresh.proof"):
        family = RefreshParts.unpack(payload).family
        row = await rooms.kit.work.read(lambda tx: grants.family(tx, family))
        if row is not None:
            facts = {
                "owner": show("usr", bytes(row.user_id)), "client": row.client,
                "grant": show("grt", bytes(row.grant_id)), "rotated_at": iso(row.rotated_at),
                "idle_until": iso(row.idle_until), "expires_at": iso(row.expires_at),
            }  # fmt: skip
    return Inspection("refresh token", reason is None, reason, facts=facts)


async def _ticket(rooms: Rooms, text: str) -> Inspection:
    payload = ticket_format(rooms.settings.brand).parse(text)
    if payload is None:
        return Inspection("ticket", False, "ticket.malformed")
    parts = TicketParts.unpack(payload)

    def look(tx: Tx) -> tuple[TicketRow | None, int]:
        return tickets.get(tx, parts.id), tx.now

    row, now = await rooms.kit.work.read(look)
    if row is None or not hmac.compare_digest(bytes(row.digest), sha256(parts.secret)):
        return Inspection("ticket", False, "ticket.unknown")
    reason = "ticket.used" if row.taken_at is not None else "ticket.expired" if row.expires_at <= now else None
    facts: dict[str, Any] = {"purpose": row.purpose, "expires_at": iso(row.expires_at)}
    if row.user_id is not None:
        facts["owner"] = show("usr", bytes(row.user_id))
    if row.taken_at is not None:
        facts["used_at"] = iso(row.taken_at)
    return Inspection("ticket", reason is None, reason, facts=facts)


def _told(facts: Facts) -> dict[str, Any]:
    told: dict[str, Any] = {
        "owner": facts.subject.id, "kind": facts.subject.kind, "credential": facts.credential.id,
        "name": facts.credential.name, "client": facts.client, "scopes": sorted(facts.scopes),
        "good_until": iso(facts.deadline) if facts.deadline < 2**62 else None,
        "methods": [f"{method.name} at {iso(method.at)}" for method in facts.methods],
    }  # fmt: skip
    return {name: value for name, value in told.items() if value not in (None, [])}


def _readable(claims: dict[str, Any]) -> dict[str, Any]:
    """The claims, times in words beside the numbers."""
    told = dict(claims)
    for name in ("exp", "iat", "nbf", "auth_time"):
        value = claims.get(name)
        if type(value) is int and 0 <= value < 2**35:
            told[name] = f"{value} ({iso(value * 1_000_000)})"
    return told


def _object(part: str) -> dict[str, Any] | None:
    try:
        value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
