"""Usernames and e-mail addresses in one canonical form each. What is compared is never what was typed.

Both are ASCII once canonical, so no two spellings that a database or a mail server folds together can belong to two
accounts (CVE-2019-19844: `mike@example.org` with a dotless i). Mail goes to the stored address, never to the typed one.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import idna

from admit.ground.errors import Refusal

IdentifierKind = Literal["username", "email"]

_USERNAME = re.compile(r"[A-Za-z0-9._-]{2,64}", re.ASCII)
# the dot-atom of RFC 5322 section 3.2.3; quoted local parts exist to smuggle spaces and colons past such checks
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*", re.ASCII)
_LOCAL_LENGTH = 64  # RFC 5321 section 4.5.3.1.1
ADDRESS_LENGTH = 254  # RFC 5321 section 4.5.3.1.3 less the angle brackets
_TYPED_LENGTH = 320  # before IDNA looks at it, whose work grows with the length

_WRONG: dict[str, str] = {
    "username": "2 to 64 letters a-z, digits, dots, hyphens and underscores, with at least one letter or digit",
    "email": "Not a valid e-mail address",
}


class Identifier(NamedTuple):
    """`value` is what is stored and compared; `shown` is as its owner typed it (the domain of an address in ASCII)."""

    kind: IdentifierKind
    value: str
    shown: str


def username(text: str) -> Identifier | None:
    """`text` as a username; None when it cannot be one. Never holds `@`, so it is never taken for an address."""
    if not _USERNAME.fullmatch(text) or not any(ch.isalnum() for ch in text):
        return None
    return Identifier("username", text.lower(), text)


def email(text: str) -> Identifier | None:
    """`text` as an e-mail address; None when it cannot be one."""
    local, at, domain = text.partition("@")
    if len(text) > _TYPED_LENGTH or not at or len(local) > _LOCAL_LENGTH or not _LOCAL.fullmatch(local):
        return None
    host = _domain(domain)
    if host is None or len(local) + 1 + len(host) > ADDRESS_LENGTH:
        return None
    return Identifier("email", f"{local.lower()}@{host}", f"{local}@{host}")


def read(text: str) -> Identifier | None:
    """What someone typed at a login: an address if it holds `@`, else a username; None matches no account."""
    return email(text) if "@" in text else username(text)


def parse(kind: IdentifierKind, text: str) -> Identifier:
    """`text` as an identifier of that kind; refuses (`register.identifier`) with the field and what it must be."""
    found = email(text) if kind == "email" else username(text)
    if found is None:
        raise wrong(kind, _WRONG[kind])
    return found


def wrong(field: str, message: str) -> Refusal:
    """The refusal of one form field."""
    return Refusal("register.identifier", fields={"errors": [{"field": field, "message": message}]})


def _domain(text: str) -> str | None:
    """The domain in ASCII lower case (IDNA 2008, UTS 46), with two labels at least, or a name such as localhost."""
    if not text or text.startswith(".") or text.endswith("."):
        return None
    try:
        host = idna.encode(text, uts46=True, std3_rules=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return None
    labels = host.split(".")
    # an address literal or a bare number is no name that a person has mail at
    return None if labels[-1].isdigit() else host
