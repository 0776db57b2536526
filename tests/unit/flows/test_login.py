"""Signing in, in its order: limits before the hash, one answer for every wrong try, nothing issued before the end."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.ground.ids import show
from admit.people.devices import digest
from admit.stores.sql import schema
from admit.testing.clock import ManualClock
from tests.house import OTHER, PASSWORD, House

Build = Callable[..., Awaitable[House]]
WIDE = {"login": 1000, "login_address": 1000, "waits_from": 1000}


async def refused(attempt: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await attempt
    return caught.value


async def make_device(house: House) -> str:
    return str((await house.login()).device)


@pytest.mark.parametrize("typed", ["ann", "ANN", "ann@x.test", "Ann@X.TEST"])
async def test_username_and_address_sign_in_in_any_case(house: House, typed: str) -> None:
    person = await house.person("Ann", "Ann@x.test")
    done = await house.login(typed)
    assert done.user == person.id
    assert done.delivered.access_token.count(".") == 2
    assert done.delivered.refresh_token
    (event,) = await house.events("login.succeeded")
    assert (event["subject"], event["request_id"], event["outcome"]) == (person.shown, "req-1", "success")


@pytest.mark.parametrize("deliver", ["tokens", "cookie", "session", "spa"])
async def test_each_delivery_gives_its_own(house: House, deliver: str) -> None:
    person = await house.person()
    delivered = (await house.login(deliver=deliver)).delivered
    assert delivered.deliver == deliver
    assert (delivered.session_token is not None) == (deliver == "session")
    assert (delivered.refresh_token is not None) == (deliver != "session")
    assert await house.living(person.id) == 1


@pytest.mark.proof("ASVS-6.3.8", "ASVS-6.3.2")
async def test_every_wrong_try_has_one_answer_and_a_reason_of_its_own(build: Build) -> None:
    house = await build(limits=WIDE)
    await house.person()
    await house.person("bare", "bare@x.test", password=None)
    gone = await house.person("gone", "gone@x.test")
    await house.database.write(lambda tx: house.accounts.disable(tx, gone.id, Via()))
    tries = {
        ("nobody", PASSWORD): "login.unknown",
        ("nobody@x.test", PASSWORD): "login.unknown",
        ("not an identifier", PASSWORD): "login.unknown",
        ("", PASSWORD): "login.unknown",
        ("admin", "admin"): "login.unknown",
        ("ann", OTHER): "login.password",
        ("bare", PASSWORD): "login.no_password",
        ("gone", PASSWORD): "login.disabled",
    }
    told = set()
    for (identifier, password), reason in tries.items():
        refusal = await refused(house.login(identifier, password))
        assert refusal.reason == reason
        told.add((refusal.code, refusal.status, refusal.detail, refusal.retry_after, str(refusal.fields)))
    assert told == {("login_failed", 401, "Invalid credentials", None, "{}")}
    events = await house.events("login.failed")
    assert [event["reason"] for event in events] == list(tries.values())
    assert house.pool.verified == len(tries)  # one hash each, whatever was wrong
    assert not await house.rows(schema.sessions)
    assert not await house.rows(schema.grants)
    assert not await house.rows(schema.devices)


@pytest.mark.proof("ASVS-6.3.8")
async def test_known_and_unknown_run_the_same_statements(build: Build) -> None:
    house = await build(limits=WIDE)
    await house.person()
    ran: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        ran.append(re.sub(r"sa_savepoint_\d+", "savepoint", statement))

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        seen = []
        for name in ("nobody", "ann", "nobody"):  # the first one makes the row that is updated from then on
            ran.clear()
            await refused(house.login(name, OTHER))
            seen.append(list(ran))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    (counted,), (decoy,) = (
        [number for number, statement in enumerate(statements) if f"UPDATE admit_{table}" in statement]
        for statements, table in ((seen[1], "passwords"), (seen[2], "decoys"))
    )
    assert counted == decoy
    assert [*seen[1][:counted], *seen[1][counted + 1 :]] == [*seen[2][:decoy], *seen[2][decoy + 1 :]]


@pytest.mark.proof("ASVS-6.2.8", "NIST-3.1.1.2-full")
@pytest.mark.parametrize("typed", [PASSWORD[:-1], PASSWORD.swapcase(), PASSWORD + " ", " " + PASSWORD, ""])
async def test_the_password_counts_exactly_as_typed(house: House, typed: str) -> None:
    await house.person()
    assert (await refused(house.login("ann", typed))).code == "login_failed"


@pytest.mark.proof("ASVS-6.1.1", "ASVS-6.3.1")
async def test_the_sixth_try_at_an_identifier_is_limited_before_the_hash(build: Build) -> None:
    house = await build(limits={"waits_from": 1000})
    await house.person()
    for _ in range(5):
        assert (await refused(house.login("ann", OTHER))).code == "login_failed"
    refusal = await refused(house.login("ann"))
    assert (refusal.reason, refusal.code, refusal.status) == ("login.limited_identifier", "rate_limited", 429)
    assert refusal.retry_after == timedelta(seconds=12)
    assert refusal.detail == "Too many requests. Try again in 12 seconds"
    assert house.pool.verified == 5
    assert [event.reason for event in house.observed] == ["login.limited_identifier"]
    house.clock.advance(timedelta(seconds=12))
    assert (await house.login("ann")).user


@pytest.mark.parametrize("spelling", ["ANN", "Ann", "aNN"])
async def test_another_spelling_is_the_same_identifier_to_the_limit(build: Build, spelling: str) -> None:
    house = await build(limits={"login": 1})
    await refused(house.login("ann", OTHER))
    assert (await refused(house.login(spelling, OTHER))).code == "rate_limited"


async def test_unknown_identifiers_are_limited_like_known_ones(build: Build) -> None:
    house = await build(limits={"waits_from": 1000})
    reasons = [(await refused(house.login("nobody", OTHER))).code for _ in range(6)]
    assert reasons == ["login_failed"] * 5 + ["rate_limited"]


async def test_an_address_is_limited_over_all_identifiers(build: Build) -> None:
    house = await build(limits={"login_address": 3})
    for number in range(3):
        await refused(house.login(f"name{number}", OTHER))
    refusal = await refused(house.login("name9", OTHER))
    assert refusal.reason == "login.limited_address"
    assert (await refused(house.login("name9", OTHER, via=house.via("192.0.2.9")))).code == "login_failed"


async def test_eight_addresses_at_one_identifier_are_limited(build: Build) -> None:
    house = await build(limits={"waits_from": 1000})
    await house.person()
    answers = [
        (await refused(house.login("ann", OTHER, via=house.via(f"192.0.2.{number}")))).code for number in range(8)
    ]
    assert answers == ["login_failed"] * 5 + ["rate_limited"] * 3


async def test_ipv6_addresses_of_one_customer_are_one(build: Build) -> None:
    house = await build(limits={"login_address": 1})
    await refused(house.login("a1", OTHER, via=house.via("2001:db8:1:2::1")))
    again = await refused(house.login("a2", OTHER, via=house.via("2001:db8:1:2:ffff::9")))
    assert again.reason == "login.limited_address"
    assert (await refused(house.login("a3", OTHER, via=house.via("2001:db8:1:3::1")))).code == "login_failed"


async def test_a_success_gives_back_its_own_hits_only(build: Build) -> None:
    house = await build(limits={"waits_from": 1000, "login": 3, "login_address": 3})
    await house.person()
    for _ in range(8):  # right passwords never use up a limit
        await house.login()
    await refused(house.login("ann", OTHER))
    await refused(house.login("ann", OTHER))
    await house.login()
    await refused(house.login("ann", OTHER))
    assert (await refused(house.login("ann", OTHER))).code == "rate_limited"


@pytest.mark.proof("NIST-3.2.2-delay")
async def test_failures_in_a_row_bring_growing_waits(build: Build, clock: ManualClock) -> None:
    house = await build(limits={**WIDE, "waits_from": 3})
    await house.person()
    for _ in range(3):
        assert (await refused(house.login("ann", OTHER))).code == "login_failed"
    waits = []
    for _ in range(3):
        refusal = await refused(house.login("ann", OTHER))
        assert refusal.reason == "login.waiting"
        assert refusal.retry_after is not None
        waits.append(refusal.retry_after.total_seconds())
        clock.advance(refusal.retry_after)
        await refused(house.login("ann", OTHER))
    assert waits == [1, 2, 4]
    clock.advance(timedelta(seconds=8))
    await house.login()
    await refused(house.login("ann", OTHER))  # the row is broken: no wait after one more failure
    assert (await refused(house.login("ann", OTHER))).code == "login_failed"


@pytest.mark.proof("ASVS-6.1.1", "NIST-3.2.2-delay")
async def test_a_known_device_is_spared_and_has_its_own_limit(build: Build) -> None:
    house = await build(limits={"login_address": 1000})
    await house.person()
    device = await make_device(house)
    for _ in range(9):
        await refused(house.login("ann", OTHER, via=house.via("198.51.100.7")))
    assert (await refused(house.login("ann"))).code == "rate_limited"
    assert (await house.login("ann", device=device)).device == device
    for _ in range(5):
        await refused(house.login("ann", OTHER, device=device))
    assert (await refused(house.login("ann", device=device))).code == "rate_limited"


async def test_a_device_is_known_for_one_account_and_replaced_for_another(build: Build) -> None:
    house = await build(limits={"waits_from": 1000, "login_address": 1000})
    await house.person()
    other = await house.person("bob", "bob@x.test")
    planted = await make_device(house)
    done = await house.login("bob", device=planted)
    assert done.device != planted
    stored = {bytes(row["digest"]): bytes(row["user_id"]) for row in await house.rows(schema.devices)}
    assert stored[digest(done.device)] == other.id
    assert done.device.encode() not in stored
    for _ in range(5):
        await refused(house.login("bob", OTHER))
    assert (await refused(house.login("bob", device=planted))).code == "rate_limited"


async def test_a_device_is_forgotten_in_time(build: Build, clock: ManualClock) -> None:
    house = await build(limits={"waits_from": 1000})
    await house.person()
    device = await make_device(house)
    clock.advance(timedelta(days=181))
    assert (await house.login(device=device)).device != device


@pytest.mark.parametrize("cookie", ["", "x", "\x00" * 43, "é" * 43, "A" * 43, "A" * 10_000])
async def test_junk_in_the_device_cookie_is_no_device(house: House, cookie: str) -> None:
    await house.person()
    assert (await house.login(device=cookie)).device != cookie


@pytest.mark.proof("ASVS-2.4.1")
async def test_of_a_hundred_guesses_at_once_five_are_looked_at(build: Build) -> None:
    house = await build(limits={"login_address": 1000, "waits_from": 1000})
    await house.person()
    answers = await asyncio.gather(*(house.login("ann", OTHER) for _ in range(100)), return_exceptions=True)
    # a slow machine may answer some with 503, since all of them want the same row; never more than five get a hash
    told = Counter(answer.code if isinstance(answer, Refusal) else type(answer).__name__ for answer in answers)
    assert told["login_failed"] <= house.pool.verified <= 5
    assert told["login_failed"] + told["rate_limited"] + told["Unavailable"] == 100
    assert told["rate_limited"] or told["Unavailable"] > 90
    (row,) = await house.rows(schema.passwords)
    assert row["failures"] == told["login_failed"]


@pytest.mark.proof("NIST-3.2.2-100")
async def test_after_a_hundred_failures_the_password_is_disabled_not_the_account(build: Build) -> None:
    house = await build(limits=WIDE)
    person = await house.person()
    await house.login()
    for _ in range(99):
        await refused(house.login("ann", OTHER))
    await house.login()  # a success at failure 99 breaks the row
    for _ in range(100):
        assert (await refused(house.login("ann", OTHER))).reason == "login.password"
    right, wrong = await refused(house.login()), await refused(house.login("ann", OTHER))
    assert right.reason == wrong.reason == "login.password_disabled"
    assert (right.code, right.detail) == (wrong.code, wrong.detail) == ("login_failed", "Invalid credentials")
    (event,) = await house.events("password.disabled")
    assert event["subject"] == person.shown
    assert await house.living(person.id) == 2  # what was signed in lives on
    (mail,) = await house.mails()
    assert mail["recipient"] == "ann@x.test"
    await house.passwords.reset(await house.link(), OTHER, house.via())
    assert (await house.login("ann", OTHER)).user == person.id


async def test_parallel_failures_are_each_counted(build: Build) -> None:
    house = await build(limits=WIDE, passwords={"disable_after": 20})
    await house.person()
    await asyncio.gather(*(refused(house.login("ann", OTHER)) for _ in range(15)))
    await asyncio.gather(*(refused(house.login("ann", OTHER)) for _ in range(15)))
    assert len(await house.events("password.disabled")) == 1
    assert (await refused(house.login())).reason == "login.password_disabled"


async def test_an_old_hash_is_upgraded_at_login(build: Build) -> None:
    old = await build(parts={"hash_profile": "cheap-bcrypt"})
    person = await old.person()
    house = await build()
    await house.login()
    (row,) = await house.rows(schema.passwords)
    assert row["hash"].startswith("$argon2id$")
    (event,) = await house.events("password.upgraded")
    assert event["subject"] == person.shown
    await house.login()
    assert len(await house.events("password.upgraded")) == 1


async def test_a_failed_login_upgrades_nothing(build: Build) -> None:
    await (await build(parts={"hash_profile": "cheap-bcrypt"})).person()
    house = await build()
    await refused(house.login("ann", OTHER))
    assert (await house.rows(schema.passwords))[0]["hash"].startswith("$2b$")


async def test_an_unproved_address_is_told_only_after_the_right_password(build: Build) -> None:
    house = await build(require_verified=True)
    person = await house.person()
    assert (await refused(house.login("ann", OTHER))).code == "login_failed"
    refusal = await refused(house.login())
    assert (refusal.reason, refusal.code, refusal.status) == ("login.unverified", "email_unverified", 403)
    assert await house.living(person.id) == 0
    assert (await house.events("login.failed"))[-1]["reason"] == "login.unverified"
    await house.person("bob", "bob@x.test", verified=True)
    assert (await house.login("bob")).user


async def test_a_password_that_changes_while_it_is_checked_lets_nobody_in(build: Build) -> None:
    house = await build()
    person = await house.person()
    fresh = await house.pool.hash(OTHER)
    plain_verify = house.pool.verify

    async def verify(stored: str | None, password: str) -> Any:
        verdict = await plain_verify(stored, password)
        change = sa.update(schema.passwords).values(hash=fresh)
        await house.database.write(lambda tx: tx.connection.execute(change) and None)
        return verdict

    house.pool.verify = verify  # type: ignore[method-assign]
    assert (await refused(house.login())).reason == "login.changed"
    assert await house.living(person.id) == 0


async def test_what_was_typed_is_kept_short_printable_and_apart(house: House) -> None:
    await refused(house.login("x\x00\n\ud800" + "y" * 9000, OTHER))
    (person,) = [row for row in await house.rows(schema.event_persons) if row["identifier"]]
    assert person["identifier"] == "x���" + "y" * 250
    assert "yyy" not in str(await house.events())


async def test_a_session_is_named_by_its_owner(house: House) -> None:
    person = await house.person()
    done = await house.login(deliver="session")
    (event,) = await house.events("session.started")
    assert event["session"] == show("ses", done.delivered.binding)
    assert event["subject"] == person.shown
    assert done.delivered.session_token not in repr(done)
