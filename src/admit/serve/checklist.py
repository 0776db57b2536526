"""What the settings alone say about safety: the one list of checks, for the start of a server and for `admit doctor`.

Rows are those of the checklist (T1 to A6). A critical finding stops the start in production (`safety.check`).
"""

from __future__ import annotations

import ipaddress
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlsplit

from admit.ground.clock import micros
from admit.ground.errors import SettingsError
from admit.people.passwords import policy_of, profile_of
from admit.settings import Settings
from admit.settings.settings import is_loopback

Risk = Literal["critical", "high", "medium", "low"]

MINUTE = timedelta(minutes=1)
# mission S2 and S10: the numbers of the checklist, and how far beyond them a setting is no longer a matter of taste
ACCESS_FOR, ACCESS_AT_MOST = timedelta(minutes=15), timedelta(hours=1)
REFRESH_IDLE, REFRESH_AT_MOST = timedelta(days=7), timedelta(days=30)
SESSION_AT_MOST = timedelta(days=30)
SHORTEST_PASSWORD = 12
LOGINS_AT_MOST = 30  # a minute and identifier; NIST SP 800-63B-4 section 3.2.2 asks for throttling, OWASP for a few
KEY_HITS_AT_MOST = 100_000
MAILS_AT_MOST = 60
FAILURES_AT_MOST = 100  # NIST SP 800-63B-4 section 3.2.2
_WIDE = 1024  # addresses in a network of "proxies" that is more than a rack of them
_IN_MEMORY = ("sqlite://", "sqlite:///:memory:")


class Unsafe(NamedTuple):
    """A setting that weakens a line of the checklist. `fails`: the line does not hold; else it only deserves a look."""

    row: str
    risk: Risk
    fails: bool
    setting: str
    why: str
    mend: str

    @property
    def stops(self) -> bool:
        """Whether a server that strangers can reach must not start like that."""
        return self.fails and self.risk == "critical"


class Weakening(NamedTuple):
    """A setting that is weaker than it could be, on purpose or by default: told, not judged."""

    setting: str
    value: str
    meaning: str


def _https(at: Settings) -> Iterator[Unsafe]:
    if at.production and at.issuer.startswith("http://"):
        yield Unsafe(
            "T1", "critical", True, "issuer", "The issuer is http: tokens and passwords would travel in the clear.",
            "Set ADMIT_ISSUER=https://…, and let a proxy or the server itself end TLS.",
        )  # fmt: skip
    for network in at.trusted_proxies:
        addresses = ipaddress.ip_network(network, strict=False)
        if addresses.num_addresses > _WIDE:
            yield Unsafe(
                "T1", "critical" if addresses.prefixlen == 0 else "high", True, "trusted_proxies",
                f"trusted_proxies holds {network}: anyone in it could pretend https and any address.",
                "Name the addresses of your proxies.",
            )  # fmt: skip
    mail = at.mail
    if mail.host is not None and mail.tls == "none" and not is_loopback(mail.host):
        yield Unsafe(
            "T1", "critical", True, "mail.tls", "mail.tls is none: reset links would travel in the clear.",
            "Set ADMIT_MAIL__TLS=starttls.",
        )  # fmt: skip


def _life(at: Settings) -> Iterator[Unsafe]:
    limits = (
        ("tokens.access_for", at.tokens.access_for, ACCESS_FOR, ACCESS_AT_MOST, "Access tokens live"),
        ("tokens.refresh_idle", at.tokens.refresh_idle, REFRESH_IDLE, REFRESH_AT_MOST, "Unused refresh tokens live"),
        ("sessions.absolute", at.sessions.absolute, SESSION_AT_MOST, SESSION_AT_MOST, "Sessions live"),
        ("tokens.refresh_grace", at.tokens.refresh_grace, MINUTE, 5 * MINUTE, "A used refresh token still works for"),
        ("tokens.leeway", at.tokens.leeway, 2 * MINUTE, 10 * MINUTE, "Other clocks may differ by"),
    )
    for setting, value, wished, most, words in limits:
        if value > wished:
            yield Unsafe(
                "T2", "high", value > most, setting, f"{words} {value}.",
                f"Set {setting} to {wished} or less: what is stolen works until it expires.",
            )  # fmt: skip


