"""What is asked next, as a table."""

from __future__ import annotations

import pytest

from admit.flows.steps import Attempt, Challenge, Done, SignInPolicy, next_step
from admit.ground.principal import Method

PWD = (Method("pwd", 5),)


@pytest.mark.parametrize(
    ("methods", "verified", "require_verified", "step"),
    [
        ((), False, False, Challenge("password")),
        ((), True, True, Challenge("password")),
        (PWD, False, False, Done(PWD)),
        (PWD, True, False, Done(PWD)),
        (PWD, False, True, Challenge("verified_email")),
        (PWD, True, True, Done(PWD)),
    ],
)
def test_next_step(methods: tuple[Method, ...], verified: bool, require_verified: bool, step: Challenge | Done) -> None:
    assert next_step(Attempt(methods, verified), SignInPolicy(require_verified)) == step
