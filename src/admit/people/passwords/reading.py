"""Reading a password: one form for the policy and for every hash, or the reason why it cannot be one."""

from __future__ import annotations

import unicodedata

MAX_CODE_POINTS = 1024
# NFC joins at most four code points into one: past this nothing fits, and a megabyte is not even normalised
_MAX_RAW = 4 * MAX_CODE_POINTS


def too_long(password: str) -> bool:
    """More than 1024 code points after NFC (NIST SP 800-63B-4 section 3.1.1.2 counts code points)."""
    return len(password) > _MAX_RAW or len(unicodedata.normalize("NFC", password)) > MAX_CODE_POINTS


def unreadable(password: str) -> bool:
    """A control character, NUL among them, or half of a surrogate pair.

    bcrypt ends at a NUL in some libraries, and a lone surrogate has no UTF-8: such a password would be
    stored by one system and never matched by the next.
    """
    return any(unicodedata.category(ch) in {"Cc", "Cs"} for ch in password)


def read(password: str) -> str | None:
    """`password` in NFC, or None when it is too long or unreadable."""
    if len(password) > _MAX_RAW or unreadable(password):
        return None
    normal = unicodedata.normalize("NFC", password)
    return normal if len(normal) <= MAX_CODE_POINTS else None
