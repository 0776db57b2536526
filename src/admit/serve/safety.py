"""Settings that stop a production start. Each text names the setting and how to mend it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from admit.people.passwords import profile_of
from admit.settings import Settings
from admit.settings.settings import is_loopback


def check(settings: Settings, host: str = "127.0.0.1") -> list[str]:
    """What is unsafe about serving these settings at the address `host`; empty when nothing is, or nobody but this
    machine can reach it. Looks at nothing but the settings; `admit doctor` looks further.
    """
    if not settings.production and is_loopback(host):
        return []
    return [*_way(settings, host), *_secrets(settings), *_trust(settings)]


def _way(settings: Settings, host: str) -> Iterator[str]:
    if not settings.production:
        yield (
            f"issuer is {settings.issuer}, but the server listens on {host}: set ADMIT_ISSUER to the https URL under "
            "which it is reached, or listen on 127.0.0.1"
        )
    elif settings.issuer.startswith("http://"):
        yield "issuer is http: tokens and passwords would travel in the clear; set ADMIT_ISSUER=https://…"
    mail = settings.mail
    if mail.host is not None and mail.tls == "none" and not is_loopback(mail.host):
        yield "mail.tls is none: reset links would travel in the clear; set ADMIT_MAIL__TLS=starttls"


def _secrets(settings: Settings) -> Iterator[str]:
    if settings.secret is None:
        yield "ADMIT_SECRET is not set: make one with `admit secret` and keep it outside the code"
    if profile_of(settings.passwords.hash).for_tests:
        yield f"passwords.hash is {settings.passwords.hash}, a cost for tests: set ADMIT_PASSWORDS__HASH=argon2id"
    if settings.database in ("sqlite://", "sqlite:///:memory:"):
        yield "database is in memory: revocations and accounts would be lost at each restart; set ADMIT_DATABASE"


def _trust(settings: Settings) -> Iterator[str]:
    for origin in settings.cors.origins:
        parts = urlsplit(origin)
        if "*" in origin or origin == "null":
            yield f"cors.origins holds {origin}: name each origin exactly, as in https://app.example.com"
        elif parts.scheme != "https" and not is_loopback(parts.hostname or ""):
            yield f"cors.origins holds {origin}: whoever can change its pages on the way can call us; use https"
    for network in settings.trusted_proxies:
        if ipaddress.ip_network(network, strict=False).prefixlen == 0:
            yield f"trusted_proxies holds {network}: anyone could invent their address; name your proxies"
    for name in settings.hosts:
        if "*" in name:
            yield f"hosts holds {name}: name each host exactly"
