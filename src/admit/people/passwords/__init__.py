"""Passwords: what a new one must be, and how it is hashed, verified and upgraded. No database and no HTTP."""

from admit.people.passwords.common import is_common
from admit.people.passwords.hashing import Hasher, Verdict
from admit.people.passwords.policy import POLICIES, Policy, policy_of
from admit.people.passwords.pool import HashPool
from admit.people.passwords.profiles import PROFILES, Bounds, Profile, profile_of

__all__ = [
    "POLICIES",
    "PROFILES",
    "Bounds",
    "HashPool",
    "Hasher",
    "Policy",
    "Profile",
    "Verdict",
    "is_common",
    "policy_of",
    "profile_of",
]
