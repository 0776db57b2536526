"""The life of accounts on both stores: whole or not at all, versions and voids, never without an administrator."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.people.account import Account, NewAccount, Taken
from admit.people.identifiers import parse
from admit.stores.sql import schema
from tests.house import House

Build = Callable[..., Awaitable[House]]


class Person(BaseModel):
    city: str = "Bern"


async def do(house: House, verb: str, *given: Any, **named: Any) -> Any:
    method = getattr(house.accounts, verb)
    return await house.database.write(lambda tx: method(tx, *given, Via(), **named))


async def versions(house: House, user: bytes) -> list[int]:
    rows = await house.rows(schema.voids)
    return [row["version"] for row in rows if row["kind"] == "user" and bytes(row["tie_id"]) == user]


async def test_an_account_is_found_by_each_of_its_names(house: House) -> None:
    made = await house.person("Ann", "Ann@X.test", roles=("member", "editor"))
    by_name = await house.database.read(lambda tx: house.accounts.named(tx, "username", "ann"))
    by_mail = await house.database.read(lambda tx: house.accounts.named(tx, "email", "ann@x.test"))
    assert by_name == by_mail
    assert by_name is not None
    assert (by_name.id, by_name.username, by_name.email, by_name.roles) == (made.id, "Ann", "Ann@x.test", ("editor", "member"))  # fmt: skip
    assert not by_name.email_verified
    assert (by_name.kind, by_name.version, by_name.disabled_at) == ("user", 1, None)
    assert by_name.created_at == house.clock.now()
    assert await house.database.read(lambda tx: house.accounts.named(tx, "username", "ann@x.test")) is None


async def test_a_taken_name_leaves_nothing_behind(house: House) -> None:
    await house.person("ann", "ann@x.test")
    names = (parse("username", "new"), parse("email", "ANN@x.test"))
    taken = await do(house, "create", NewAccount(names, "hash", ("member",)))
    assert taken == Taken(frozenset({"email"}))
    names = (parse("username", "Ann"), parse("email", "ann@x.test"))
    assert await do(house, "create", NewAccount(names)) == Taken(frozenset({"username", "email"}))
    assert len(await house.rows(schema.users)) == 1
    assert len(await house.rows(schema.passwords)) == 1
    assert len(await house.rows(schema.identifiers)) == 2
    assert len(await house.events("account.registered")) == 1


async def test_of_many_at_once_one_gets_the_name(house: House) -> None:
    def new(number: int) -> NewAccount:
        return NewAccount((parse("username", "prize"), parse("email", f"n{number}@x.test")))

    made = await asyncio.gather(*(do(house, "create", new(number)) for number in range(12)))
    assert sum(isinstance(one, Account) for one in made) == 1
    assert len(await house.rows(schema.users)) == 1
    assert len(await house.rows(schema.identifiers)) == 2


async def test_disabling_voids_what_is_known_and_can_be_undone(house: House) -> None:
    person = await house.person()
    off = await do(house, "disable", person.id, actor="usr_boss")
    assert (off.disabled_at, off.version) == (house.clock.now(), 2)
    on = await do(house, "enable", person.id)
    assert (on.disabled_at, on.version) == (None, 3)
    assert await versions(house, person.id) == [2, 3]
    (event,) = await house.events("account.disabled")
    assert (event["actor"], event["subject"]) == ("usr_boss", person.shown)


async def test_roles_are_granted_and_revoked(house: House) -> None:
    person = await house.person()
    assert (await do(house, "grant", person.id, ["editor"])).roles == ("editor", "member")
    assert (await do(house, "grant", person.id, ["editor"])).roles == ("editor", "member")
    assert (await do(house, "revoke", person.id, ["member", "never-held"])).roles == ("editor",)
    assert await versions(house, person.id) == [2, 3, 4]
    assert [event["data"] for event in await house.events("account.roles_changed")][-1] == {"roles": ["editor"]}
    with pytest.raises(Refusal) as caught:
        await do(house, "grant", person.id, ["emperor"])
    assert (caught.value.reason, caught.value.fields) == ("people.role_unknown", {"unknown": ["emperor"]})


@pytest.mark.parametrize("verb", ["disable", "enable", "grant", "revoke", "delete", "change_profile", "rename"])
async def test_nobody_is_not_found(house: House, verb: str) -> None:
    more: dict[str, list[Any]] = {
        "grant": [["member"]],
        "revoke": [["member"]],
        "change_profile": [{}],
        "rename": ["x"],
    }
    assert await do(house, verb, bytes(16), *more.get(verb, [])) == Refused("people.not_found")


async def test_the_last_administrator_stays(house: House) -> None:
    boss = await house.person("boss", "boss@x.test", roles=("admin",))
    sleeper = await house.person("zzz", "zzz@x.test", roles=("admin", "member"))
    await house.person("administrator", "a@x.test", roles=("member",))
    await do(house, "disable", sleeper.id)
    last = Refused("people.last_admin")
    assert await do(house, "revoke", boss.id, ["admin"]) == last
    assert await do(house, "disable", boss.id) == last
    assert await do(house, "delete", boss.id) == last
    assert (await house.database.read(lambda tx: house.accounts.load(tx, boss.id))).version == 1
    await do(house, "enable", sleeper.id)
    assert (await do(house, "revoke", boss.id, ["admin"])).roles == ()
    assert await do(house, "delete", sleeper.id) == last


async def test_two_administrators_who_demote_each_other_at_once_leave_one(house: House) -> None:
    one = await house.person("one", "one@x.test", roles=("admin",))
    two = await house.person("two", "two@x.test", roles=("admin",))
    done = await asyncio.gather(do(house, "revoke", one.id, ["admin"]), do(house, "revoke", two.id, ["admin"]))
    assert sorted(isinstance(outcome, Account) for outcome in done) == [False, True]


async def test_a_service_account_has_no_more_than_its_owner(house: House) -> None:
    owner = await house.person(roles=("member", "editor"))
    made = await do(house, "create_service", owner.id, "CI/CD", ["member"])
    assert isinstance(made, Account)
    assert (made.kind, made.name, made.roles, made.owner, made.identifiers) == ("service", "CI/CD", ("member",), owner.id, ())  # fmt: skip
    assert await house.rows(schema.passwords) == [row for row in await house.rows(schema.passwords) if bytes(row["user_id"]) != made.id]  # fmt: skip
    assert await do(house, "create_service", owner.id, "Root", ["admin"]) == Refused("people.role_not_held")
    assert await do(house, "grant", made.id, ["admin"]) == Refused("people.role_not_held")
    assert (await do(house, "grant", made.id, ["editor"])).roles == ("editor", "member")
    assert await do(house, "create_service", made.id, "Nested", []) == Refused("people.not_found")
    assert await house.database.read(lambda tx: house.accounts.services_of(tx, owner.id)) != []
    (event,) = await house.events("service_account.created")
    assert (event["subject"], event["actor"]) == (made.shown, owner.shown)


async def test_deleting_a_person_deletes_what_hangs_on_them(house: House) -> None:
    person = await house.person()
    robot = await do(house, "create_service", person.id, "robot", [])
    await house.login(deliver="session")
    await house.login()
    assert await do(house, "delete", person.id) is None
    for table in (schema.users, schema.identifiers, schema.passwords, schema.sessions, schema.grants, schema.families, schema.devices):  # fmt: skip
        assert await house.rows(table) == []
    assert await versions(house, person.id) == [2]
    assert await versions(house, robot.id) == [2]
    assert len(await house.events("account.deleted")) == 2
    assert (await house.person()).id != person.id  # the name is free again


async def test_pages_and_search(house: House) -> None:
    people = [await house.person(f"user{number}", f"n{number}@x.test", password=None) for number in range(5)]
    robot = await do(house, "create_service", people[0].id, "100% Robot_1", [])
    first = await house.database.read(lambda tx: house.accounts.page(tx, limit=4))
    rest = await house.database.read(lambda tx: house.accounts.page(tx, after=first.next, limit=4))
    assert rest.next is None
    listed = [account.id for account in (*first.accounts, *rest.accounts)]
    assert sorted(listed) == sorted([robot.id, *(one.id for one in people)])
    assert listed == sorted(listed, reverse=True)

    async def found(**wanted: Any) -> list[bytes]:
        page = await house.database.read(lambda tx: house.accounts.page(tx, **wanted))
        return [account.id for account in page.accounts]

    assert await found(search="USER3") == [people[3].id]
    assert await found(search="n4@") == [people[4].id]
    assert await found(search="robot") == [robot.id]
    assert await found(kind="service") == [robot.id]
    assert await found(search="%") == [robot.id]
    assert await found(search="_1") == [robot.id]
    assert await found(search="nobody") == []
    assert await found(search="user\x00") == []
    assert await found(search="\ud800") == []


async def test_the_profile_is_the_applications(build: Build) -> None:
    house = await build(parts={"profile": Person})
    person = await house.person(profile={"city": "Ulm"})
    changed = await do(house, "change_profile", person.id, {"city": "Rom"})
    assert (changed.profile, changed.version) == ({"city": "Rom"}, 2)
    with pytest.raises(Refusal):
        await do(house, "change_profile", person.id, {"roles": "admin"})
    kept = await house.database.read(lambda tx: house.accounts.load(tx, person.id))
    assert kept.profile == {"city": "Rom"}
    assert "Rom" not in str(await house.events())


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x00", "x" * 101])
async def test_a_name_is_one_short_line(house: House, name: str) -> None:
    person = await house.person()
    for verb, given in (("rename", (person.id, name)), ("create_service", (person.id, name, []))):
        with pytest.raises(Refusal) as caught:
            await do(house, verb, *given)
        assert caught.value.fields["errors"][0]["field"] == "name"
    assert len(await house.rows(schema.users)) == 1


async def test_nothing_is_written_for_a_version_nobody_asked_for(house: House) -> None:
    person = await house.person()
    await house.database.read(lambda tx: house.accounts.load(tx, person.id))
    await do(house, "rename", person.id, "Ann Other")
    (row,) = await house.rows(schema.users)
    assert (row["name"], row["version"]) == ("Ann Other", 2)


async def test_a_login_finds_everything_in_one_statement(house: House) -> None:
    await house.person()
    ran: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        ran.append(statement)

    from admit.stores.sql import passwords

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        row = await house.database.read(lambda tx: passwords.find(tx, "email", "ann@x.test", bytes(32)))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    assert row is not None
    assert (row.verified, row.device, row.kind) == (False, False, "user")
    assert len([statement for statement in ran if statement.startswith("SELECT")]) == 1
