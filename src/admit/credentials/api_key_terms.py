"""What may be asked of an API key: its name, scopes, expiry and limit, and who asks."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Final

from admit.ground.clock import micros
from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.settings.sections import KeySettings

MAX_NAME = 100
LONGEST = micros(timedelta(days=36_500))  # a year of five digits breaks every reader of the date
LONGEST_OVERLAP = timedelta(days=30)
SHORTEST_WINDOW = micros(timedelta(seconds=1))
LONGEST_WINDOW = micros(timedelta(days=1))
ADMIN = "admit:admin"

#: control, bidirectional and other invisible characters, lone surrogates, unassigned code points, line breaks
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class Leave(Enum):
    """The value of a field that a change does not touch; None has a meaning of its own there."""

    AS_IS = "as is"


AS_IS: Final = Leave.AS_IS


@dataclass(frozen=True, slots=True)
class By:
    """Who asks: the scopes that their own credential holds now, how they came, and their public id if not the owner."""

    held: frozenset[str]
    via: Via = field(default_factory=Via)
    actor: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a new key shall be. `expires_at` in microseconds, None for never (or for the longest life that is set);
    `limit` is (hits, per microseconds), None for the default.
    """

    name: str
    scopes: frozenset[str]
    expires_at: int | None = None
    limit: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """What shall change of a key; a field that is not given stays as it is."""

    name: str | Leave = AS_IS
    scopes: frozenset[str] | Leave = AS_IS
    expires_at: int | Leave | None = AS_IS
    limit: tuple[int, int] | Leave | None = AS_IS
    disabled: bool | Leave = AS_IS


def name(text: str) -> str:
    """`text` as it is stored; refuses (`api_key.name`) what a list could not show as one honest line."""
    shown = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(shown) <= MAX_NAME:
        raise wrong("name", f"Between 1 and {MAX_NAME} characters")
    if any(unicodedata.category(letter) in _UNSEEN for letter in shown):
        raise wrong("name", "Only visible characters")
    return shown


def expiry(asked: int | None, now: int, settings: KeySettings) -> int | None:
    """When a key shall expire (microseconds); refuses (`api_key.expiry`) the past and more than may be had."""
    longest = None if settings.expires_after is None else now + micros(settings.expires_after)
    if asked is None:
        return longest
    if asked <= now:
        raise wrong("expires_at", "A time in the future", "api_key.expiry")
    if asked > (now + LONGEST if longest is None else longest):
        raise wrong("expires_at", "Too far in the future", "api_key.expiry")
    return asked


def limit(asked: tuple[int, int] | None, held: frozenset[str], settings: KeySettings) -> tuple[int, int] | None:
    """A key's own limit (hits, per microseconds); refuses (`api_key.limit`) nonsense and, unless an administrator
    asks, more than the default: a limit that its owner can lift limits nobody.
    """
    if asked is None:
        return None
    hits, per = asked
    # more than one hit a microsecond cannot be counted: such a key would fail at every use
    if not (1 <= hits <= min(2**31 - 1, per) and SHORTEST_WINDOW <= per <= LONGEST_WINDOW):
        raise wrong("limit", "At least one hit, per one second up to one day", "api_key.limit")
    more = hits > settings.limit or hits * micros(settings.limit_per) > settings.limit * per
    if more and ADMIN not in held:
        raise wrong("limit", "Not more than the default", "api_key.limit")
    return hits, per


def overlap(asked: timedelta | None, settings: KeySettings) -> int:
    """How long the old secret lives beside the new one (microseconds); refuses (`api_key.overlap`)."""
    wanted = settings.overlap if asked is None else asked
    if not timedelta(0) <= wanted <= max(LONGEST_OVERLAP, settings.overlap):
        raise wrong("overlap", f"From nothing to {LONGEST_OVERLAP.days} days", "api_key.overlap")
    return micros(wanted)


def wrong(field_: str, message: str, reason: str = "api_key.name") -> Refusal:
    """The refusal of one field."""
    return Refusal(reason, fields={"errors": [{"field": field_, "message": message}]})
