"""Every mail that Admit writes, in one catalogue; one function a mail.

No mail to an address that is not proved holds a word that its cause could choose, or registering other people's
addresses would be a way to write to them. Links are made from the configured issuer, never from a Host header
(OWASP Forgot Password).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from string import Template
from typing import Any
from urllib.parse import urlencode

from admit.ground.clock import SECOND
from admit.outbound.mail import Mail
from admit.settings import Settings


@dataclass(frozen=True, slots=True)
class Text:
    """One entry. `$service`, `$link` and the words of its function are filled in; `page` is where `$link` leads."""

    subject: str
    body: str
    page: str


#: name of the function -> its words; every mail has one link
CATALOGUE: dict[str, Text] = {
    "verify_address": Text(
        "$service: confirm your e-mail address",
        "Please confirm that this address is yours:\n\n$link\n\n"
        "The link works once, for $lasts. If you did not sign up at $service, do nothing.",
        "verify",
    ),
    "change_address": Text(
        "$service: confirm your new e-mail address",
        "Please confirm that this is the new address of your account at $service:\n\n$link\n\n"
        "The link works once, for $lasts. If you did not ask for this, do nothing.",
        "verify",
    ),
    "address_changed": Text(
        "$service: your e-mail address was changed",
        "The account at $service that had this address has another one since $at. Mail for it goes there now.\n\n"
        "If it was not you, someone else is signed in to your account. See what can be done:\n\n$link",
        "login",
    ),
    "reset_password": Text(
        "$service: set a new password",
        "Someone, most likely you, asked to set a new password at $service. Choose one here:\n\n$link\n\n"
        "The link works once, for $lasts. If it was not you, do nothing: your password stays as it is.",
        "reset",
    ),
    "password_disabled": Text(
        "$service: choose a new password",
        "Someone tried many wrong passwords for your account at $service, so its password no longer works. "
        "Your account is untouched. Set a new password here:\n\n$link\n\n"
        "The link works once, for $lasts. You can ask for another one at any time.",
        "reset",
    ),
    "account_exists": Text(
        "$service: you already have an account",
        "Someone, most likely you, signed up at $service with this address. There is an account already; "
        "sign in here:\n\n$link\n\n"
        "There you can also set a new password. If it was not you, do nothing: nothing was changed.",
        "login",
    ),
    "reset_without_account": Text(
        "$service: no account with this address",
        "Someone, most likely you, asked to set a new password at $service. No account has this address. "
        "Perhaps you signed up with another one; sign in here:\n\n$link\n\n"
        "If it was not you, do nothing.",
        "login",
    ),
    "password_changed": Text(
        "$service: your password was changed",
        "The password of your account at $service was changed on $at. All other sign-ins were ended.\n\n"
        "If it was not you, set a new password at once:\n\n$link",
        "forgot",
    ),
    "api_key_created": Text(
        "$service: a new API key",
        'An API key was made for your account at $service on $at: "$name".\n\n'
        "If it was not you, revoke it and change your password:\n\n$link",
        "account",
    ),
    "sign_in_stolen": Text(
        "$service: we ended one of your sign-ins",
        "On $at a sign-in of your account at $service was used from two places, as happens when it is copied. "
        "We ended it, so you have to sign in there again.\n\n"
        "If you see sign-ins that are not yours, end them and change your password:\n\n$link",
        "account",
    ),
}
_LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Service:
    """Who writes, and where the pages are that mails link to."""

    name: str
    pages: str

    @classmethod
    def of(cls, settings: Settings) -> Service:
        """The brand, and the pages under the issuer and prefix."""
        return cls(settings.brand.capitalize(), f"{settings.issuer}{settings.prefix}/ui")

    def link(self, page: str, **query: str) -> str:
        """The address of a page, with its query encoded."""
        return f"{self.pages}/{page}" + (f"?{urlencode(query)}" if query else "")


def verify_address(service: Service, to: str, ticket: str, lasts: timedelta) -> Mail:
    """To a new address: the link that proves it."""
    return _mail(service, "verify_address", to, ticket, lasts=_length(lasts))


def change_address(service: Service, to: str, ticket: str, lasts: timedelta) -> Mail:
    """To the address that an account shall have: the link that proves it."""
    return _mail(service, "change_address", to, ticket, lasts=_length(lasts))


def address_changed(service: Service, to: str, at: int) -> Mail:
    """To the address that an account had until `at` (microseconds UTC). Does not name the new one."""
    return _mail(service, "address_changed", to, at=_moment(at))


def reset_password(service: Service, to: str, ticket: str, lasts: timedelta) -> Mail:
    """To the address of an account: the link that sets a new password."""
    return _mail(service, "reset_password", to, ticket, lasts=_length(lasts))


def password_disabled(service: Service, to: str, ticket: str, lasts: timedelta) -> Mail:
    """After too many failures in a row: the link that sets a new password in place of the disabled one."""
    return _mail(service, "password_disabled", to, ticket, lasts=_length(lasts))


def account_exists(service: Service, to: str) -> Mail:
    """To an address that was registered again, in place of the link to prove it (the answer on the page is alike)."""
    return _mail(service, "account_exists", to)


def reset_without_account(service: Service, to: str) -> Mail:
    """To an address without account for which a reset was asked. Not sent by the flows: it writes to strangers."""
    return _mail(service, "reset_without_account", to)


def password_changed(service: Service, to: str, at: int) -> Mail:
    """After a change or a reset, at `at` (microseconds UTC)."""
    return _mail(service, "password_changed", to, at=_moment(at))


def api_key_created(service: Service, to: str, name: str, at: int) -> Mail:
    """To the owner of a new key: its `name` as it was given, cut to one short line; never the key."""
    return _mail(service, "api_key_created", to, at=_moment(at), name=_one_line(name))


def sign_in_stolen(service: Service, to: str, at: int) -> Mail:
    """After a used refresh token or a session came back from elsewhere and was ended."""
    return _mail(service, "sign_in_stolen", to, at=_moment(at))


def _mail(service: Service, entry: str, to: str, ticket: str | None = None, **words: Any) -> Mail:
    text = CATALOGUE[entry]
    link = service.link(text.page) if ticket is None else service.link(text.page, ticket=ticket)
    filled = {"service": service.name, "link": link, **words}
    body = Template(text.body).substitute(filled)
    return Mail(to, Template(text.subject).substitute(filled), f"{body}\n\n{service.name}\n")


def _length(span: timedelta) -> str:
    minutes = max(1, round(span.total_seconds() / 60))
    for unit, size in (("day", 24 * 60), ("hour", 60)):
        if (minutes >= 2 * size and minutes % size == 0) or minutes == size:
            return f"{minutes // size} {unit}" + ("" if minutes == size else "s")
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at // SECOND, UTC).strftime("%Y-%m-%d at %H:%M UTC")


def _one_line(name: str) -> str:
    # a line break in a name could write a paragraph of its own into the mail
    printable = "".join(letter if letter.isprintable() else " " for letter in name)
    return " ".join(printable.split())[:_LONGEST_NAME]
