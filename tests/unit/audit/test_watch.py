"""Detectors over the live log and over the past; findings once each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta

import pytest

from admit.audit.detectors import DETECTORS, Detector, Thresholds
from admit.audit.findings import Suspicion, close_finding, finding_json, list_findings, record
from admit.audit.reading import Filter, list_events
from admit.audit.watch import Watch
from admit.ground.errors import Unavailable
from admit.ground.events import Event
from admit.ground.ids import read
from admit.ground.kit import Kit
from admit.stores.sql.events import EventRow
from admit.testing.clock import ManualClock
from tests.parts.stores import Switch
from tests.unit.audit.conftest import Open


async def fail(kit: Kit, clock: ManualClock, names: Iterable[int], address: str = "203.0.113.9") -> None:
    """One failed sign-in a second, each for another account that exists."""
    for number in names:
        event = Event(
            "login.failed", "refused", "login.password", subject=f"usr_{number}", identifier=f"name-{number}",
            address=address,
        )  # fmt: skip
        await kit.work.write(lambda tx, event=event: tx.emit(event))
        clock.advance(timedelta(seconds=1))


async def opened(kit: Kit) -> int:
    return len((await list_events(kit.work, Filter(types=("finding.opened",)))).events)


async def steps(watch: Watch) -> None:
    while await watch.step():
        pass


@pytest.mark.proof("ASVS-6.3.1")
async def test_the_live_log(kit: Kit, clock: ManualClock) -> None:
    watch = Watch(kit, page=4)
    await fail(kit, clock, range(14))
    await steps(watch)
    assert await list_findings(kit.work) == []
    await fail(kit, clock, range(14, 20))
    await steps(watch)
    (finding,) = await list_findings(kit.work)
    assert finding.detector == "password_spraying"
    assert finding.data["accounts"] == 20
    assert await opened(kit) == 1
    await fail(kit, clock, range(20, 22))
    await steps(watch)
    (finding,) = await list_findings(kit.work)
    assert finding.data["accounts"] == 22
    assert await opened(kit) == 1


async def test_another_process_takes_over_and_remembers(kit: Kit, another: Open, clock: ManualClock) -> None:
    first, second = Watch(kit, page=5), Watch(Kit(await another(), clock), page=5)
    await fail(kit, clock, range(8))
    await steps(first)
    await fail(kit, clock, range(8, 12))
    await steps(second)
    await fail(kit, clock, range(12, 16))
    await steps(first)  # its memory lacks what the second has seen
    (finding,) = await list_findings(kit.work)
    assert finding.data["accounts"] == 16


async def test_what_was_recalled_is_not_counted_twice(kit: Kit, clock: ManualClock) -> None:
    await fail(kit, clock, range(14))
    await steps(Watch(kit))
    await fail(kit, clock, [13])
    await steps(Watch(kit))
    assert await list_findings(kit.work) == []


async def test_the_past(kit: Kit, clock: ManualClock) -> None:
    start = clock.now()
    await fail(kit, clock, range(20))
    middle = clock.now()
    clock.advance(timedelta(days=3))
    await fail(kit, clock, range(20), address="198.51.100.4")
    watch = Watch(kit, page=7)
    assert [one.data["source"] for one in await watch.run(start, middle)] == ["203.0.113.9"]
    assert await watch.run(start, start + 10) == []
    assert [one.data["source"] for one in await watch.run(start, clock.now())] == ["198.51.100.4"]
    assert len(await list_findings(kit.work)) == 2


async def test_the_past_twice_is_the_past_once(kit: Kit, clock: ManualClock) -> None:
    start = clock.now()
    await fail(kit, clock, range(20))
    watch = Watch(kit)
    assert len(await watch.run(start, clock.now())) == 1
    before = await list_findings(kit.work)
    assert await watch.run(start, clock.now()) == []
    await steps(watch)
    assert await list_findings(kit.work) == before
    assert await opened(kit) == 1


async def test_a_closed_finding_stays_closed(kit: Kit, clock: ManualClock) -> None:
    start = clock.now()
    await fail(kit, clock, range(20))
    watch = Watch(kit)
    await watch.run(start, clock.now())
    (finding,) = await list_findings(kit.work)
    assert await close_finding(kit.work, finding.id)
    assert not await close_finding(kit.work, finding.id)
    await watch.run(start, clock.now())
    assert await list_findings(kit.work) == []
    (closed,) = await list_findings(kit.work, closed=True)
    assert closed.closed_at is not None
    assert await list_findings(kit.work, closed=None) == [closed]
    assert await list_findings(kit.work, closed=None, detector="dormant_key") == []
    clock.advance(timedelta(days=1))
    await fail(kit, clock, range(20))
    await watch.run(start, clock.now())
    assert len(await list_findings(kit.work)) == 1


async def test_a_finding_as_json(kit: Kit) -> None:
    suspicion = Suspicion("dormant_key", "key_1@day", "low", "A title", 10, 20, {"a": 1})
    await kit.work.write(lambda tx: record(tx, kit, [suspicion]))
    (finding,) = await list_findings(kit.work)
    shown = finding_json(finding)
    assert read("fnd", shown["id"]) == finding.id
    assert (shown["first_seen"], shown["closed_at"], shown["data"]) == ("1970-01-01T00:00:00.000010Z", None, {"a": 1})
    (event,) = (await list_events(kit.work, Filter(types=("finding.opened",)))).events
    assert event.data["finding"] == shown["id"]


async def test_a_finding_only_grows(kit: Kit) -> None:
    def suspicion(severity: str, first: int, last: int) -> Suspicion:
        return Suspicion("d", "k", severity, f"{severity} title", first, last, {"last": last})  # type: ignore[arg-type]

    for one in (suspicion("medium", 50, 60), suspicion("high", 55, 58), suspicion("low", 40, 70)):
        await kit.work.write(lambda tx, one=one: record(tx, kit, [one]))
    (finding,) = await list_findings(kit.work)
    assert (finding.severity, finding.first_at, finding.last_at) == ("high", 40, 70)
    assert (finding.title, finding.data) == ("low title", {"last": 70})


async def test_a_store_that_is_down_delays_and_loses_nothing(kit: Kit, clock: ManualClock) -> None:
    class WritesDown(Switch):
        async def read(self, body):  # type: ignore[no-untyped-def]
            return await self.work.read(body)

    work = WritesDown(kit.work)
    watch = Watch(Kit(work, clock))
    await fail(kit, clock, range(20))
    work.down = True
    with pytest.raises(Unavailable):
        await watch.step()
    work.down = False
    await steps(watch)
    (finding,) = await list_findings(kit.work)
    assert finding.data["accounts"] == 20


def _stumbling(_: Thresholds) -> Callable[[EventRow], Iterator[Suspicion]]:
    def see(event: EventRow) -> Iterator[Suspicion]:
        raise LookupError(event.seq)

    return see


async def test_a_detector_that_stumbles_does_not_blind_the_others(
    kit: Kit, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    broken = Detector("broken", frozenset({"login.failed"}), lambda _: timedelta(0), _stumbling)
    await fail(kit, clock, range(20))
    await steps(Watch(kit, detectors=[broken, *DETECTORS]))
    assert len(await list_findings(kit.work)) == 1
    assert "detector.failed" in caplog.text
