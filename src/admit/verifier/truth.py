"""From a presented text to `Facts` without a database. The order of checks stands here.

An access token proves itself; the issuer is asked about it only when something that it hangs on moved after it was
issued. An API key proves nothing, so the issuer is asked about each, and the answer holds until it moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from hashlib import sha256
from types import MappingProxyType
from typing import Any, get_args

from admit.credentials.api_keys import NEVER, precheck
from admit.credentials.live.written import read_tie
from admit.crypto import jwt
from admit.crypto.claims import RESERVED
from admit.ground.clock import SECOND, Clock
from admit.ground.errors import Refusal, Refused, Unavailable
from admit.ground.ids import read
from admit.ground.principal import Credential, Facts, Method, Subject, SubjectKind, Tie
from admit.limits import Limit, LimitStore
from admit.rights import split
from admit.settings import Settings
from admit.verifier.feed import ANY, UNNAMED, RemoteFeed
from admit.verifier.issuer import PART, Issuer
from admit.verifier.jwks import Jwks

_TENANT = Tie("tenant", b"\0\0\0\1")
#: API keys that the issuer did not know, before further unknown ones wait: who sends junk must not use up our own key
JUNK = Limit(300, timedelta(minutes=1), "unknown-keys")
MOST_REFUSED = 10_000
_TOKEN_REASONS = {"token_expired": "verifier.token_expired"}
_KEY_REASONS = {"api_key_expired": "verifier.api_key_expired", "api_key_disabled": "verifier.api_key_disabled"}


class Tokens:
    """Access tokens by their signature and claims alone."""

    def __init__(self, clock: Clock, settings: Settings, audience: frozenset[str], keys: Jwks) -> None:
        self._clock = clock
        self._keys = keys
        self._rules = jwt.Rules(
            key_for=keys.key, issuer=settings.issuer, audience=audience, leeway=settings.tokens.leeway
        )

    async def verified(self, text: str) -> jwt.Verified:
        """The token, once every check of `jwt.verify` passed; the keys are asked for again when its kid is unknown."""
        await self._keys.ready()
        try:
            return jwt.verify(text, self._rules, self._clock.now())
        except Refusal as refusal:
            if refusal.reason != "jwt.kid":
                raise
        await self._keys.again()
        return jwt.verify(text, self._rules, self._clock.now())


class OfflineTruth:
    """What can be known without asking anybody."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens

    async def session(self, text: str) -> Facts:
        """A session is known to its issuer only."""
        del text
        raise Refusal("session.unknown")

    async def access_token(self, text: str) -> Facts:
        """What the token says."""
        verified = await self._tokens.verified(text)
        return _claimed(verified, ())

    async def api_key(self, text: str) -> Facts:
        """Nobody to ask."""
        del text
        raise Refusal("verifier.api_key_offline")


class Remembered:
    """What the issuer refused a moment ago: a caller who repeats a dead credential is not repeated to the issuer.

    Good only while nothing at all has moved: whatever could bring a credential back to life would be told by the feed.
    """

    def __init__(self, feed: RemoteFeed) -> None:
        self._feed = feed
        self._generation = -1
        self._reasons: dict[bytes, str] = {}

    def check(self, text: str) -> None:
        """Raises the refusal of `text`, if it is remembered."""
        if self._generation != self._feed.generation:
            return
        if reason := self._reasons.get(_digest(text)):
            raise Refusal(reason, private="remembered")

    def put(self, text: str, generation: int, reason: str) -> Refusal:
        """The refusal to raise, remembered as of the `generation` before the question."""
        if self._generation != generation or len(self._reasons) >= MOST_REFUSED:
            self._generation, self._reasons = generation, {}
        self._reasons[_digest(text)] = reason
        return Refusal(reason)