def _secrets(at: Settings) -> Iterator[Unsafe]:
    if at.production and at.secret is None:
        yield Unsafe(
            "T3", "critical", True, "secret", "ADMIT_SECRET is not set.",
            "Make one with `admit secret` and keep it outside the code: in the environment or admit.env (chmod 600).",
        )  # fmt: skip
    kept = at.run_directory / "secret"
    if at.secret is None and _readable_by_others(kept):
        yield Unsafe(
            "T3", "high", True, "run_directory", f"{kept} can be read by other users of this machine.",
            f"chmod 600 {kept}",
        )  # fmt: skip


def _hashes(at: Settings) -> Iterator[Unsafe]:
    name = at.passwords.hash
    if profile_of(name).for_tests:
        yield Unsafe(
            "P1", "critical", True, "passwords.hash",
            f"passwords.hash is {name}, a cost for tests: a graphics card tries millions of passwords a second.",
            "Set ADMIT_PASSWORDS__HASH=argon2id, or bcrypt.",
        )  # fmt: skip


def _policy(at: Settings) -> Iterator[Unsafe]:
    least = policy_of(at.passwords.policy).min_length
    if least < SHORTEST_PASSWORD:
        yield Unsafe(
            "P2", "high", True, "passwords.policy", f"The policy {at.passwords.policy!r} takes {least} characters.",
            "Take the policy classic (12 characters) or nist (15).",
        )  # fmt: skip


def _guesses(at: Settings) -> Iterator[Unsafe]:
    a_minute = at.limits.login * MINUTE / at.limits.per
    if a_minute > LOGINS_AT_MOST:
        yield Unsafe(
            "P5", "high", True, "limits.login", f"{a_minute:.0f} guesses a minute are allowed at one account.",
            "Set limits.login to 5 a minute.",
        )  # fmt: skip
    if at.passwords.disable_after > FAILURES_AT_MOST:
        yield Unsafe(
            "P5", "medium", False, "passwords.disable_after",
            f"{at.passwords.disable_after} wrong guesses in a row pass before a password is disabled.",
            f"Set passwords.disable_after to {FAILURES_AT_MOST} or less.",
        )  # fmt: skip


def _limits(at: Settings) -> Iterator[Unsafe]:
    a_minute = at.api_keys.limit * micros(MINUTE) // max(1, micros(at.api_keys.limit_per))
    if a_minute > KEY_HITS_AT_MOST:
        yield Unsafe(
            "A2", "medium", True, "api_keys.limit", f"An API key may call {a_minute} times a minute.",
            "Set api_keys.limit to what one client needs: 1000 a minute unless a key says otherwise.",
        )  # fmt: skip
    for setting, allowed in (("limits.register", at.limits.register_), ("limits.forgot", at.limits.forgot)):
        if allowed * MINUTE / at.limits.per > MAILS_AT_MOST:
            yield Unsafe(
                "A2", "medium", True, setting, f"{setting} allows {allowed} in {at.limits.per}.",
                f"Set {setting} to a handful a minute: each one may send a mail.",
            )  # fmt: skip


