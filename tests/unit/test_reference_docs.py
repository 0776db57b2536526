"""docs/reference.md says what the code says."""

from __future__ import annotations

from datetime import timedelta

import pytest

from admit.ground.codes import CODES, REASONS
from admit.ground.events import EVENTS
from scripts import reference_docs


@pytest.mark.proof("ASVS-16.1.1", "ASVS-8.1.1")
def test_the_reference_is_not_stale() -> None:
    assert reference_docs.PAGE.read_text("utf-8") == reference_docs.page(), "run python -m scripts.reference_docs"


def test_it_holds_every_code_reason_event_and_setting() -> None:
    page = reference_docs.page()
    wanted = [*CODES, *REASONS, *EVENTS, "tokens.access_for", "limits.register", "cors.origins", "issuer"]
    assert not [name for name in wanted if f"`{name}`" not in page]


def test_it_says_who_may_call_a_route() -> None:
    page = reference_docs.routes()
    assert "| `POST` | `/auth/login` | anyone |" in page
    assert "| `GET` | `/auth/sessions` | anyone signed in, by access token or session |" in page
    assert "| `GET` | `/auth/admin/users` | scope `admit:admin` |" in page


def test_our_own_plans_numbers_stay_out() -> None:
    assert "mission S" not in reference_docs.page()


@pytest.mark.parametrize(
    ("value", "text"),
    [(timedelta(minutes=15), "15 minutes"), (timedelta(days=1), "1 day"), (timedelta(seconds=90), "90 seconds")],
)
def test_durations_read_as_people_say_them(value: timedelta, text: str) -> None:
    assert reference_docs.duration(value) == text
