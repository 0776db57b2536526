"""What a new password must be. A policy is a value; it finds every reason against a password at once.

`classic` is the default by the wish of the person Admit is built for; it demands character classes, which
NIST SP 800-63B-4 section 3.1.1.2 and ASVS 6.2.5 advise against. `nist` follows both.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from admit.ground.errors import SettingsError
from admit.people.passwords import likeness, reading
from admit.people.passwords.common import is_common

FLOOR = 8  # ASVS 6.2.1 and NIST 3.1.1.2: never shorter, whatever else is asked for


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules for new passwords; lengths in code points after NFC, `max_bytes` in UTF-8 (bcrypt reads
    only 72).

    `names`: "contain" refuses a password that contains or resembles the username or the local part of the
    address, "derive" one that is made of nothing else.
    """

    name: str
    min_length: int
    classes: bool
    names: Literal["contain", "derive"]
    max_length: int = reading.MAX_CODE_POINTS
    max_bytes: int | None = None

    def check(
        self,
        password: str,
        *,
        username: str | None = None,
        email: str | None = None,
        context: tuple[str, ...] = (),
    ) -> list[str]:
        """Every private reason (`password.*` of ground/codes.py) against `password`; empty when it may be
        taken.

        Never raises. `context` are the words that a guesser tries here first: the service, the brand, the
        host.
        """
        if reading.too_long(password):
            # said alone: the other rules cost time in proportion to the length
            return ["password.too_long"]
        text = unicodedata.normalize("NFC", password)
        return [
            *self._shape(text),
            *self.lacking(text),
            *(("password.too_common",) if is_common(text) else ()),
            *(("password.like_username",) if self._like_name(text, username, email) else ()),
            *(("password.context",) if self._context(text, context) else ()),
        ]

    def _shape(self, text: str) -> Iterator[str]:
        if reading.unreadable(text):
            yield "password.unreadable"
        if len(text) < self.min_length:
            yield "password.too_short"
        size = len(text.encode("utf-8", "surrogatepass"))
        if len(text) > self.max_length or (self.max_bytes is not None and size > self.max_bytes):
            yield "password.too_long"

    def lacking(self, text: str) -> list[str]:
        """The reasons `password.no_*` for the character classes that the policy demands and `text` has not."""
        if not self.classes:
            return []
        present = {
            "password.no_upper": any(ch.isupper() for ch in text),
            "password.no_lower": any(ch.islower() for ch in text),
            "password.no_digit": any(ch.isdigit() for ch in text),
            # any printable that is neither letter nor digit, the space among them
            "password.no_symbol": any(ch.isprintable() and not ch.isalnum() for ch in text),
        }
        return [reason for reason, found in present.items() if not found]

    def _like_name(self, text: str, username: str | None, email: str | None) -> bool:
        names = likeness.names_of(username, email)
        if likeness.derives_from(text, names):
            return True
        return self.names == "contain" and (likeness.contains_name(text, names) or likeness.resembles(text, names))

    def _context(self, text: str, words: tuple[str, ...]) -> bool:
        if likeness.only_words(text, words):
            return True
        return self.names == "contain" and likeness.holds_word(text, words)


POLICIES: dict[str, Policy] = {
    "classic": Policy("classic", min_length=12, classes=True, names="contain"),
    "nist": Policy("nist", min_length=15, classes=False, names="derive"),
}


def policy_of(name: str, *, min_length: int | None = None, max_bytes: int | None = None) -> Policy:
    """The policy called `name`. `max_bytes` is that of the hasher in use (`Hasher.max_bytes`).

    `min_length` replaces the policy's own, for example 8 where a second factor is always asked for (NIST
    3.1.1.2). Raises `SettingsError` for a name that does not exist and for a length outside 8 to 64
    (NIST: allow at least 64).
    """
    if name not in POLICIES:
        raise SettingsError(f"password.policy is {name!r}; it must be one of {', '.join(POLICIES)}")
    policy = POLICIES[name]
    length = policy.min_length if min_length is None else min_length
    if not FLOOR <= length <= 64:
        raise SettingsError(f"password.min_length is {length}; it must be from {FLOOR} to 64")
    return replace(policy, min_length=length, max_bytes=max_bytes)
