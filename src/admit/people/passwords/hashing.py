"""Hashing and verifying passwords. Every call here is slow on purpose: go through `HashPool` from async
code.
"""

from __future__ import annotations

import secrets
from base64 import b64encode
from dataclasses import dataclass

import bcrypt
from argon2.low_level import ARGON2_VERSION, Type, hash_secret

from admit.ground.errors import Refusal
from admit.people.passwords import reading
from admit.people.passwords.formats import BCRYPT_BYTES, recognise
from admit.people.passwords.profiles import PROFILES, Bounds, Profile

SALT_BYTES = 16
DIGEST_BYTES = 32
_BCRYPT_LETTERS = "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`ok`: the password is the right one. `upgrade`: it is, and its hash should be made again with
    today's costs.
    """

    ok: bool
    upgrade: bool = False


NO = Verdict(ok=False)


class Hasher:
    """Makes hashes with one profile and verifies those of every format in `formats`.

    `dummy` is a hash of the profile that no password matches. What is verified against it costs as much
    as a real one, so an unknown account cannot be told by the clock. A hash imported from elsewhere keeps
    its own cost until its owner's first login.
    """

    __slots__ = ("_prefix", "bounds", "dummy", "profile")

    def __init__(self, profile: Profile = PROFILES["argon2id"], bounds: Bounds | None = None) -> None:
        self.profile = profile
        self.bounds = bounds or Bounds()
        self._prefix = _prefix(profile)
        self.dummy = _dummy(profile, self._prefix)

    def __repr__(self) -> str:
        return f"Hasher({self.profile.name!r})"

    @property
    def max_bytes(self) -> int | None:
        """How many bytes of UTF-8 a password may have under this profile; give it to `policy_of`."""
        return BCRYPT_BYTES if self.profile.scheme == "bcrypt" else None

    def hash(self, password: str) -> str:
        """The string to store: scheme, cost, fresh salt of 16 bytes, digest.

        Raises `Refusal` `password.unreadable` or `password.too_long` for what the policy should have refused.
        """
        text = reading.read(password)
        if text is None:
            raise Refusal("password.too_long" if reading.too_long(password) else "password.unreadable")
        secret = text.encode()
        if self.max_bytes is not None and len(secret) > self.max_bytes:
            raise Refusal("password.too_long")
        return _hash(self.profile, secret)

    def verify(self, stored: str | None, password: str) -> Verdict:
        """Whether `password` is the one of `stored`; None stands for an account that has none.

        Never raises. A `stored` that is malformed or out of bounds costs as much as an unknown account.
        """
        forms = _forms(password)
        check = recognise(stored, self.bounds) if stored is not None else None
        compare = check or recognise(self.dummy, self.bounds)
        # every form is tried whether or not one matched: only what was typed may decide the time taken
        matched = [compare is not None and compare(form) for form in forms]
        if stored is None or check is None or not any(matched):
            return NO
        return Verdict(ok=True, upgrade=not self.is_current(stored))

    def is_current(self, stored: str) -> bool:
        """Whether `stored` has the scheme and the costs of the profile."""
        return stored.startswith(self._prefix) and len(stored) == len(self.dummy)


def _forms(password: str) -> tuple[bytes, ...]:
    """What may have been hashed: the NFC form, which is ours, and the typed one, which other systems
    hashed.
    """
    text = reading.read(password)
    if text is None:
        return ()
    return (text.encode(),) if text == password else (text.encode(), password.encode())


def _prefix(profile: Profile) -> str:
    if profile.scheme == "bcrypt":
        return f"$2b${profile.cost:02d}$"
    return f"$argon2id$v={ARGON2_VERSION}$m={profile.memory},t={profile.passes},p={profile.lanes}$"


def _hash(profile: Profile, secret: bytes) -> str:
    if profile.scheme == "bcrypt":
        return bcrypt.hashpw(secret, bcrypt.gensalt(profile.cost)).decode()
    encoded = hash_secret(
        secret,
        secrets.token_bytes(SALT_BYTES),
        time_cost=profile.passes,
        memory_cost=profile.memory,
        parallelism=profile.lanes,
        hash_len=DIGEST_BYTES,
        type=Type.ID,
    )
    return encoded.decode()


def _dummy(profile: Profile, prefix: str) -> str:
    """A well-formed hash with a random digest: nothing had to be hashed for it, and nothing is known to
    match.
    """
    if profile.scheme == "bcrypt":
        return bcrypt.gensalt(profile.cost).decode() + "".join(secrets.choice(_BCRYPT_LETTERS) for _ in range(31))
    parts = (b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (SALT_BYTES, DIGEST_BYTES))
    return prefix + "$".join(parts)
