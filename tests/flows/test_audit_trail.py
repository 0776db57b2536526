"""The audit room as a whole: refusals observed, sealed, watched and explained by loops, across an outage."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import timedelta

import pytest

from admit.audit.explain import explain
from admit.audit.findings import list_findings
from admit.audit.keys import AuditKey
from admit.audit.log import Observed
from admit.audit.seal import Sealer
from admit.audit.verify import verify
from admit.audit.watch import Watch
from admit.ground.events import Event
from admit.ground.kit import Kit
from admit.jobs import Step, Steps
from admit.stores.sql.database import open_database
from admit.testing.clock import ManualClock
from tests.parts.postgres import TempPostgres
from tests.parts.stores import Turns


@pytest.fixture
def server() -> Iterator[TempPostgres]:
    """One of its own, since it is taken down."""
    running = TempPostgres()
    try:
        yield running.start()
    finally:
        running.stop()


def spray(observed: Observed, clock: ManualClock, accounts: range) -> None:
    for number in accounts:
        observed.observe(
            Event(
                "login.failed", "refused", "login.password", subject=f"usr_{number}", identifier=f"name-{number}",
                address="203.0.113.9", request_id=f"req-{number}",
            )
        )  # fmt: skip
        clock.advance(timedelta(seconds=1))


@pytest.mark.postgres
@pytest.mark.proof("ASVS-16.5.2", "ASVS-16.3.1")
async def test_the_trail_survives_an_outage_of_the_database(server: TempPostgres) -> None:
    clock, key, observing, stepping = ManualClock(), AuditKey.from_seed(secrets.token_bytes(32)), Turns(), Turns()
    database = open_database(server.url(), clock, secrets.token_bytes)
    await database.migrate()
    kit = Kit(database, clock)
    observed = Observed(kit, pause=observing)
    sealer, watch = Sealer(kit, key), Watch(kit)
    steps = Steps(kit, [Step("seal", sealer.step), Step("detectors", watch.step)], "one", pause=stepping)
    steps.ensure()
    await stepping.reached()

    spray(observed, clock, range(10))
    await observing.reached()
    server.halt()
    spray(observed, clock, range(10, 20))  # refused by other means meanwhile, and noted
    await observing.go()
    await stepping.go()
    assert observing.waits[-1] > 1.0
    server.resume()
    # the first use finds the dead connections of the pool and drops them
    while observing.waits[-1] > 1.0:
        await observing.go()
    while stepping.waits[-1] > 1.0 or not await list_findings(database):
        clock.advance(timedelta(seconds=1))
        await stepping.go()

    (finding,) = await list_findings(database)
    assert (finding.detector, finding.data["accounts"]) == ("password_spraying", 20)
    explanation = await explain(database, "req-15")
    assert explanation is not None
    assert explanation.reason == "login.password"
    await steps.close()
    await observed.close()
    while await sealer.seal_once():
        pass
    report = await verify(database, [key])
    assert (report.ok, report.events, report.waiting) == (True, 21, 0)
    await database.close()
