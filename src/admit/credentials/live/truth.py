"""From a presented text to `Facts`: cheap checks first, then one truth read. The order of checks stands here."""

from __future__ import annotations

import hmac
from types import MappingProxyType

from admit.credentials import methods as proofs
from admit.credentials.api_keys import ApiKeys
from admit.credentials.session_store import SessionStore
from admit.credentials.signing_keys import SigningKeys
from admit.crypto import jwt
from admit.crypto.keys import ASYMMETRIC
from admit.crypto.opaque import SessionParts, session_format, sha256
from admit.ground.errors import Refusal, Refused
from admit.ground.ids import read, show
from admit.ground.kit import Kit
from admit.ground.principal import Credential, Facts, Subject, SubjectKind, Tie
from admit.rights import Rights, split
from admit.settings import Settings
from admit.stores.sql import truth as rows
from admit.stores.sql.truth import GrantTruth, SessionTruth

#: claims of ours; what remains is the application's
_OURS = frozenset(["iss", "sub", "aud", "exp", "iat", "nbf", "jti", "client_id", "scope", "sid", "auth_time", "cnf"])
_RELOAD_AFTER = 1.0  # seconds between two readings of the signing keys that an unknown kid may cause


class Truth:
    """Reads what is true of a credential now; every method raises `Refusal` with its own reason, or `Unavailable`."""

    def __init__(
        self, kit: Kit, settings: Settings, rights: Rights, signing_keys: SigningKeys, api_keys: ApiKeys,
        sessions: SessionStore,
    ) -> None:  # fmt: skip
        self._kit = kit
        self._uses = sessions
        self._rights = rights
        self._signing_keys = signing_keys
        self._api_keys = api_keys
        self._sessions = session_format(settings.brand)
        self._rules = jwt.Rules(
            key_for=lambda kid: signing_keys.ring.claimed(kid, kit.clock.now()),
            issuer=settings.issuer,
            audience=frozenset(settings.audience),
            # a change of the algorithm must not kill the tokens of the keys before it; each key has its own
            algorithms=frozenset(["HS256"]) if settings.tokens.algorithm == "HS256" else ASYMMETRIC,
            leeway=settings.tokens.leeway,
        )
        self._reloaded = -_RELOAD_AFTER

    async def session(self, text: str) -> Facts:
        """A session cookie."""
        payload = self._sessions.parse(text)
        if payload is None:
            raise Refusal("session.malformed")
        parts = SessionParts.unpack(payload)
        now = self._kit.clock.now()
        truth = await self._kit.work.read(lambda tx: rows.session(tx, parts.id))
        if truth is None or not hmac.compare_digest(bytes(truth.digest), sha256(parts.secret)):
            raise Refusal("session.unknown")
        # what has ended in SQL is dead, whatever the other store says or cannot say
        if reason := _session_problem(truth, now):
            raise Refusal(reason)
        seen_at = await self._uses.last_use(truth)
        if seen_at is None:
            raise Refusal("session.lost")
        if seen_at + truth.idle <= now:
            raise Refusal("session.idle")
        return self._session_facts(truth, seen_at)

    async def access_token(self, text: str) -> Facts:
        """A JWT access token: the token first, then the grant behind it."""
        now = self._kit.clock.now()
        verified = await self._verify(text, now)
        grant = read("grt", str(verified.claims.get("sid", "")))
        truth = None if grant is None else await self._kit.work.read(lambda tx: rows.grant(tx, grant, verified.kid))
        if truth is None:
            raise Refusal("access.unknown")
        if reason := _grant_problem(truth, verified, now):
            raise Refusal(reason)
        return self._grant_facts(truth, verified)

    async def api_key(self, text: str) -> Facts:
        """An API key. Prefix, checksum and environment are refused with no query at all."""
        facts = await self._api_keys.verify(text)
        if isinstance(facts, Refused):
            raise facts.refusal()
        return facts

    async def _verify(self, text: str, now: int) -> jwt.Verified:
        try:
            return jwt.verify(text, self._rules, now)
        except Refusal as refusal:
            # a key that another process made a moment ago; bounded, or junk would become queries
            monotonic = self._kit.clock.monotonic()
            if refusal.reason != "jwt.kid" or monotonic < self._reloaded + _RELOAD_AFTER:
                raise
            self._reloaded = monotonic
        await self._signing_keys.reload()
        return jwt.verify(text, self._rules, now)

    def _session_facts(self, truth: SessionTruth, seen_at: int) -> Facts:
        identifier, user = bytes(truth.id), bytes(truth.user_id)
        return Facts(
            subject=_subject(truth.user_kind, user),
            owner=user,
            credential=Credential("session", show("ses", identifier)),
            credential_id=identifier,
            scopes=self._rights.held(truth.roles.split()),
            ties=(
                (Tie("session", identifier), truth.version),
                (Tie("user", user), truth.user_version),
                (Tie("tenant", b"\0\0\0\1"), truth.tenant_version),
            ),
            deadline=min(truth.expires_at, seen_at + truth.idle),
            methods=proofs.read(truth.methods),
            binding=identifier,
        )

    def _grant_facts(self, truth: GrantTruth, verified: jwt.Verified) -> Facts:
        identifier, user = bytes(truth.id), bytes(truth.user_id)
        claims = verified.claims
        granted = None if truth.scopes is None else split(truth.scopes)
        held = self._rights.effective(granted, self._rights.held(truth.roles.split()))
        return Facts(
            subject=_subject(truth.user_kind, user),
            owner=user,
            credential=Credential("access_token", str(claims["jti"])),
            credential_id=identifier,
            scopes=self._rights.effective(split(str(claims.get("scope", ""))), held),
            ties=(
                (Tie("grant", identifier), truth.version),
                (Tie("user", user), truth.user_version),
                (Tie("client", bytes(truth.client_row)), truth.client_version),
                (Tie("kid", verified.kid.encode()), truth.kid_version or 0),
                (Tie("tenant", b"\0\0\0\1"), truth.tenant_version),
            ),
            deadline=min(verified.expires, truth.expires_at),
            client=truth.client,
            resource=_audience(claims.get("aud")),
            methods=proofs.read(truth.methods),
            claims=MappingProxyType({name: value for name, value in claims.items() if name not in _OURS}),
            binding=identifier,
            cnf=claims.get("cnf"),
        )


