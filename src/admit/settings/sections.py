"""The sections. Durations are `timedelta` (in TOML and the environment: ISO 8601 such as `PT15M`, or seconds)."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, StringConstraints

Algorithm = Literal["ES256", "RS256", "PS256", "Ed25519", "HS256"]
Brand = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]{1,15}$")]


class Section(BaseModel):
    """Frozen; an unknown name is an error, since a misspelt setting that is ignored is an open door."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class TokenSettings(Section):
    """Access and refresh tokens (mission S2; RFC 9068)."""

    algorithm: Algorithm = "ES256"  # HS256 only where nobody else verifies: who verifies it can mint
    access_for: timedelta = timedelta(minutes=15)  # life of an access token
    refresh_idle: timedelta = timedelta(days=7)  # life of a refresh token that is not used
    refresh_for: timedelta = timedelta(days=30)  # then a new sign-in, however often it was refreshed
    refresh_grace: timedelta = timedelta(
        seconds=10
    )  # a repeated exchange gets the same answer, until its successor is used
    audience: tuple[str, ...] = ()  # empty: the issuer
    leeway: timedelta = timedelta(seconds=30)  # for clocks that differ
    hs256_secret: SecretStr | None = None  # 256 bits or more; only for HS256
    cache: bool = True  # a switch to turn the verified-credential cache off (mission S2)
    key_active_for: timedelta = timedelta(days=90)  # then the next signing key takes over
    jwks_max_age: timedelta = timedelta(minutes=5)  # the next key is published at least so long before its use


class SessionSettings(Section):
    """Browser sessions (mission S8; NIST SP 800-63B-4 section 5)."""

    absolute: timedelta = timedelta(hours=24)  # then a new sign-in, however busy it was
    idle: timedelta = timedelta(hours=8)  # silence after which a session is over
    store: Literal["sql", "valkey"] = "sql"  # where their last use is kept; valkey: losing it signs people out


class CookieSettings(Section):
    """Cookies. The names get `__Host-` or `__Secure-` and Secure by themselves, except on http loopback."""

    session: str = "admit-session"
    access: str = "admit-access"
    refresh: str = "admit-refresh"
    device: str = "admit-device"
    same_site: Literal["lax", "strict"] = "lax"  # never none: that is what CSRF needs


class KeySettings(Section):
    """API keys (mission S7)."""

    environment: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,8}$")] = (
        "live"  # part of every key; a key of another one is refused unlooked-up
    )
    header: str = "X-API-Key"
    limit: int = 1000  # uses of a key in limit_per, unless the key has a limit of its own
    limit_per: timedelta = timedelta(minutes=1)
    overlap: timedelta = timedelta(hours=24)  # how long the old text works after a rotation
    expires_after: timedelta | None = None  # the longest life of a key, and its life when none is asked for
    max_per_owner: int = 100
    dormant_after: timedelta = timedelta(days=90)  # a use after that much silence is an event of its own


class PasswordSettings(Section):
    """Password policy and hash (mission S9, S10)."""

    policy: Literal["classic", "nist"] = "classic"  # classic: 12 characters of four classes; nist: 15 of any
    hash: str = "argon2id"  # a cost profile: argon2id, bcrypt, … (people/passwords/profiles.py)
    context_words: tuple[str, ...] = ()  # brand, product and host names, refused in passwords
    disable_after: int = 100  # failures in a row (NIST SP 800-63B-4 section 3.2.2)
    reset_for: timedelta = timedelta(minutes=30)  # life of a mailed reset link


class LimitSettings(Section):
    """Limits on the doors (mission S14). `store`: sql, memory (one process only, held by a lock) or valkey."""

    store: Literal["auto", "sql", "memory", "valkey"] = "auto"
    login: int = 5  # guesses in `per`, per identifier
    login_address: int = 20  # guesses in `per`, per address
    register_: int = Field(default=5, alias="register")  # registrations in `per`, per address
    forgot: int = 3  # mails asked for in `per`, per address and per account
    per: timedelta = timedelta(minutes=1)
    max_wait: timedelta = timedelta(minutes=15)  # the longest of the growing waits
    waits_from: int = 5  # failures in a row before the waits begin

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class MailSettings(Section):
    """Outgoing mail. Without `host` mails go to the outbox table, which the demo shows."""

    host: str | None = None
    port: int = 587
    username: str | None = None
    password: SecretStr | None = None
    tls: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = "no-reply@localhost"


class CorsSettings(Section):
    """Exact origins that may call from a browser; empty by default, never a pattern."""

    origins: tuple[str, ...] = ()
    max_age: timedelta = timedelta(minutes=10)


class RoleSettings(Section):
    """The scope registry, the roles that hold scopes, and the roles of a new account (mission S6)."""

    scopes: dict[str, str] = Field(default_factory=dict)
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    default_roles: tuple[str, ...] = ()
