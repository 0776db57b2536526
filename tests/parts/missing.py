"""A part that this machine does not have: reported locally, a failure in CI."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

#: the start of every skip reason of this kind; the run's report collects reasons by it
PREFIX = "not here: "


class PartMissing(Exception):
    """`part` is its name for people, `why` what was looked for."""

    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part} ({why})")
        self.part = part


def in_ci() -> bool:
    """Whether a missing part is a failure of the run."""
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def without(missing: PartMissing) -> NoReturn:
    """End the present test: skipped on a desk, failed in CI, where everything must have been installed."""
    if in_ci():
        pytest.fail(f"{PREFIX}{missing}", pytrace=False)
    pytest.skip(f"{PREFIX}{missing}")
