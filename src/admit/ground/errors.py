"""Refusals: one public code (stable, many-to-one), one private reason per refusal site (pinned, for `explain`).

The public code and text go to the caller; the reason and the private text go to the log and the event, never to the
caller. Whoever adds a refusal site adds its reason here, so that "why was this refused?" always has one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from admit.ground.codes import CODES, REASONS, Code


class AdmitError(Exception):
    """Root of everything that Admit raises on purpose."""


class SettingsError(AdmitError):
    """A setting is missing, unsafe or contradicts another; the text names it and how to mend it."""


class Unavailable(AdmitError):
    """A part that the answer depends on is down or overloaded; becomes 503 with Retry-After, never an open door."""

    def __init__(self, part: str, *, retry_after: timedelta = timedelta(seconds=1)) -> None:
        super().__init__(f"{part} is not available")
        self.part = part
        self.retry_after = retry_after


class Refusal(AdmitError):
    """A typed "no".

    `reason` is a key of `REASONS` and decides the public `code`, the HTTP status and the default text. `private` is
    detail for the log only. `retry_after` is sent as Retry-After. `fields` become members of the problem+json body
    (for example the scopes that are missing, or one error per form field). `recorded` says that an event of this
    refusal has been written already, so that the web layer does not write a second one.
    """

    def __init__(
        self,
        reason: str,
        *,
        detail: str | None = None,
        private: str = "",
        retry_after: timedelta | None = None,
        fields: Mapping[str, Any] = MappingProxyType({}),
        recorded: bool = False,
    ) -> None:
        self.reason = reason
        self.code = REASONS[reason]
        self.detail = detail or CODES[self.code].detail
        self.private = private
        self.retry_after = retry_after
        self.fields = dict(fields)
        self.recorded = recorded
        super().__init__(f"{self.code}: {self.detail}")

    @property
    def status(self) -> int:
        """The HTTP status of the public code."""
        return CODES[self.code].status

    @property
    def title(self) -> str:
        """The short public text of the code, the same for every occurrence (RFC 9457 section 3.1.3)."""
        return CODES[self.code].title


@dataclass(frozen=True, slots=True)
class Refused:
    """A refusal returned from inside a unit of work, raised by the caller after the commit.

    Raising inside the body would roll back: "reuse seen, end the family, refuse" would un-end the family.
    """

    reason: str
    private: str = ""
    retry_after: timedelta | None = None
    recorded: bool = False

    def refusal(self) -> Refusal:
        """The exception to raise once the transaction has been committed."""
        return Refusal(self.reason, private=self.private, retry_after=self.retry_after, recorded=self.recorded)


__all__ = ["CODES", "REASONS", "AdmitError", "Code", "Refusal", "Refused", "SettingsError", "Unavailable"]
