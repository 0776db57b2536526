"""The root of the settings and the checks that need more than one section."""

from __future__ import annotations

import ipaddress
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from admit.settings.sections import (
    Brand,
    CookieSettings,
    CorsSettings,
    KeySettings,
    LimitSettings,
    MailSettings,
    PasswordSettings,
    RoleSettings,
    SessionSettings,
    TokenSettings,
)

BUILT_IN_SCOPES = {
    "admit:admin": "Administer accounts, keys, sessions and clients",
    "admit:verify": "Ask whether tokens and API keys are valid, and hear of what was revoked",
}
BUILT_IN_ROLES = {"admin": ("admit:admin",)}


class Settings(BaseModel):
    """Everything that can be set. Environment: `ADMIT_ISSUER`, `ADMIT_TOKENS__ALGORITHM`, …; file: `admit.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", ignored_types=(cached_property,))

    issuer: str = "http://127.0.0.1:8000"  # the URL under which people reach it
    # not shown in a repr, like the next one: there may be a password in it
    database: str = Field(
        default="sqlite:///.admit/admit.sqlite3", repr=False
    )  # sqlite:///FILE or postgresql://HOST/NAME
    valkey: str | None = Field(
        default=None, repr=False
    )  # redis://HOST; then limits are counted there; see sessions.store
    secret: SecretStr | None = None  # ADMIT_SECRET; without it, on loopback only, .admit/secret is made (0600)
    run_directory: Path = Path(".admit")  # shared by the processes of one host
    brand: Brand = "admit"  # first letters of every key and token
    prefix: str = "/auth"  # where our routes and pages lie
    hosts: tuple[str, ...] = ()  # further host names that may be served
    trusted_proxies: tuple[str, ...] = ()  # addresses or networks that may set forwarding headers
    require_verified: bool = False  # sign-in only after the address was proved
    registration: bool = True  # whether people may register themselves
    identifiers: frozenset[str] = frozenset({"username", "email"})  # what people may sign in with
    debug_docs: bool = False  # the server opens /docs, /openapi.json and /metrics

    tokens: TokenSettings = Field(default_factory=TokenSettings)
    sessions: SessionSettings = Field(default_factory=SessionSettings)
    cookies: CookieSettings = Field(default_factory=CookieSettings)
    api_keys: KeySettings = Field(default_factory=KeySettings)
    passwords: PasswordSettings = Field(default_factory=PasswordSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    mail: MailSettings = Field(default_factory=MailSettings)
    cors: CorsSettings = Field(default_factory=CorsSettings)
    rights: RoleSettings = Field(default_factory=RoleSettings)

    @field_validator("issuer")
    @classmethod
    def _issuer(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("the issuer is an http or https URL without query and fragment (RFC 8414 section 2)")
        return value.rstrip("/")

    @field_validator("prefix")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if not value.startswith("/") or value.endswith("/"):
            raise ValueError("the prefix begins with a slash and does not end with one")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _proxies(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network, strict=False)
        return value

    @model_validator(mode="after")
    def _together(self) -> Settings:
        if not self.identifiers <= {"username", "email"} or not self.identifiers:
            raise ValueError("identifiers: username, email, or both")
        registry = self.scopes.keys()
        for role, scopes in self.roles.items():
            if unknown := set(scopes) - registry:
                raise ValueError(f"role {role!r} names unknown scopes: {', '.join(sorted(unknown))}")
        if unknown_roles := set(self.rights.default_roles) - self.roles.keys():
            raise ValueError(f"default_roles names unknown roles: {', '.join(sorted(unknown_roles))}")
        if self.tokens.algorithm == "HS256" and len(self.audience) > 1:
            # whoever verifies HS256 can also mint; with a second audience that is somebody else
            raise ValueError("tokens.algorithm HS256 is for one audience; take ES256 when others verify")
        if self.sessions.store == "valkey" and self.valkey is None:
            raise ValueError("sessions.store is valkey, but no valkey URL is set")
        return self

    @cached_property
    def scopes(self) -> dict[str, str]:
        """Every scope with its description, ours included."""
        return {**BUILT_IN_SCOPES, **self.rights.scopes}

    @cached_property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """Every role with its scopes; the role `admin` always holds `admit:admin`."""
        merged = {**BUILT_IN_ROLES, **self.rights.roles}
        merged["admin"] = tuple(dict.fromkeys((*merged["admin"], "admit:admin")))
        return merged

    @cached_property
    def audience(self) -> tuple[str, ...]:
        """The audiences of our access tokens; the issuer when none is named."""
        return self.tokens.audience or (self.issuer,)

    @cached_property
    def secure(self) -> bool:
        """Whether cookies are Secure and credentials need https: always, but for http on a loopback issuer."""
        return not (self.issuer.startswith("http://") and is_loopback(urlsplit(self.issuer).hostname or ""))

    @cached_property
    def production(self) -> bool:
        """An issuer that is not loopback: then an unsafe setting stops the start."""
        return not is_loopback(urlsplit(self.issuer).hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host name or address means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
