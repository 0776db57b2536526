"""Every private reason is explained in plain words."""

from __future__ import annotations

import pytest

from admit.audit.explain import explain
from admit.audit.log import Observed
from admit.audit.reasons import REASON_HELP
from admit.audit.vocabulary import vocabulary
from admit.ground.codes import REASONS
from admit.ground.events import EVENTS, Event
from admit.ground.kit import Kit


def test_no_reason_is_left_unexplained() -> None:
    assert set(REASONS) - set(REASON_HELP) == set(), "add the meaning and the mend to admit/audit/reasons.py"
    assert set(REASON_HELP) - set(REASONS) == set(), "these reasons do not exist (any more)"


@pytest.mark.parametrize("reason", REASON_HELP)
def test_it_says_what_happened_and_what_to_do(reason: str) -> None:
    help_ = REASON_HELP[reason]
    for text in help_:
        assert len(text) >= 5
        assert text.rstrip().endswith((".", ")"))
        assert text[0].isupper() or text[0] == "`"


async def test_from_a_request_id_to_the_reason(kit: Kit) -> None:
    observed = Observed(kit)
    asked = {"method": "DELETE", "route": "/posts/{post_id}", "needed": ["delete:posts"]}
    observed.observe(
        Event("request.refused", "refused", "rights.scope", request_id="req-1", subject="usr_1", data=asked)
    )
    observed.observe(Event("request.refused", "refused", "csrf.missing", request_id="req-2"))
    await observed.close()
    explanation = await explain(kit.work, "req-1")
    assert explanation is not None
    assert explanation.asked == asked
    assert (explanation.reason, explanation.code, explanation.status) == ("rights.scope", "insufficient_scope", 403)
    assert (explanation.meaning, explanation.mend) == REASON_HELP["rights.scope"]
    assert [row.subject for row in explanation.events] == ["usr_1"]
    shown = explanation.json()
    assert shown["status"] == 403
    assert shown["events"][0]["subject"] == "usr_1"


async def test_what_led_to_the_refusal_is_shown_with_it(kit: Kit) -> None:
    event = Event("refresh.reused", "refused", "refresh.reused", request_id="req-1")
    await kit.work.write(lambda tx: (tx.emit(Event("grant.ended", request_id="req-1")), tx.emit(event)))
    explanation = await explain(kit.work, "req-1")
    assert explanation is not None
    assert explanation.reason == "refresh.reused"
    assert [row.type for row in explanation.events] == ["grant.ended", "refresh.reused"]


async def test_a_request_that_went_well(kit: Kit) -> None:
    await kit.work.write(lambda tx: tx.emit(Event("session.started", request_id="req-1")))
    explanation = await explain(kit.work, "req-1")
    assert explanation is not None
    assert (explanation.reason, explanation.code, explanation.status) == (None, None, None)


async def test_an_unknown_request(kit: Kit) -> None:
    assert await explain(kit.work, "req-none") is None


async def test_a_reason_of_another_version(kit: Kit) -> None:
    await kit.work.write(lambda tx: tx.emit(Event("request.refused", "refused", "gone.reason", request_id="req-1")))
    explanation = await explain(kit.work, "req-1")
    assert explanation is not None
    assert (explanation.reason, explanation.code) == ("gone.reason", None)


@pytest.mark.proof("CS-LOG-vocab")
@pytest.mark.parametrize(
    ("type_", "reason", "name"),
    [
        ("password.disabled", None, "authn_login_fail_max"),
        ("refresh.reused", "refresh.reused", "authn_token_reuse"),
        ("request.refused", "session.expired", "session_use_after_expire"),
        ("request.refused", "session.idle", "session_use_after_expire"),
        ("request.refused", "login.limited_address", "excess_rate_limit_exceeded"),
        ("request.refused", "limit.route", "excess_rate_limit_exceeded"),
        ("account.roles_changed", None, "privilege_permissions_changed"),
        ("login.failed", "login.password", "authn_login_fail"),
        ("login.succeeded", None, "authn_login_success"),
        ("request.refused", "rights.scope", "authz_fail"),
        ("mail.sent", None, None),
    ],
)
def test_the_words_of_the_owasp_logging_vocabulary(type_: str, reason: str | None, name: str | None) -> None:
    assert type_ in EVENTS
    assert vocabulary(type_, reason) == name
