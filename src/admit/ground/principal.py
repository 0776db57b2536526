"""`Principal`: the one result of every way of authenticating. `Facts`: what the truth read knows of a credential."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

SubjectKind = Literal["user", "client", "service"]
CredentialKind = Literal["session", "access_token", "api_key"]
TieKind = Literal["session", "grant", "key", "user", "client", "org", "tenant", "kid", "config"]


class Tie(NamedTuple):
    """Something a credential hangs on: when it changes, what is known of the credential is void."""

    kind: TieKind
    id: bytes


class Subject(NamedTuple):
    """Who: `id` is the public identifier (`usr_…`), the same whatever credential was presented."""

    kind: SubjectKind
    id: str


class Credential(NamedTuple):
    """What was presented: its kind, public identifier and the name its owner gave it (API keys only)."""

    kind: CredentialKind
    id: str
    name: str | None = None


class Method(NamedTuple):
    """One proof of identity: RFC 8176 method name and when it was given (microseconds UTC)."""

    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling, by what, with which rights.

    `scopes` are the effective ones: asked ∩ allowed to the credential ∩ held by the person now. `ambient` is true when
    a browser sent the credential unasked (a cookie). `claims` are the application's own, from the access token.
    """

    subject: Subject
    credential: Credential
    scopes: frozenset[str]
    tenant: str = "default"
    client: str | None = None
    actor: Subject | None = None
    org: str | None = None
    resource: tuple[str, ...] = ()
    methods: tuple[Method, ...] = ()
    ambient: bool = False
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def level(self) -> int:
        """1 for one factor, 2 for two or for a multi-factor authenticator (NIST 800-63B-4 section 2)."""
        names = {method.name for method in self.methods}
        return 2 if "mfa" in names or len(names - {"user"}) > 1 else 1

    @property
    def auth_time(self) -> int | None:
        """When the newest proof was given (microseconds UTC); None for machines."""
        return max((method.at for method in self.methods), default=None)


@dataclass(frozen=True, slots=True)
class Facts:
    """What one truth read found out about a live credential; the cache keeps this, never a `Principal`.

    `ties` pairs each tie with the version of its row at the read. `deadline` (microseconds) is the last moment at which
    these facts may be served: min(exp, idle limit). `owner` is the 16-byte identifier behind `subject`. `binding` names
    what CSRF tokens of this credential are bound to. `limit` is the credential's own (hits, per microseconds).
    """

    subject: Subject
    owner: bytes
    credential: Credential
    credential_id: bytes
    scopes: frozenset[str]
    ties: tuple[tuple[Tie, int], ...]
    deadline: int
    tenant: int = 1
    client: str | None = None
    actor: Subject | None = None
    org: str | None = None
    resource: tuple[str, ...] = ()
    methods: tuple[Method, ...] = ()
    claims: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    binding: bytes = b""
    cnf: Mapping[str, str] | None = None
    limit: tuple[int, int] | None = None
    _explicit: Principal | None = field(default=None, init=False, repr=False, compare=False)
    _ambient: Principal | None = field(default=None, init=False, repr=False, compare=False)

    def principal(self, *, ambient: bool) -> Principal:
        """The Principal for one request; only the gate calls this, after the per-request checks.

        It says nothing that these facts do not say, and cannot be changed, so it is made once: eleven frozen fields
        take longer than the checks.
        """
        made = self._ambient if ambient else self._explicit
        if made is None:
            made = Principal(
                self.subject, self.credential, self.scopes, "default", self.client, self.actor, self.org,
                self.resource, self.methods, ambient, self.claims,
            )  # fmt: skip
            object.__setattr__(self, "_ambient" if ambient else "_explicit", made)
        return made
