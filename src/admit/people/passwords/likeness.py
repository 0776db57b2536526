"""Whether a password says no more than a name that everybody knows: the username, the e-mail, the service."""

from __future__ import annotations

from collections.abc import Iterable

from admit.people.passwords.folding import squeeze, trimmed

_SHORTEST_NAME = 3  # a username of two letters is inside half of all phrases
_SHORTEST_WORD = 4
_LONGEST_NAME = 64  # bounds the comparison, whose cost is the product of both lengths
_REST = 8  # what must be left beside the name of the service (ASVS 6.2.1: no password is shorter)


def names_of(username: str | None, email: str | None) -> set[str]:
    """The names to compare with: the username and the local part of the address, also without its `+tag`."""
    local = (email or "").rpartition("@")[0] or (email or "")
    found = (username or "", (username or "").partition("@")[0], local, local.partition("+")[0])
    return {name[:_LONGEST_NAME] for name in found if squeeze(name)}


def contains_name(password: str, names: Iterable[str]) -> bool:
    """`password` holds a name of three letters or more, forwards or backwards, in any case or leet
    spelling.
    """
    text = squeeze(password)
    units = {squeeze(name) for name in names}
    return any(unit in text or unit[::-1] in text for unit in units if len(unit) >= _SHORTEST_NAME)


def derives_from(password: str, names: Iterable[str]) -> bool:
    """`password` is a name and nothing else: itself, reversed, repeated, in leet, with a year or other
    filling.

    A phrase that only contains the name is none of these (NIST SP 800-63B-4 section 3.1.1.2: the whole
    password is compared, not its parts).
    """
    forms = trimmed(password)
    units = {form for name in names for form in _unit_forms(name)}
    return any(_repeats(form, unit) or _repeats(form, unit[::-1]) for form in forms for unit in units)


def resembles(password: str, names: Iterable[str]) -> bool:
    """`password` without filling is a name with at most one letter in four changed, added or left out."""
    forms = trimmed(password)
    units = {form for name in names for form in _unit_forms(name) if len(form) >= _SHORTEST_WORD}
    return any(_within(form, unit, len(unit) // 4) for form in forms for unit in units)


def holds_word(password: str, words: Iterable[str]) -> bool:
    """`password` holds one of `words` (four letters or more) anywhere."""
    text = squeeze(password)
    return any(word in text for word in map(squeeze, words) if len(word) >= _SHORTEST_WORD)


def only_words(password: str, words: Iterable[str]) -> bool:
    """Less than eight letters and digits are left of `password` once `words` are taken out, and one was
    in it.
    """
    text = rest = squeeze(password)
    # longest first: "acme" taken out of "acmebank" would hide the longer word
    for word in sorted(filter(None, map(squeeze, words)), key=len, reverse=True):
        rest = rest.replace(word, "")
    return rest != text and len(rest) < _REST


def _unit_forms(name: str) -> set[str]:
    whole = squeeze(name)
    return {whole, *(form for form in trimmed(name) if len(form) >= _SHORTEST_WORD)}


def _repeats(text: str, unit: str) -> bool:
    times, left = divmod(len(text), len(unit))
    return times > 0 and left == 0 and unit * times == text


def _within(left: str, right: str, limit: int) -> bool:
    """Whether the edit distance (Levenshtein) of both is at most `limit`."""
    if abs(len(left) - len(right)) > limit:
        return False
    row = list(range(len(right) + 1))
    for index, ch in enumerate(left, 1):
        above, row[0] = row[0], index
        for place, other in enumerate(right, 1):
            above, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, above + (ch != other))
        if min(row) > limit:
            return False
    return row[-1] <= limit
