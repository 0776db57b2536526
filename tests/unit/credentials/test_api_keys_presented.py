"""A presented key: refused by its looks without a query, and by one query for everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from admit.credentials.api_keys import NEVER, ApiKeys, Changes, Created, Terms
from admit.crypto.opaque import KeyParts, api_key_format
from admit.ground.clock import micros
from admit.ground.errors import REASONS, Refused
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.principal import Credential, Facts, Subject, Tie
from admit.settings import KeySettings, Settings
from admit.stores.sql import schema
from admit.testing.clock import ManualClock
from admit.testing.key_suite import ALL, RIGHTS, SCOPES, add_key, add_owner, keys_of

READ = frozenset({"read:posts"})
TENANT = Tie("tenant", b"\0\0\0\x01")


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """Every statement that reaches a database while this is in use."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(sa.Engine, "before_cursor_execute", note)


async def live(kit: Kit, text: str) -> Facts:
    got = await keys_of(kit).verify(text)
    assert isinstance(got, Facts), got
    return got


async def refused(kit: Kit, text: str) -> str:
    got = await keys_of(kit).verify(text)
    assert isinstance(got, Refused), got
    assert got.reason in REASONS
    return got.reason


async def update(kit: Kit, table: sa.Table, id_: bytes | int, **values: Any) -> None:
    statement = sa.update(table).where(table.c.id == id_).values(**values)
    await kit.work.write(lambda tx: tx.connection.execute(statement) and None)


def other_letter(letter: str) -> str:
    return "b" if letter == "a" else "a"


JUNK: list[tuple[str, Callable[[str], str], str]] = [
    ("empty", lambda key: "", "malformed"),
    ("one letter short", lambda key: key[:-1], "malformed"),
    ("one letter long", lambda key: key + "a", "malformed"),
    ("a space behind", lambda key: key + " ", "malformed"),
    ("upper case", lambda key: key.upper(), "malformed"),
    ("another brand", lambda key: "x" + key, "malformed"),
    ("another kind", lambda key: key.replace("_plive_", "_zlive_"), "malformed"),
    ("a session's prefix", lambda key: key.replace("_plive_", "_s_"), "malformed"),
    ("foreign letters", lambda key: key[:-20] + "ä" + key[-19:], "malformed"),
    ("a lone surrogate", lambda key: key[:-20] + "\ud800" + key[-19:], "malformed"),
    ("very long", lambda key: key + "a" * 1_000_000, "malformed"),
    ("a letter of the secret", lambda key: key[:40] + other_letter(key[40]) + key[41:], "checksum"),
    ("a letter of the checksum", lambda key: key[:-1] + other_letter(key[-1]), "checksum"),
    ("relabelled without its checksum", lambda key: key.replace("_plive_", "_slive_"), "checksum"),
]


@pytest.mark.proof("CS-REST-keys")
@pytest.mark.parametrize(
    ("change", "reason"), [(change, why) for _, change, why in JUNK], ids=[name for name, *_ in JUNK]
)
async def test_junk_costs_no_query(kit: Kit, statements: list[str], change: Callable[[str], str], reason: str) -> None:
    key = (await add_key(kit, await add_owner(kit))).key
    statements.clear()
    assert await refused(kit, change(key)) == f"api_key.{reason}"
    assert statements == []


@pytest.mark.parametrize("letter", range(0, 88, 3))
async def test_no_letter_may_be_missing(kit: Kit, statements: list[str], letter: int) -> None:
    key = api_key_format("admit", "p", "live").issue(KeyParts(1, bytes(16), bytes(32)).pack())
    assert (await refused(kit, key[:letter] + key[letter + 1 :])).startswith("api_key.")
    assert not [statement for statement in statements if "SELECT" in statement and "api_key" in statement]


async def test_a_key_of_another_environment_costs_no_query(kit: Kit, statements: list[str]) -> None:
    tests = ApiKeys(kit, Settings(api_keys=KeySettings(environment="test")), RIGHTS)
    owner = await add_owner(kit)
    created = await kit.work.write(lambda tx: tests.create(tx, owner, Terms("a", READ), ALL))
    assert isinstance(created, Created)
    statements.clear()
    assert await refused(kit, created.key) == "api_key.environment"
    assert statements == []
    assert isinstance(await tests.verify(created.key), Facts)


async def test_a_test_key_relabelled_as_a_live_one_is_refused(kit: Kit) -> None:
    tests = ApiKeys(kit, Settings(api_keys=KeySettings(environment="test")), RIGHTS)
    owner = await add_owner(kit)
    created = await kit.work.write(lambda tx: tests.create(tx, owner, Terms("a", READ), ALL))
    assert isinstance(created, Created)
    parts = tests.precheck(created.key)
    assert isinstance(parts, KeyParts)
    relabelled = api_key_format("admit", "p", "live").issue(parts.pack())
    assert await refused(kit, relabelled) == "api_key.environment"