def _session_problem(truth: SessionTruth, now: int) -> str | None:
    if truth.ended_at is not None:
        return "session.ended"
    if truth.expires_at <= now:
        return "session.expired"
    if truth.user_disabled_at is not None:
        return "session.subject_disabled"
    if truth.fenced_at is not None and truth.created_at <= truth.fenced_at:
        return "session.fenced"
    return None


def _grant_problem(truth: GrantTruth, verified: jwt.Verified, now: int) -> str | None:
    if truth.ended_at is not None or truth.expires_at <= now:
        return "access.grant_ended"
    if truth.user_disabled_at is not None:
        return "access.subject_disabled"
    if truth.client_disabled_at is not None:
        return "access.client_disabled"
    if truth.fenced_at is not None and truth.created_at <= truth.fenced_at:
        return "access.fenced"
    return _token_problem(truth, verified)


def _token_problem(truth: GrantTruth, verified: jwt.Verified) -> str | None:
    # asked of the database: the ring of this process may be a moment older than a revocation elsewhere
    if truth.kid_revoked_at is not None:
        return "jwt.key_revoked"
    if truth.kid_version is None and verified.alg in ASYMMETRIC:
        return "jwt.kid"
    # the signature says so already; a grant of one person must not carry the token of another
    if verified.subject != show("usr", bytes(truth.user_id)) or verified.claims["client_id"] != truth.client:
        return "access.unknown"
    return None


def _subject(kind: str, user: bytes) -> Subject:
    known: SubjectKind = "service" if kind == "service" else "user"
    return Subject(known, show("usr", user))


def _audience(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
