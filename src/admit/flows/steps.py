"""What is asked next at a sign-in: a pure function of what has been proved and what the policy wants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from admit.ground.principal import Method


@dataclass(frozen=True, slots=True)
class Attempt:
    """How far a sign-in has come: the proofs given, and whether the account has a proved address."""

    methods: tuple[Method, ...] = ()
    verified: bool = False


@dataclass(frozen=True, slots=True)
class SignInPolicy:
    """What a sign-in must hold before anything is issued."""

    require_verified: bool = False


class Challenge(NamedTuple):
    """Not yet: what is missing."""

    kind: Literal["password", "verified_email"]


class Done(NamedTuple):
    """Signed in, by these methods."""

    methods: tuple[Method, ...]


def next_step(attempt: Attempt, policy: SignInPolicy) -> Challenge | Done:
    """The next challenge, or `Done`. No session, cookie or token exists before `Done`."""
    if not attempt.methods:
        return Challenge("password")
    if policy.require_verified and not attempt.verified:
        return Challenge("verified_email")
    return Done(attempt.methods)
