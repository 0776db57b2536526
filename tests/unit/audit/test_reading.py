"""Reading the log: pages, following, and one event as JSON or as a line."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta

import pytest

from admit.audit.reading import Filter, event_json, event_line, follow, list_events, read_cursor, write_cursor
from admit.ground.events import Event
from admit.ground.kit import Kit
from admit.stores.sql.events import Position
from admit.testing.clock import ManualClock
from tests.unit.audit.conftest import Open


async def emit(kit: Kit, *events: Event) -> None:
    for event in events:
        await kit.work.write(lambda tx, event=event: tx.emit(event))


def numbered(count: int) -> list[Event]:
    return [Event("request.refused", "refused", "csrf.missing", request_id=str(number)) for number in range(count)]


async def test_pages_newest_first(kit: Kit) -> None:
    await emit(kit, *numbered(7))
    seen, after = [], None
    while True:
        page = await list_events(kit.work, after=after, limit=3)
        seen.append([row.request_id for row in page.events])
        if (after := page.after) is None:
            break
    assert seen == [["6", "5", "4"], ["3", "2", "1"], ["0"]]


async def test_filters(kit: Kit, clock: ManualClock) -> None:
    began = clock.now()
    await emit(
        kit,
        Event("login.failed", "refused", "login.password", subject="usr_1", address="192.0.2.1", identifier="ann"),
        Event("login.succeeded", subject="usr_1", address="192.0.2.2", session="ses_1"),
    )
    clock.advance(timedelta(hours=1))
    await emit(kit, Event("refresh.reused", "refused", "refresh.reused", client="cli_1", actor="usr_2", credential="c"))

    async def types(where: Filter) -> list[str]:
        return [row.type for row in (await list_events(kit.work, where)).events]

    assert await types(Filter(types=("login.",))) == ["login.succeeded", "login.failed"]
    assert await types(Filter(types=("login.failed", "refresh."))) == ["refresh.reused", "login.failed"]
    assert await types(Filter(types=("nonsense",))) == []
    assert await types(Filter(subject="usr_1", outcome="refused")) == ["login.failed"]
    assert await types(Filter(address="192.0.2.2")) == ["login.succeeded"]
    assert await types(Filter(identifier="ann")) == ["login.failed"]
    assert await types(Filter(reason="refresh.reused")) == ["refresh.reused"]
    assert await types(Filter(session="ses_1")) == ["login.succeeded"]
    assert await types(Filter(client="cli_1", actor="usr_2", credential="c")) == ["refresh.reused"]
    assert await types(Filter(since=began + 1)) == ["refresh.reused"]
    assert await types(Filter(until=clock.now())) == ["login.succeeded", "login.failed"]
    everything = (await list_events(kit.work)).events
    for where in (Filter(types=("login.",)), Filter(address="192.0.2.2"), Filter(since=began + 1)):
        assert [row.type for row in everything if where.matches(row)] == await types(where)


async def test_following_gives_what_is_new_once(kit: Kit) -> None:
    await emit(kit, *numbered(2))
    news = await follow(kit.work)
    assert news.events == []
    seen = []
    for number in range(3):
        await emit(kit, Event("request.refused", "refused", "csrf.missing", request_id=f"new-{number}"))
        news = await follow(kit.work, news.cursor)
        seen += [row.request_id for row in news.events]
    assert seen == ["new-0", "new-1", "new-2"]
    assert (await follow(kit.work, news.cursor)).events == []


async def test_followers_beside_writers_miss_nothing(kit: Kit, another: Open, clock: ManualClock) -> None:
    writers = [Kit(await another(), clock) for _ in range(3)]
    start = (await follow(kit.work)).cursor

    async def write(name: int) -> None:
        for number in range(15):
            await emit(
                writers[name], Event("request.refused", "refused", "csrf.missing", request_id=f"{name}-{number}")
            )

    async def read() -> list[str | None]:
        seen: list[str | None] = []
        cursor = start
        while len(seen) < 45:
            news = await follow(kit.work, cursor, limit=4)
            cursor = news.cursor
            seen += [row.request_id for row in news.events]
        return seen

    _, seen = await asyncio.gather(asyncio.gather(*(write(name) for name in range(3))), asyncio.wait_for(read(), 60))
    assert sorted(map(str, seen)) == sorted(f"{name}-{number}" for name in range(3) for number in range(15))


async def test_following_with_a_filter(kit: Kit) -> None:
    cursor = (await follow(kit.work)).cursor
    await emit(kit, *numbered(2), Event("login.succeeded"))
    news = await follow(kit.work, cursor, Filter(types=("login.",)))
    assert [row.type for row in news.events] == ["login.succeeded"]


def test_a_cursor_can_be_written_down() -> None:
    for position in (Position(), Position("7412", 5, 9), Position("", 0, 3)):
        assert read_cursor(write_cursor(position)) == position


@pytest.mark.parametrize("text", ["", "x", "1", "1.", "1.x", "1.2.x", "-1.2.", "1.2.3;", "9" * 30 + ".1.", "\u0661.1."])
def test_other_texts_are_no_cursor(text: str) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        read_cursor(text)


async def test_a_page_cursor_must_be_one(kit: Kit) -> None:
    with pytest.raises(ValueError, match="not a cursor"):
        await list_events(kit.work, after="1 OR 1=1")


@pytest.mark.proof("ASVS-16.2.1", "ASVS-16.2.2")
async def test_json_says_when_who_from_where_what_and_result(kit: Kit, clock: ManualClock) -> None:
    for number in range(20):
        await emit(kit, Event("login.failed", "refused", "login.password", subject="usr_1", address="192.0.2.1", agent="curl",
                              identifier="ann", request_id=f"r{number}", actor="usr_1", data={"methods": ["pwd"]}))  # fmt: skip
        clock.advance(timedelta(milliseconds=1, microseconds=7))
    shown = [event_json(row) for row in (await list_events(kit.work)).events]
    one = shown[0]
    for name in ("id", "time", "actor", "subject", "address", "agent", "type", "outcome", "request_id"):
        assert one[name], name
    assert one["class"] == "login"
    assert one["owasp"] == "authn_login_fail"
    assert one["data"] == {"methods": ["pwd"]}
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", event["time"]) for event in shown)
    by_id = sorted(shown, key=lambda event: event["id"])
    assert by_id == sorted(shown, key=lambda event: event["time"])
    json.dumps(shown)


@pytest.mark.proof("ASVS-16.4.1")
async def test_a_line_cannot_be_broken_by_what_was_typed(kit: Kit) -> None:
    evil = "a\nadmin login ok\x1b[31m\u202e\u2028"
    await emit(kit, Event("login.failed", "refused", "login.unknown", identifier=evil, count=3))
    (row,) = (await list_events(kit.work)).events
    line = event_line(row)
    assert line.isprintable()
    assert json.dumps(evil) in line
    assert "reason=login.unknown" in line
    assert line.endswith("x3")