def _origins(at: Settings) -> Iterator[Unsafe]:
    for origin in at.cors.origins:
        parts = urlsplit(origin)
        if "*" in origin or origin == "null" or parts.scheme not in ("http", "https") or not parts.hostname:
            yield Unsafe(
                "A3", "critical", True, "cors.origins", f"cors.origins holds {origin}, which is no exact origin.",
                "Name each origin exactly, as in https://app.example.com.",
            )  # fmt: skip
        elif at.production and parts.scheme == "http" and not is_loopback(parts.hostname):
            yield Unsafe(
                "A3", "critical", True, "cors.origins",
                f"cors.origins holds {origin}: whoever can change its pages on the way can call us.",
                "Use its https origin.",
            )  # fmt: skip
    for name in at.hosts:
        if "*" in name:
            yield Unsafe(
                "A3",
                "critical",
                True,
                "hosts",
                f"hosts holds {name}, which is no host name.",
                "Name each host exactly.",
            )


def _log(at: Settings) -> Iterator[Unsafe]:
    if at.production and at.database in _IN_MEMORY:
        yield Unsafe(
            "A5", "critical", True, "database",
            "The database is in memory: revocations, accounts and the log would be lost at each restart.",
            "Set ADMIT_DATABASE.",
        )  # fmt: skip


CHECKS: tuple[Callable[[Settings], Iterator[Unsafe]], ...] = (
    _https, _life, _secrets, _hashes, _policy, _guesses, _limits, _origins, _log,
)  # fmt: skip


def unsafe(settings: Settings, files: Mapping[Path, Mapping[str, Any]] | None = None) -> list[Unsafe]:
    """Everything that the settings weaken, in the order of the checklist. `files`: TOML files they were read from."""
    found = [one for check in CHECKS for one in check(settings)]
    found += [one for path, content in (files or {}).items() for one in _in_file(settings, path, content)]
    return found


def weakenings(settings: Settings) -> list[Weakening]:
    """The weaker choices in use, each with what it means."""
    found = [Weakening(one.setting, f"line {one.row}", one.why) for one in unsafe(settings)]
    if not settings.secure:
        found.append(Weakening("issuer", settings.issuer, "Plain http on this machine only; cookies are not Secure."))
    if settings.tokens.algorithm == "HS256":
        found.append(Weakening("tokens.algorithm", "HS256", "Whoever can verify tokens can also make them."))
    if settings.passwords.policy == "classic":
        found.append(
            Weakening("passwords.policy", "classic", "Four classes in 12 characters; nist asks for 15 of any kind.")
        )
    if settings.debug_docs:
        found.append(Weakening("debug_docs", "true", "/docs, /openapi.json and /metrics are open."))
    if settings.production and settings.mail.host is None:
        found.append(Weakening("mail.host", "not set", "No mail is sent; links wait in the outbox table."))
    return found


def config_files(environ: Mapping[str, str]) -> dict[Path, Mapping[str, Any]]:
    """The TOML file that the settings are read from, if there is one; `SettingsError` when it cannot be read."""
    path = Path(environ.get("ADMIT_CONFIG", "admit.toml"))
    if not path.is_file():
        return {}
    try:
        return {path: tomllib.loads(path.read_text("utf-8"))}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _in_file(at: Settings, path: Path, content: Mapping[str, Any]) -> Iterator[Unsafe]:
    for name in _secret_names(content):
        yield Unsafe(
            "T3", "critical" if at.production else "high", True, name, f"{path} holds the secret {name}.",
            f"Take it out of {path} (and out of version control), set ADMIT_{name.upper().replace('.', '__')} in the "
            "environment or in admit.env, and make a new one: the old one has been in a file for all to read.",
        )  # fmt: skip


def _secret_names(content: Mapping[str, Any]) -> Iterator[str]:
    if content.get("secret"):
        yield "secret"
    for section, name in (("tokens", "hs256_secret"), ("mail", "password")):
        if isinstance(inner := content.get(section), Mapping) and inner.get(name):
            yield f"{section}.{name}"
    for name in ("database", "valkey"):
        if _has_password(content.get(name)):
            yield name


def _has_password(url: object) -> bool:
    try:
        return isinstance(url, str) and bool(urlsplit(url).password)
    except ValueError:
        return False


def _readable_by_others(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:
        return False
