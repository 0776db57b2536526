"""Why was this refused? From a request id to the reason, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from admit.audit.reading import event_json, time
from admit.audit.reasons import REASON_HELP
from admit.ground.codes import CODES, REASONS
from admit.ground.work import Work
from admit.stores.sql import events
from admit.stores.sql.events import EventRow


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of one request. `asked` is what the event says of it (method, route, scopes that were needed).
    `reason` is the private one and not for the caller; it is None when the request was not refused.
    """

    request_id: str
    at: int
    asked: dict[str, Any]
    reason: str | None
    code: str | None
    status: int | None
    meaning: str
    mend: str
    events: tuple[EventRow, ...]

    def json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "request_id": self.request_id, "time": time(self.at), "asked": self.asked, "reason": self.reason,
            "code": self.code, "status": self.status, "meaning": self.meaning, "mend": self.mend,
            "events": [event_json(row) for row in self.events],
        }  # fmt: skip


async def explain(work: Work, request_id: str) -> Explanation | None:
    """What happened in the request with this id; None when the log knows nothing of it (refusals take up to a second
    to arrive, and under flood only some of them are written one by one: then the log line has the reason).
    """
    rows = await work.read(lambda tx: events.of_request(tx, request_id))
    if not rows:
        return None
    # the event of the refusal itself comes last; what led to it (a reused token, say) stands before it
    refused = [row for row in rows if row.reason is not None]
    told = refused[-1] if refused else rows[-1]
    code = REASONS.get(told.reason or "")
    help_ = REASON_HELP.get(told.reason or "")
    if told.reason is None:
        meaning, mend = "The request was not refused.", "Nothing to do; the events say what it did."
    elif help_ is None:
        meaning, mend = "This version does not know the reason.", "Ask the version that wrote the event."
    else:
        meaning, mend = help_
    return Explanation(
        request_id, told.at, dict(told.data), told.reason, code, CODES[code].status if code else None, meaning, mend,
        tuple(rows),
    )  # fmt: skip