async def test_a_live_key_costs_one_query_by_index(kit: Kit, statements: list[str]) -> None:
    person = await add_owner(kit)
    key = (await add_key(kit, await add_owner(kit, kind="service", answers=person))).key
    statements.clear()
    await live(kit, key)
    assert len([statement for statement in statements if statement.startswith("SELECT")]) == 1
    (select,) = [statement for statement in statements if "admit_api_key_secrets" in statement]
    plan = await kit.work.write(
        lambda tx: tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {select}", (1, b"x" * 32)).all()
    )
    assert len(plan) == 5
    assert not [step for step in plan if "SCAN" in step.detail], plan


async def test_an_unknown_key_costs_one_query(kit: Kit, statements: list[str]) -> None:
    unknown = api_key_format("admit", "p", "live").issue(KeyParts(1, kit.new_id(), kit.random(32)).pack())
    assert await refused(kit, unknown) == "api_key.unknown"
    assert len([statement for statement in statements if statement.startswith("SELECT")]) == 1


async def test_the_right_secret_under_another_id_or_tenant_is_unknown(kit: Kit) -> None:
    owner = await add_owner(kit)
    first, second = await add_key(kit, owner), await add_key(kit, owner)
    parts = keys_of(kit).precheck(first.key)
    assert isinstance(parts, KeyParts)
    form = api_key_format("admit", "p", "live")
    for wrong in (KeyParts(1, second.row.id, parts.secret), KeyParts(2, first.row.id, parts.secret)):
        assert await refused(kit, form.issue(wrong.pack())) == "api_key.unknown"


async def test_what_a_live_key_yields(kit: Kit) -> None:
    owner = await add_owner(kit, "writer")
    created = await kit.work.write(
        lambda tx: keys_of(kit).create(tx, owner, Terms("CI/CD", READ, limit=(5, 10**6)), ALL)
    )
    assert isinstance(created, Created)
    assert await live(kit, created.key) == Facts(
        subject=Subject("user", show("usr", owner)),
        owner=owner,
        credential=Credential("api_key", show("key", created.row.id), "CI/CD"),
        credential_id=created.row.id,
        scopes=READ,
        ties=((Tie("key", created.row.id), 1), (Tie("user", owner), 1), (TENANT, 1)),
        deadline=NEVER,
        limit=(5, 10**6),
    )


async def test_a_service_account_is_tied_to_who_answers_for_it(kit: Kit) -> None:
    person = await add_owner(kit, "writer")
    robot = await add_owner(kit, "writer", "service", person)
    created = await add_key(kit, robot, "read:posts", "write:posts")
    facts = await live(kit, created.key)
    assert facts.subject == Subject("service", show("usr", robot))
    assert dict(facts.ties) == {Tie("key", created.row.id): 1, Tie("user", robot): 1, TENANT: 1, Tie("user", person): 1}
    assert facts.limit is None
    assert facts.scopes == {"read:posts", "write:posts"}
    await update(kit, schema.users, person, roles="reader", version=2)
    facts = await live(kit, created.key)
    assert facts.scopes == READ
    assert dict(facts.ties)[Tie("user", person)] == 2


async def test_a_service_account_that_nobody_answers_for_has_its_own_rights(kit: Kit) -> None:
    robot = await add_owner(kit, "reader", "service")
    assert (await live(kit, (await add_key(kit, robot, "read:posts")).key)).scopes == READ


async def test_scopes_follow_the_owners_roles_down_and_up(kit: Kit) -> None:
    owner = await add_owner(kit, "editor")
    key = (await add_key(kit, owner)).key
    assert (await live(kit, key)).scopes == set(SCOPES)
    for roles, scopes in (
        ("reader", READ),
        ("", set()),
        ("gone", set()),
        ("reader writer", {"read:posts", "write:posts"}),
    ):
        await update(kit, schema.users, owner, roles=roles)
        assert (await live(kit, key)).scopes == scopes


async def test_the_deadline_is_the_first_end(kit: Kit, clock: ManualClock) -> None:
    owner, keys = await add_owner(kit), keys_of(kit)
    expires = clock.now() + micros(timedelta(hours=5))
    created = await kit.work.write(lambda tx: keys.create(tx, owner, Terms("a", READ, expires), ALL))
    assert isinstance(created, Created)
    assert (await live(kit, created.key)).deadline == expires
    key = created.row.id
    await kit.work.write(lambda tx: keys.rotate(tx, owner, key, ALL, timedelta(hours=1)))
    assert (await live(kit, created.key)).deadline == clock.now() + micros(timedelta(hours=1))


