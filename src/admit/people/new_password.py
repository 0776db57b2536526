"""The question that every new password is asked, with every reason against it in one answer."""

from __future__ import annotations

from admit.ground.codes import CODES, REASONS
from admit.ground.errors import Refusal
from admit.people.passwords import Policy


class NewPassword:
    """A policy with the words that guessers try here first (`passwords.context_words`)."""

    def __init__(self, policy: Policy, context: tuple[str, ...]) -> None:
        self.policy = policy
        self._context = context

    def demand(self, password: str, *, username: str | None, email: str | None) -> None:
        """Refuses with the first reason's code; `errors` holds each reason as `{code, detail}`."""
        reasons = self.policy.check(password, username=username, email=email, context=self._context)
        if reasons:
            errors = [{"code": REASONS[reason], "detail": self._detail(reason)} for reason in reasons]
            raise Refusal(reasons[0], detail=errors[0]["detail"], fields={"errors": errors})

    def _detail(self, reason: str) -> str:
        if reason == "password.too_short":
            return f"The password needs at least {self.policy.min_length} characters"
        return CODES[REASONS[reason]].detail
