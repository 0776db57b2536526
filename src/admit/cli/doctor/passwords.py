"""The lines P1 to P5: how passwords are kept and guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from admit.cli.doctor.answers import Answer
from admit.cli.doctor.verdicts import Found, Setup, skipped
from admit.people.passwords import Bounds
from admit.people.passwords.formats import recognise
from admit.serve.checklist import SHORTEST_PASSWORD

Form = Literal["good", "cheap", "older", "fast", "none", "plain"]

# OWASP Password Storage Cheat Sheet: 19 MiB x 2, 12 MiB x 3, 9 MiB x 4, 7 MiB x 5 are alike; the least of them
LEAST_ARGON2_WORK = 35_000  # KiB x passes
LEAST_BCRYPT_COST = 10
_ARGON2 = re.compile(r"(?:argon2)?\$argon2(?:id|i|d)\$(?:v=\d+\$)?m=(\d{1,9}),t=(\d{1,9})")
_BCRYPT = re.compile(
    r"(?:bcrypt(?:_sha256)?\$)?\$2[aby]\$(\d{2})\$|\$bcrypt-sha256\$(?:v=2,t=)?2[ab],(?:r=)?(\d{1,2})\$"
)
# hashes made to be quick: hexadecimal digests, LDAP schemes, crypt(3) of last century, Django's unsalted ones
_FAST = re.compile(
    r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{56}|[0-9a-fA-F]{64}|[0-9a-fA-F]{96}|[0-9a-fA-F]{128}"
    r"|\{(?:S?SHA\d*|S?MD5)\}.+|\$1\$.+|(?:unsalted_)?(?:md5|sha1|sha224|sha256|sha512)\$.*)"
)
# a skipped hash is ten times as quick and more; below this factor it is the weather of a busy machine
TELLING_FACTOR = 2.5
TELLING_SECONDS = 0.004
_BOUNDS = Bounds()
_UPGRADED = "They are upgraded at the next sign-in; ask for a reset where none comes."


def form_of(stored: str) -> Form:
    """How a stored password is kept. `none`: a mark that no password matches."""
    if stored in ("", "!", "*") or stored.startswith("!"):
        return "none"
    if recognise(stored, _BOUNDS) is None:
        return "fast" if _FAST.fullmatch(stored) else "plain"
    if found := _ARGON2.match(stored):
        return "good" if int(found[1]) * int(found[2]) >= LEAST_ARGON2_WORK else "cheap"
    if found := _BCRYPT.match(stored):
        return "good" if int(found[1] or found[2]) >= LEAST_BCRYPT_COST else "cheap"
    return "older"


def slow_hash(setup: Setup) -> Iterator[Found]:
    """P1 bcrypt or argon2."""
    if setup.kept is None:
        return
    forms = [form_of(stored) for _, stored in setup.kept.hashes]
    if fast := forms.count("fast"):
        yield Found(
            "fail", f"{fast} passwords are kept as quick hashes, which are guessed by the billion.",
            "Have those people choose new passwords (`admit users disable`, then a reset by mail).",
        )  # fmt: skip
    if cheap := forms.count("cheap"):
        yield Found(
            "warn", f"{cheap} passwords are kept as cheap argon2 or bcrypt.", "They are upgraded at the next sign-in."
        )
    if older := forms.count("older"):
        yield Found(
            "warn", f"{older} passwords are kept as PBKDF2 or scrypt, as they were imported.",
            _UPGRADED, "low",
        )  # fmt: skip


def length(setup: Setup) -> Iterator[Found]:
    """P2 twelve characters."""
    seen = setup.seen
    if seen is None:
        return
    if seen.short is None or seen.short.code in ("registration_refused", "rate_limited"):
        yield from skipped(seen, "short_password")
        if seen.short is not None:
            yield Found("not-checked", f"a short password could not be tried ({seen.short.code})")
        return
    codes = {seen.short.code, *(one.get("code") for one in seen.short.json.get("errors", ()) if isinstance(one, dict))}
    if seen.short.status != 422 or "password_too_short" not in codes:
        yield Found(
            "fail", f"A password of {SHORTEST_PASSWORD - 1} characters was not refused for its length.",
            "Take the policy classic or nist and restart the server.",
        )  # fmt: skip


def never_plain(setup: Setup) -> Iterator[Found]:
    """P3 never plain text."""
    kept = setup.kept
    if kept is None:
        return
    plain = [owner for owner, stored in kept.hashes if form_of(stored) == "plain"]
    if plain:
        yield Found(
            "fail", f"{len(plain)} stored passwords are in no form of a hash (first: {plain[0]}).",
            "Take them for known: disable those accounts, reset the passwords, find out what wrote the rows.",
        )  # fmt: skip
    if kept.passwords_in:
        yield Found(
            "fail", f"A password stands in the open in {', '.join(kept.passwords_in)}.", "Find out what writes it."
        )


def constant_time(setup: Setup) -> Iterator[Found]:
    """P4 constant time: an unknown account must not be told from a known one, neither by words nor by the clock."""
    seen = setup.seen
    if seen is None:
        return
    known, unknown = _refused(seen.wrong_known), _refused(seen.wrong_unknown)
    if not known or not unknown:
        yield from skipped(seen, "wrong_passwords")
        if "sign_ins" not in seen.problems:
            yield Found("not-checked", "no wrong password could be tried: the limit of this address is used up")
        return
    mend = "Send every sign-in to the server: nothing in front of it may answer for unknown accounts."
    if {str(answer.says()) for answer in known} != {str(answer.says()) for answer in unknown}:
        yield Found("fail", "Known and unknown accounts are refused with other words.", mend)
        return
    slow, quick = sorted((_times(known), _times(unknown)), reverse=True)
    if (
        slow[0] > TELLING_FACTOR * quick[0]
        and slow[0] - quick[0] > TELLING_SECONDS
        and slow[0] > quick[len(quick) // 2]
    ):
        yield Found(
            "fail", f"Refusing takes {quick[0] * 1000:.0f} ms for one and {slow[0] * 1000:.0f} ms for the other: the "
            "clock tells which accounts exist.", mend,
        )  # fmt: skip


def _times(answers: list[Answer]) -> list[float]:
    return sorted(answer.seconds for answer in answers)


def guesses(setup: Setup) -> Iterator[Found]:
    """P5 rate limit on login."""
    seen = setup.seen
    if seen is None:
        return
    if not seen.flood:
        yield from skipped(seen, "many_guesses")
        return
    last = seen.flood[-1]
    if last.status != 429:
        tries = len(seen.wrong_unknown) + len(seen.flood)
        yield Found(
            "fail", f"{tries} wrong guesses at one account in a row were not slowed down.",
            "Set limits.login to 5 a minute, and see that nothing between hides the 429.",
        )  # fmt: skip
    elif last.header("retry-after") is None:
        yield Found(
            "warn", "The refusal does not say when to try again (Retry-After).", "See what removes the header.", "low"
        )


def _refused(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.status != 429]