async def test_the_old_secret_lives_for_the_overlap(kit: Kit, clock: ManualClock) -> None:
    owner, keys = await add_owner(kit), keys_of(kit)
    first = await add_key(kit, owner)
    overlap = timedelta(hours=1)

    async def rotated() -> str:
        got = await kit.work.write(lambda tx: keys.rotate(tx, owner, first.row.id, ALL, overlap))
        assert isinstance(got, Created)
        return got.key

    second = await rotated()
    clock.advance(overlap - timedelta(microseconds=1))
    assert (await live(kit, first.key)).credential_id == (await live(kit, second)).credential_id
    clock.advance(timedelta(microseconds=1))
    assert await refused(kit, first.key) == "api_key.retired"
    third = await rotated()
    await live(kit, second)
    fourth = await rotated()
    assert await refused(kit, second) == "api_key.retired"
    assert (await live(kit, third)).deadline == clock.now() + micros(overlap)
    assert (await live(kit, fourth)).deadline == NEVER


async def test_a_rotation_without_overlap_ends_the_old_secret_now(kit: Kit) -> None:
    owner = await add_owner(kit)
    first = await add_key(kit, owner)
    await kit.work.write(lambda tx: keys_of(kit).rotate(tx, owner, first.row.id, ALL, timedelta(0)))
    assert await refused(kit, first.key) == "api_key.retired"


@pytest.mark.proof("CS-REST-keys", "ASVS-7.4.2")
async def test_each_way_to_be_dead_has_its_reason_and_the_first_one_counts(kit: Kit, clock: ManualClock) -> None:
    owner, keys = await add_owner(kit), keys_of(kit)
    expires = clock.now() + micros(timedelta(days=1))
    created = await kit.work.write(lambda tx: keys.create(tx, owner, Terms("a", READ, expires), ALL))
    assert isinstance(created, Created)
    key = created.row.id
    await live(kit, created.key)

    await update(kit, schema.tenants, 1, fenced_at=clock.now())
    assert await refused(kit, created.key) == "api_key.fenced"
    await update(kit, schema.users, owner, disabled_at=1)
    assert await refused(kit, created.key) == "api_key.owner_disabled"
    await kit.work.write(lambda tx: keys.change(tx, owner, key, Changes(disabled=True), ALL))
    assert await refused(kit, created.key) == "api_key.disabled"
    clock.advance(timedelta(days=1))
    assert await refused(kit, created.key) == "api_key.expired"
    retired = sa.update(schema.api_key_secrets).values(retires_at=clock.now())
    await kit.work.write(lambda tx: tx.connection.execute(retired) and None)
    assert await refused(kit, created.key) == "api_key.retired"
    await kit.work.write(lambda tx: keys.revoke(tx, owner, key, ALL))
    assert await refused(kit, created.key) == "api_key.revoked"


async def test_a_service_account_dies_with_who_answers_for_it(kit: Kit) -> None:
    person = await add_owner(kit)
    key = (await add_key(kit, await add_owner(kit, kind="service", answers=person))).key
    await live(kit, key)
    await update(kit, schema.users, person, disabled_at=1)
    assert await refused(kit, key) == "api_key.owner_disabled"
    await update(kit, schema.users, person, disabled_at=None)
    await live(kit, key)
    gone = sa.delete(schema.users).where(schema.users.c.id == person)
    await kit.work.write(lambda tx: tx.connection.execute(gone) and None)
    assert await refused(kit, key) == "api_key.owner_disabled"


async def test_a_disabled_key_and_a_disabled_owner_come_back(kit: Kit) -> None:
    owner, keys = await add_owner(kit), keys_of(kit)
    created = await add_key(kit, owner)
    key = created.row.id
    await kit.work.write(lambda tx: keys.change(tx, owner, key, Changes(disabled=True), ALL))
    assert await refused(kit, created.key) == "api_key.disabled"
    await kit.work.write(lambda tx: keys.change(tx, owner, key, Changes(disabled=False), ALL))
    await live(kit, created.key)


async def test_a_secret_made_after_a_fence_is_good(kit: Kit, clock: ManualClock) -> None:
    owner = await add_owner(kit)
    created = await add_key(kit, owner)
    await update(kit, schema.tenants, 1, fenced_at=clock.now(), version=2)
    clock.advance(timedelta(microseconds=1))
    rotated = await kit.work.write(lambda tx: keys_of(kit).rotate(tx, owner, created.row.id, ALL))
    assert isinstance(rotated, Created)
    assert dict((await live(kit, rotated.key)).ties)[TENANT] == 2
    assert await refused(kit, created.key) == "api_key.fenced"
