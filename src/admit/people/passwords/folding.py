"""Folding: what guessers undo before they compare (case, leet spelling, digits and symbols put at the end).

Everything here is a pure function on text. Two strings that fold alike are one guess to a cracking tool.
"""

from __future__ import annotations

import unicodedata

# i, l, 1, ! and | become one letter: a reader cannot tell which of the two letters "1" stands for
_LEET = str.maketrans("01l!|34@5$7+89", "oiiiieaassttbg")

SHORTEST_BODY = 4  # "Abc!48#29$17" must not be taken for "abc": three letters say nothing about the rest
_LONGEST_TAIL = 12  # past that a tail of many different characters is a secret of its own
_DULL_TAIL = 4  # a tail of at most so many different characters is filling, however long it is


def plain(text: str) -> str:
    """Case and compatibility forms undone: full-width, ligatures and capitals become plain letters."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def unleet(text: str) -> str:
    """Leet characters as the letters they stand for."""
    return text.translate(_LEET)


def squeeze(text: str) -> str:
    """Plain, without leet, and without anything that is neither letter nor digit."""
    return "".join(ch for ch in unleet(plain(text)) if ch.isalnum())


def body_end(text: str) -> int:
    """Where the digits and symbols at the end of `text` begin; `len(text)` when they are no mere filling."""
    end = len(text)
    while end and not text[end - 1].isalpha():
        end -= 1
    tail = text[end:]
    return end if len(tail) <= _LONGEST_TAIL or len(set(tail)) <= _DULL_TAIL else len(text)


def entry_key(entry: str) -> str:
    """The form in which an entry of a list of common passwords is kept."""
    text = plain(entry)
    end = body_end(text)
    return unleet(text[:end] if end >= SHORTEST_BODY else text)


def lookup_keys(password: str) -> set[str]:
    """The forms of which none may be the key of a common password.

    Each cut inside the tail is tried, because its first characters may be letters in disguise:
    `princ3$$2024` is `princess` and a year. Without a body of four letters only the symbols at the end
    are undone.
    """
    text = plain(password)
    end = body_end(text)
    if end < SHORTEST_BODY:
        bare = len(text)
        while bare and not text[bare - 1].isalnum():
            bare -= 1
        return {unleet(text), unleet(text[:bare])} if bare >= SHORTEST_BODY else {unleet(text)}
    # a dull tail may be a thousand characters long; the letters in disguise are at its beginning
    cuts = range(end, min(len(text), end + _LONGEST_TAIL) + 1)
    return {unleet(text), *(unleet(text[:cut]) for cut in cuts)}


def trimmed(text: str) -> set[str]:
    """The squeezed forms of `text` with filling taken from its end, its beginning, both, neither or
    anywhere.
    """
    flat = plain(text)
    end = body_end(flat)
    start = len(flat) - body_end(flat[::-1])
    letters = "".join(ch for ch in flat if ch.isalpha())
    forms = {flat, flat[:end], flat[start:], flat[start:end]}
    if len(flat) - len(letters) <= _LONGEST_TAIL:
        forms.add(letters)
    return {form for form in map(squeeze, forms) if form}