class RemoteTruth:
    """What the token says while nothing moved, and what the issuer says otherwise."""

    def __init__(
        self, tokens: Tokens, issuer: Issuer, feed: RemoteFeed, settings: Settings, limits: LimitStore
    ) -> None:  # fmt: skip
        self._tokens = tokens
        self._issuer = issuer
        self._feed = feed
        self._brand, self._environment = settings.brand, settings.api_keys.environment
        self._limits = limits
        self._refused = Remembered(feed)

    async def session(self, text: str) -> Facts:
        """A session cookie belongs to the issuer's own site."""
        del text
        raise Refusal("session.unknown")

    async def access_token(self, text: str) -> Facts:
        """An access token: itself first, then the issuer if something moved since."""
        verified = await self._tokens.verified(text)
        ties = _ties(verified)
        if not self._feed.moved_since(ties, verified.issued or 0):
            return _claimed(verified, tuple((tie, self._feed.version(tie)) for tie in ties))
        self._refused.check(text)
        generation, answer = self._feed.generation, await self._issuer.token(text)
        if not answer["active"]:
            reason = _TOKEN_REASONS.get(str(answer.get("code")), "verifier.token")
            raise self._refused.put(text, generation, reason)
        return _told(_told_token, answer, verified)

    async def api_key(self, text: str) -> Facts:
        """An API key. Prefix, checksum and environment are refused without a question."""
        wrong = precheck(text, self._brand, self._environment)
        if isinstance(wrong, Refused):
            raise wrong.refusal()
        self._refused.check(text)
        hit = await self._limits.hit("issuer", JUNK)
        if not hit.allowed:
            raise Unavailable(PART, retry_after=hit.retry_after)
        junk = False
        try:
            generation, answer = self._feed.generation, await self._issuer.api_key(text)
            junk = not answer["valid"]
        finally:
            if not junk:
                await self._limits.refund("issuer", JUNK)
        if junk:
            reason = _KEY_REASONS.get(str(answer.get("code")), "verifier.api_key")
            raise self._refused.put(text, generation, reason)
        return _told(_told_key, answer, None)


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _ties(verified: jwt.Verified) -> tuple[Tie, ...]:
    grant, user = read("grt", str(verified.claims.get("sid", ""))), read("usr", verified.subject)
    if grant is None or user is None:
        raise Refusal("verifier.unlinked")
    named = (Tie("grant", grant), Tie("user", user), Tie("kid", verified.kid.encode()), _TENANT)
    return (*named, *(Tie(kind, ANY) for kind in UNNAMED))


def _claimed(verified: jwt.Verified, ties: tuple[tuple[Tie, int], ...]) -> Facts:
    """What a token says of itself. How the sign-in was proved it does not say, only when: so one factor is assumed."""
    claims, user = verified.claims, read("usr", verified.subject)
    proved = claims.get("auth_time")
    return Facts(
        subject=Subject("user", verified.subject),
        owner=user or verified.subject.encode(),
        credential=Credential("access_token", str(claims["jti"])),
        credential_id=read("grt", str(claims.get("sid", ""))) or str(claims["jti"]).encode(),
        scopes=split(str(claims.get("scope", ""))),
        ties=ties,
        deadline=verified.expires,
        client=str(claims["client_id"]),
        resource=_audience(claims["aud"]),
        methods=(Method("user", proved * SECOND),) if type(proved) is int else (),
        claims=_own(claims),
        cnf=claims.get("cnf"),
    )


def _told(make: Any, answer: dict[str, Any], verified: jwt.Verified | None) -> Facts:
    try:
        facts: Facts = make(answer, verified)
    except (KeyError, TypeError, ValueError) as error:
        # half an answer is none: to guess the rest would be to let somebody in
        raise Unavailable(PART) from error
    return facts


def _told_token(answer: dict[str, Any], verified: jwt.Verified) -> Facts:
    methods = tuple(Method(str(one["name"]), int(one["at"]) * SECOND) for one in answer["methods"])
    return Facts(
        subject=_subject(answer["kind"], verified.subject),
        owner=_needed(read("usr", verified.subject)),
        credential=Credential("access_token", str(verified.claims["jti"])),
        credential_id=_needed(read("grt", str(verified.claims["sid"]))),
        scopes=_texts(answer["scopes"]),
        ties=tuple(read_tie(tie) for tie in answer["ties"]),
        deadline=verified.expires,
        client=str(verified.claims["client_id"]),
        resource=_audience(verified.claims["aud"]),
        methods=methods,
        claims=_own(verified.claims),
        cnf=verified.claims.get("cnf"),
    )


def _told_key(answer: dict[str, Any], verified: None) -> Facts:
    del verified
    limit, ends, name = answer["limit"], answer["exp"], answer["name"]
    return Facts(
        subject=_subject(answer["kind"], str(answer["owner"])),
        owner=_needed(read("usr", str(answer["owner"]))),
        credential=Credential("api_key", str(answer["id"]), None if name is None else str(name)),
        credential_id=_needed(read("key", str(answer["id"]))),
        scopes=_texts(answer["scopes"]),
        ties=tuple(read_tie(tie) for tie in answer["ties"]),
        deadline=NEVER if ends is None else int(ends) * SECOND,
        limit=None if limit is None else (int(limit["hits"]), int(limit["seconds"]) * SECOND),
    )


def _subject(kind: object, identifier: str) -> Subject:
    if kind not in get_args(SubjectKind):
        raise ValueError("no kind of subject")
    return Subject(kind, identifier)  # type: ignore[arg-type]


def _needed(identifier: bytes | None) -> bytes:
    if identifier is None:
        raise ValueError("not an identifier")
    return identifier


def _texts(values: Iterable[Any]) -> frozenset[str]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError("not a list of texts")
    return frozenset(values)


def _audience(value: object) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()


def _own(claims: Any) -> Any:
    return MappingProxyType({name: value for name, value in claims.items() if name not in RESERVED})
