"""Changing and resetting a password, proving an address, and what ends with each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from admit.credentials.api_keys import By, Created, Terms
from admit.ground.errors import Refusal
from admit.ground.events import Via
from admit.ground.principal import Method
from admit.outbound.mail import Mail, MailDelayed, MailRejected
from admit.stores.sql import schema
from admit.testing.clock import ManualClock
from tests.house import OTHER, PASSWORD, House

Build = Callable[..., Awaitable[House]]
WIDE = {"login": 1000, "login_address": 1000, "waits_from": 1000, "forgot": 1000}


async def refused(attempt: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await attempt
    return caught.value


async def reset_link(house: House, identifier: str = "ann") -> str:
    await house.passwords.forgot(identifier, house.via())
    return await house.link()


async def make_key(house: House, user: bytes) -> None:
    terms, by = Terms("CI", frozenset({"read:posts"})), By(frozenset({"read:posts"}))
    assert isinstance(await house.database.write(lambda tx: house.keys.create(tx, user, terms, by)), Created)


async def working_keys(house: House, user: bytes) -> int:
    return len(await house.database.read(lambda tx: house.keys.list(tx, user)))


@pytest.mark.proof("ASVS-6.2.2", "ASVS-6.2.3", "ASVS-7.4.3", "ASVS-6.3.7")
async def test_a_change_ends_everything_but_this_session(house: House) -> None:
    person = await house.person()
    here = await house.login(deliver="session")
    await house.login(deliver="session")
    await house.login()
    await make_key(house, person.id)
    await house.passwords.change(person.id, PASSWORD, OTHER, house.via(), keep=here.delivered.binding)
    (left,) = await house.delivery.sessions.live(person.id)
    assert left.id == here.delivered.binding
    assert await house.living(person.id) == 1
    assert await working_keys(house, person.id) == 1
    assert (await refused(house.login())).code == "login_failed"
    assert (await house.login("ann", OTHER)).user == person.id
    (mail,) = await house.mails()
    assert "was changed" in mail["subject"]
    (event,) = await house.events("password.changed")
    assert event["subject"] == person.shown


async def test_api_keys_end_with_a_change_when_asked(house: House) -> None:
    person = await house.person()
    await make_key(house, person.id)
    await house.passwords.change(person.id, PASSWORD, OTHER, house.via(), keep=None, end_keys=True)
    assert await working_keys(house, person.id) == 0


@pytest.mark.proof("ASVS-6.2.3")
async def test_a_wrong_current_password_changes_nothing(house: House) -> None:
    person = await house.person()
    await house.login()
    refusal = await refused(house.passwords.change(person.id, OTHER, OTHER, house.via(), keep=None))
    assert (refusal.reason, refusal.code) == ("password.current", "login_failed")
    assert await house.living(person.id) == 1
    assert (await house.login()).user == person.id
    assert [event["reason"] for event in await house.events("login.failed")] == ["password.current"]


async def test_a_weak_new_password_is_refused_with_every_reason(house: House) -> None:
    person = await house.person("marguerite", None)
    refusal = await refused(house.passwords.change(person.id, PASSWORD, "marguerite", house.via(), keep=None))
    assert {error["code"] for error in refusal.fields["errors"]} >= {"password_too_short", "password_like_username"}
    assert (await house.login("marguerite")).user == person.id


async def test_the_current_password_is_no_place_to_guess(house: House) -> None:
    person = await house.person()
    reasons = [
        (await refused(house.passwords.change(person.id, OTHER, OTHER, house.via(), keep=None))).reason
        for _ in range(6)
    ]
    assert reasons == ["password.current"] * 5 + ["proof.waiting"]
    (row,) = await house.rows(schema.passwords)
    assert row["failures"] == 5
    house.clock.advance(timedelta(minutes=1))
    await house.passwords.change(person.id, PASSWORD, OTHER, house.via(), keep=None)


@pytest.mark.proof("ASVS-6.3.8")
@pytest.mark.parametrize("typed", ["ann", "ann@x.test", "nobody", "nobody@x.test", "bare", "no such thing", ""])
async def test_asking_for_a_reset_is_answered_and_queued_alike(house: House, typed: str) -> None:
    await house.person()
    await house.person("bare", None)
    assert await house.passwords.forgot(typed, house.via()) is None
    (job,) = await house.rows(schema.jobs)
    assert (job["kind"], job["data"]["template"], set(job["data"])) == ("mail", "reset", {"template", "user"})
    assert len(await house.events("password.reset_asked")) == 1
    assert await house.rows(schema.tickets) == []  # the queue holds no link; it is made when the mail is written
    assert len(await house.mails()) == (1 if typed.startswith("ann") else 0)


@pytest.mark.proof("ASVS-6.3.8")
async def test_known_and_unknown_run_the_same_statements_when_a_reset_is_asked(build: Build) -> None:
    house = await build(limits=WIDE)
    await house.person()
    ran: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SAVEPOINT" not in statement:
            ran.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        seen = []
        for typed in ("warm-up@x.test", "ann@x.test", "nobody@x.test"):
            ran.clear()
            await house.passwords.forgot(typed, house.via())
            seen.append(list(ran))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    assert seen[1] == seen[2]


@pytest.mark.proof("CS-FORGOT-host")
async def test_requests_are_limited_by_address_and_by_account(house: House) -> None:
    for number in range(3):
        await house.passwords.forgot("ann@x.test", house.via(f"192.0.2.{number}"))
    refusal = await refused(house.passwords.forgot("Ann@x.test", house.via("192.0.2.9")))
    assert (refusal.reason, refusal.status) == ("forgot.limited", 429)
    for number in range(3):
        await house.passwords.forgot(f"n{number}@x.test", house.via("192.0.2.50"))
    assert (await refused(house.passwords.forgot("n9@x.test", house.via("192.0.2.50")))).reason == "forgot.limited"


@pytest.mark.proof("CS-FORGOT-host", "ASVS-6.4.3")
async def test_a_reset_ends_everything_and_signs_nobody_in(build: Build) -> None:
    house = await build(limits=WIDE)
    person = await house.person(verified=True)
    device = (await house.login(deliver="session")).device
    await house.login()
    await make_key(house, person.id)
    assert await house.passwords.reset(await reset_link(house), OTHER, house.via()) is None
    assert await house.living(person.id) == 0
    assert await working_keys(house, person.id) == 1
    assert (await refused(house.login(device=device))).code == "login_failed"
    assert (await house.login("ann", OTHER, device=device)).device != device
    assert [event["subject"] for event in await house.events("password.reset")] == [person.shown]
    subjects = [mail["subject"] for mail in await house.mails()]
    assert subjects == ["Admit: set a new password", "Admit: your password was changed"]


@pytest.mark.proof("ASVS-6.4.1")
async def test_a_link_works_once_and_takes_the_others_with_it(build: Build) -> None:
    house = await build(limits=WIDE)
    await house.person()
    first, second = await reset_link(house), await reset_link(house)
    await house.passwords.reset(second, OTHER, house.via())
    for link in (first, second):
        assert (await refused(house.passwords.reset(link, PASSWORD, house.via()))).status == 400
    assert (await house.login("ann", OTHER)).user


async def test_of_two_resets_at_once_one_succeeds(build: Build) -> None:
    house = await build(limits=WIDE)
    await house.person()
    link = await reset_link(house)
    tries = (house.passwords.reset(link, password, house.via()) for password in (OTHER, "Third Choice 3 Words?"))
    outcomes = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "Refusal"]


@pytest.mark.proof("NIST-4.2.1.2", "ASVS-6.4.1")
async def test_a_link_dies_in_time(house: House, clock: ManualClock) -> None:
    await house.person()
    link = await reset_link(house)
    clock.advance(timedelta(minutes=30, seconds=1))
    refusal = await refused(house.passwords.reset(link, OTHER, house.via()))
    assert (refusal.reason, refusal.code) == ("ticket.expired", "ticket_expired")


async def test_a_weak_password_leaves_the_link_usable(house: House) -> None:
    await house.person()
    link = await reset_link(house)
    assert (await refused(house.passwords.reset(link, "ann", house.via()))).code.startswith("password_")
    await house.passwords.reset(link, OTHER, house.via())


@pytest.mark.parametrize("ticket", ["", "x", "admit_t_", "\x00", "é" * 90, "null"])
async def test_junk_is_no_link_and_costs_no_hash(house: House, ticket: str) -> None:
    await house.person()

    async def never(_: str) -> str:
        raise AssertionError("hashed for junk")

    house.pool.hash = never  # type: ignore[method-assign]
    assert (await refused(house.passwords.reset(ticket, OTHER, house.via()))).code == "ticket_invalid"


async def test_a_link_that_proves_an_address_is_no_reset_link_and_the_other_way_round(house: House) -> None:
    await house.register(username="ann", email="ann@x.test")
    verify = await house.link()
    assert (await refused(house.passwords.reset(verify, OTHER, house.via()))).reason == "ticket.purpose"
    reset = await reset_link(house)
    assert (await refused(house.email.verify(reset, house.via()))).reason == "ticket.purpose"
    await house.email.verify(verify, house.via())
    await house.passwords.reset(reset, OTHER, house.via())


async def test_a_reset_proves_the_address_and_ends_the_keys_of_whoever_was_there_before(build: Build) -> None:
    house = await build(limits=WIDE)
    squatted = await house.person()
    await make_key(house, squatted.id)
    await house.passwords.reset(await reset_link(house), OTHER, house.via())
    account = await house.own.me(squatted.id)
    assert account.email_verified
    assert await working_keys(house, squatted.id) == 0
    assert len(await house.events("account.email_verified")) == 1


@pytest.mark.proof("NIST-4.2.1.2")
@pytest.mark.parametrize(("verified", "mails"), [(False, 0), (True, 1)])
async def test_under_nist_only_a_proved_address_gets_a_link(build: Build, verified: bool, mails: int) -> None:
    house = await build(passwords={"policy": "nist"})
    await house.person(verified=verified)
    await house.passwords.forgot("ann", house.via())
    assert len(await house.mails()) == mails


async def test_a_disabled_account_gets_no_link(house: House) -> None:
    person = await house.person()
    await house.database.write(lambda tx: house.accounts.disable(tx, person.id, Via()))
    await house.passwords.forgot("ann", house.via())
    assert await house.mails() == []


@pytest.mark.proof("ASVS-6.4.6")
async def test_an_operator_starts_a_reset_and_sees_nothing_of_it(house: House) -> None:
    person = await house.person()
    assert await house.passwords.mail_reset(person.id, house.via(), actor="usr_boss") is None
    (event,) = await house.events("password.reset_asked")
    assert (event["actor"], event["subject"]) == ("usr_boss", person.shown)
    await house.passwords.reset(await house.link(), OTHER, house.via())


async def test_an_address_is_proved_by_its_link_once(house: House) -> None:
    await house.register(username="ann", email="ann@x.test")
    link = await house.link()
    await house.email.verify(link, house.via())
    account = await house.own.me((await house.login()).user)
    assert account.email_verified
    assert (await refused(house.email.verify(link, house.via()))).reason == "ticket.used"
    assert len(await house.events("account.email_verified")) == 1


async def test_the_link_to_prove_an_address_lives_a_day(house: House, clock: ManualClock) -> None:
    await house.register(email="ann@x.test")
    link = await house.link()
    clock.advance(timedelta(hours=24, seconds=1))
    assert (await refused(house.email.verify(link, house.via()))).code == "ticket_expired"


@pytest.mark.parametrize(("typed", "mails"), [("ann@x.test", 1), ("bob@x.test", 0), ("nobody@x.test", 0), ("ann", 0)])
async def test_sending_the_link_again_is_answered_alike(house: House, typed: str, mails: int) -> None:
    await house.person()
    await house.person("bob", "bob@x.test", verified=True)
    assert await house.email.resend(typed, house.via()) is None
    assert len(await house.rows(schema.jobs)) == 1
    assert len(await house.mails()) == mails


async def test_sending_again_is_limited(house: House) -> None:
    for _ in range(3):
        await house.email.resend("ann@x.test", house.via())
    assert (await refused(house.email.resend("ann@x.test", house.via()))).reason == "email.limited"


@pytest.mark.proof("ASVS-6.3.7")
async def test_another_address_counts_once_it_is_proved_and_the_old_one_is_told(build: Build) -> None:
    house = await build(limits=WIDE)
    person = await house.person(verified=True)
    old_link = await reset_link(house)
    await house.email.change(person.id, "New@Y.test", house.via())
    link = await house.link()
    assert (await house.mails())[-1]["recipient"] == "New@y.test"
    assert (await house.own.me(person.id)).email == "ann@x.test"
    await house.email.verify(link, house.via())
    account = await house.own.me(person.id)
    assert (account.email, account.email_verified, account.username) == ("New@y.test", True, "ann")
    last = (await house.mails())[-1]
    assert (last["recipient"], last["subject"]) == ("ann@x.test", "Admit: your e-mail address was changed")
    assert "y.test" not in last["text"]
    assert (await refused(house.passwords.reset(old_link, OTHER, house.via()))).reason == "ticket.expired"
    assert (await house.login("new@y.test")).user == person.id
    assert (await refused(house.login("ann@x.test"))).reason == "login.unknown"
    assert [event["subject"] for event in await house.events("account.email_changed")] == [person.shown]


async def test_an_account_without_address_gets_one(house: House) -> None:
    person = await house.person("ann", None)
    await house.email.change(person.id, "ann@x.test", house.via())
    await house.email.verify(await house.link(), house.via())
    assert (await house.own.me(person.id)).email == "ann@x.test"


@pytest.mark.proof("ASVS-6.3.8")
async def test_an_address_that_someone_has_is_answered_alike(house: House) -> None:
    person = await house.person()
    await house.person("bob", "bob@x.test")
    assert await house.email.change(person.id, "bob@x.test", house.via()) is None
    (mail,) = await house.mails()
    assert (mail["recipient"], "?ticket=" in mail["text"]) == ("bob@x.test", False)


async def test_an_address_that_was_taken_meanwhile_changes_nothing(build: Build) -> None:
    house = await build(limits=WIDE)
    person = await house.person(verified=True)
    await house.email.change(person.id, "new@x.test", house.via())
    link = await house.link()
    other = await house.person("bob", "new@x.test")
    refusal = await refused(house.email.verify(link, house.via()))
    assert (refusal.reason, refusal.code) == ("email.taken", "conflict")
    account = await house.own.me(person.id)
    assert (account.email, account.email_verified) == ("ann@x.test", True)
    assert (await house.own.me(other.id)).email == "new@x.test"


@pytest.mark.parametrize("typed", ["", "x", "a@x.test\r\nBcc: v@x.test", "ann"])
async def test_another_address_must_be_one(house: House, typed: str) -> None:
    person = await house.person()
    assert (await refused(house.email.change(person.id, typed, house.via()))).status == 422
    assert await house.rows(schema.jobs) == []


async def test_no_address_where_none_is_in_use(build: Build) -> None:
    house = await build(identifiers={"username"})
    person = await house.person("ann", None)
    refusal = await refused(house.email.change(person.id, "ann@x.test", house.via()))
    assert (refusal.reason, refusal.code) == ("email.not_in_use", "invalid_input")


async def test_a_mail_that_is_delayed_is_tried_again_with_a_new_ticket(house: House, clock: ManualClock) -> None:
    sent: list[Mail] = []

    class Flaky:
        async def send(self, mail: Mail) -> None:
            sent.append(mail)
            if len(sent) == 1:
                raise MailDelayed("connection")

    house.use_mailer(Flaky())
    await house.register(email="ann@x.test")
    assert await house.runner.run_once() == 1
    assert await house.events("mail.sent") == []
    clock.advance(timedelta(minutes=5))
    assert await house.runner.run_once() == 1
    assert len(await house.events("mail.sent")) == 1
    tickets = [mail.text.partition("?ticket=")[2].split()[0] for mail in sent]
    assert tickets[0] != tickets[1]
    queued = str(await house.rows(schema.jobs))
    assert not any(ticket in queued for ticket in tickets)
    await house.email.verify(tickets[1], house.via())


async def test_a_mail_that_is_rejected_is_not_tried_again(house: House, clock: ManualClock) -> None:
    class Never:
        async def send(self, mail: Mail) -> None:
            raise MailRejected("address", "550 5.1.1")

    house.use_mailer(Never())
    await house.register(email="ann@x.test")
    await house.runner.run_once()
    clock.advance(timedelta(days=1))
    assert await house.runner.run_once() == 0
    (event,) = await house.events("mail.failed")
    assert (event["outcome"], event["data"]) == ("failure", {"template": "verify"})


@pytest.mark.proof("ASVS-7.2.4")
async def test_proving_again_gives_the_session_a_new_secret(house: House, clock: ManualClock) -> None:
    person = await house.person()
    first = (await house.login(deliver="session")).delivered
    old = (Method("pwd", clock.now()),)
    clock.advance(timedelta(hours=1))
    started = await house.reauthenticate.session(person.id, first.binding, old, PASSWORD, house.via())
    assert started.id == first.binding
    assert started.token != first.session_token
    (row,) = await house.rows(schema.sessions)
    assert row["methods"] == f"pwd@{clock.now()}"
    assert len(await house.events("login.reauthenticated")) == 1


async def test_proving_again_makes_a_grant_fresh(house: House, clock: ManualClock) -> None:
    person = await house.person()
    delivered = (await house.login()).delivered
    clock.advance(timedelta(hours=1))
    await house.reauthenticate.grant(person.id, delivered.binding, PASSWORD, house.via())
    (row,) = await house.rows(schema.grants)
    assert row["methods"] == f"pwd@{clock.now()}"


async def test_proving_again_with_a_wrong_password_or_an_ended_session(house: House) -> None:
    person = await house.person()
    binding = (await house.login(deliver="session")).delivered.binding
    wrong = await refused(house.reauthenticate.session(person.id, binding, (), OTHER, house.via()))
    assert (wrong.reason, wrong.code) == ("reauthenticate.password", "login_failed")
    await house.database.write(lambda tx: house.delivery.end(tx, person.id, binding, Via()))
    ended = await refused(house.reauthenticate.session(person.id, binding, (), PASSWORD, house.via()))
    assert (ended.reason, ended.code) == ("reauthenticate.ended", "not_authenticated")
    assert (await refused(house.reauthenticate.grant(person.id, binding, PASSWORD, house.via()))).reason == "reauthenticate.ended"  # fmt: skip


async def test_another_persons_session_is_not_made_fresh(house: House) -> None:
    person = await house.person()
    await house.person("bob", "bob@x.test")
    theirs = (await house.login("bob", deliver="session")).delivered.binding
    assert (await refused(house.reauthenticate.session(person.id, theirs, (), PASSWORD, house.via()))).reason == "reauthenticate.ended"  # fmt: skip


async def test_ones_own_account_can_be_seen_and_deleted(house: House) -> None:
    person = await house.person()
    assert (await house.own.me(person.id)).username == "ann"
    assert (await refused(house.own.delete(person.id, OTHER, house.via()))).reason == "people.delete_password"
    await house.own.delete(person.id, PASSWORD, house.via())
    assert (await refused(house.own.me(person.id))).status == 404
    assert (await refused(house.login())).reason == "login.unknown"


async def test_the_last_administrator_cannot_leave(house: House) -> None:
    boss = await house.person(roles=("admin",))
    refusal = await refused(house.own.delete(boss.id, PASSWORD, house.via()))
    assert (refusal.reason, refusal.code, refusal.status) == ("people.last_admin", "conflict", 409)
