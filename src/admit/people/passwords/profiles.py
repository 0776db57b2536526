"""How dear a hash is: named costs for new hashes, and the bounds within which a stored hash is computed
at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from admit.ground.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Profile:
    """Cost of new hashes: `memory` KiB, `passes` and `lanes` for argon2id, `cost` (log2 of rounds) for
    bcrypt.
    """

    name: str
    scheme: Literal["argon2id", "bcrypt"]
    memory: int = 0
    passes: int = 0
    lanes: int = 0
    cost: int = 0
    for_tests: bool = False  # far below any advice; settings refuse it outside tests


# The argon2id costs are those of the OWASP Password Storage Cheat Sheet and ASVS 5.0 appendix C, all alike in
# strength, and the second choice of RFC 9106 section 4. bcrypt: cost 10 or more there, 12 by mission S9.
PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("argon2id", "argon2id", memory=19 * 1024, passes=2, lanes=1),
        Profile("argon2id-46", "argon2id", memory=46 * 1024, passes=1, lanes=1),
        Profile("argon2id-12", "argon2id", memory=12 * 1024, passes=3, lanes=1),
        Profile("argon2id-64", "argon2id", memory=64 * 1024, passes=3, lanes=4),
        Profile("bcrypt", "bcrypt", cost=12),
        Profile("cheap", "argon2id", memory=8, passes=1, lanes=1, for_tests=True),
        Profile("cheap-bcrypt", "bcrypt", cost=4, for_tests=True),
    )
}


def profile_of(name: str) -> Profile:
    """The profile called `name`; `SettingsError` when there is none."""
    if name not in PROFILES:
        raise SettingsError(f"password.hash is {name!r}; it must be one of {', '.join(PROFILES)}")
    return PROFILES[name]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one verification may cost.

    The parameters stand in the stored hash. Without a bound, one imported row with 4 GiB or a billion
    rounds takes a hash thread, or the whole service, with each login attempt. Past a bound the hash
    counts as malformed.
    """

    memory: int = 256 * 1024  # KiB, argon2 and scrypt
    argon2_work: int = 2 * 1024 * 1024  # memory x passes
    lanes: int = 16
    bcrypt_cost: int = 15
    pbkdf2_rounds: int = 3_000_000  # Django 6 and OWASP ask for 0.6 to 1.4 million
    scrypt_work: int = 2**22  # N x r x p; OWASP's dearest is 2^20
    stored: int = 512  # characters of a stored hash
