"""The verbs of API keys: what may be asked, by whom, and what it leaves in the store."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from admit.credentials.api_keys import ApiKeys, By, Changes, Created, KeyRow, Terms
from admit.ground.clock import micros
from admit.ground.errors import Refusal, Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.settings import KeySettings, Settings
from admit.stores.sql import schema
from admit.testing.clock import ManualClock
from admit.testing.key_suite import ALL, MOST, RIGHTS, SCOPES, add_key, add_owner, keys_of

DAY = micros(timedelta(days=1))
MINUTE = micros(timedelta(minutes=1))
READ = frozenset({"read:posts"})


def settled(kit: Kit, **settings: Any) -> ApiKeys:
    return ApiKeys(kit, Settings(api_keys=KeySettings(**settings)), RIGHTS)


async def create(kit: Kit, owner: bytes, terms: Terms, by: By = ALL, keys: ApiKeys | None = None) -> Created | Refused:
    return await kit.work.write(lambda tx: (keys or keys_of(kit)).create(tx, owner, terms, by))


async def made(kit: Kit, owner: bytes, terms: Terms, by: By = ALL, keys: ApiKeys | None = None) -> Created:
    got = await create(kit, owner, terms, by, keys)
    assert isinstance(got, Created), got
    return got


async def change(kit: Kit, owner: bytes, key: bytes, changes: Changes, by: By = ALL) -> KeyRow | Refused:
    return await kit.work.write(lambda tx: keys_of(kit).change(tx, owner, key, changes, by))


async def rotate(kit: Kit, owner: bytes, key: bytes, by: By = ALL, overlap: timedelta | None = None) -> Any:
    return await kit.work.write(lambda tx: keys_of(kit).rotate(tx, owner, key, by, overlap))


async def revoke(kit: Kit, owner: bytes, key: bytes) -> KeyRow | Refused:
    return await kit.work.write(lambda tx: keys_of(kit).revoke(tx, owner, key, ALL))


async def rows_of(kit: Kit, table: sa.Table) -> list[Any]:
    return await kit.work.read(lambda tx: list(tx.connection.execute(sa.select(table))))


async def voids(kit: Kit) -> list[tuple[str, bytes, int]]:
    return [(row.kind, bytes(row.tie_id), row.version) for row in await rows_of(kit, schema.voids)]


async def events(kit: Kit) -> list[Any]:
    return await rows_of(kit, schema.events)


@pytest.mark.proof("CS-REST-keys", "ASVS-11.5.1")
async def test_a_key_is_shown_once_and_only_a_digest_is_kept(kit: Kit) -> None:
    owner = await add_owner(kit)
    created = await made(kit, owner, Terms("CI/CD", READ))
    assert created.key.startswith("admit_plive_")
    assert len(created.key) == len("admit_plive_") + 70 + 6
    secret = keys_of(kit).precheck(created.key)
    assert not isinstance(secret, Refused)
    assert secret.id == created.row.id
    dump = repr([list(row) for table in schema.metadata.sorted_tables for row in await rows_of(kit, table)])
    for spelling in (created.key, secret.secret.hex(), repr(secret.secret)):
        assert spelling not in dump
    assert created.key not in repr(created)


@pytest.mark.proof("ASVS-14.2.6")
async def test_a_list_shows_prefix_and_last_four(kit: Kit) -> None:
    owner = await add_owner(kit)
    created = await made(kit, owner, Terms("Production Server", READ))
    (row,) = await kit.work.read(lambda tx: keys_of(kit).list(tx, owner))
    assert row == created.row
    assert row.hint == f"admit_plive_…{created.key[-4:]}"
    assert (row.name, row.scopes, row.created_at, row.last_used_at, row.uses) == (
        "Production Server", "read:posts", kit.clock.now(), None, None,
    )  # fmt: skip


async def test_the_text_names_people_and_service_accounts_apart(kit: Kit) -> None:
    person = await add_owner(kit)
    robot = await add_owner(kit, kind="service", answers=person)
    assert (await made(kit, robot, Terms("deploy", READ))).key.startswith("admit_slive_")


async def test_two_keys_of_one_moment_differ(kit: Kit) -> None:
    owner = await add_owner(kit)
    first, second = await made(kit, owner, Terms("a", READ)), await made(kit, owner, Terms("a", READ))
    assert first.key != second.key
    assert first.row.id != second.row.id


@pytest.mark.parametrize("name", ["a", "x" * 100, "  Büro – CI/CD  ", "日本語", "🚀 deploy"])
async def test_names_that_a_list_can_show(kit: Kit, name: str) -> None:
    owner = await add_owner(kit)
    assert (await made(kit, owner, Terms(name, READ))).row.name == name.strip()


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 101, "a\0b", "a\nb", "a\x1b[31m", "\u202eevil", "a\u2028b", "\ud800", "a\u200bb"]
)
async def test_names_that_it_could_not_show_honestly(kit: Kit, name: str) -> None:
    owner = await add_owner(kit)
    with pytest.raises(Refusal) as refusal:
        await create(kit, owner, Terms(name, READ))
    assert refusal.value.reason == "api_key.name"
    assert [error["field"] for error in refusal.value.fields["errors"]] == ["name"]
    assert await rows_of(kit, schema.api_keys) == []


async def test_scopes_must_exist(kit: Kit) -> None:
    owner = await add_owner(kit)
    with pytest.raises(Refusal) as refusal:
        await create(kit, owner, Terms("a", frozenset({"read:posts", "fly"})))
    assert (refusal.value.reason, refusal.value.fields) == ("rights.scope_unknown", {"unknown": ["fly"]})


async def test_nobody_gives_more_than_their_own_credential_holds(kit: Kit) -> None:
    owner = await add_owner(kit)
    assert await create(kit, owner, Terms("a", frozenset(SCOPES)), By(READ)) == Refused("rights.scope_not_held")
    assert (await made(kit, owner, Terms("a", READ), By(READ))).row.scopes == "read:posts"


async def test_a_key_gets_no_scope_that_waits_for_a_promotion(kit: Kit) -> None:
    reader = await add_owner(kit, "reader")
    assert await create(kit, reader, Terms("a", frozenset({"write:posts"}))) == Refused("rights.scope_not_held")
    robot = await add_owner(kit, "editor", "service", reader)
    assert await create(kit, robot, Terms("a", frozenset({"write:posts"}))) == Refused("rights.scope_not_held")


async def test_no_key_for_nobody_nor_for_a_disabled_account(kit: Kit) -> None:
    assert await create(kit, kit.new_id(), Terms("a", READ)) == Refused("people.not_found")
    person = await add_owner(kit)
    robot = await add_owner(kit, kind="service", answers=person)
    orphan = await add_owner(kit, kind="service", answers=kit.new_id())
    disabled = sa.update(schema.users).where(schema.users.c.id == person).values(disabled_at=1)
    await kit.work.write(lambda tx: tx.connection.execute(disabled) and None)
    for owner in (person, robot, orphan):
        assert await create(kit, owner, Terms("a", READ)) == Refused("api_key.owner_inactive")
    assert await rows_of(kit, schema.api_keys) == []


@pytest.mark.parametrize("ahead", [0, -1, micros(timedelta(days=36_501))])
async def test_an_expiry_lies_in_a_future_that_can_be_written_down(kit: Kit, ahead: int) -> None:
    owner = await add_owner(kit)
    with pytest.raises(Refusal) as refusal:
        await create(kit, owner, Terms("a", READ, kit.clock.now() + ahead))
    assert refusal.value.reason == "api_key.expiry"


async def test_the_longest_life_is_also_the_life_of_a_key_that_names_none(kit: Kit) -> None:
    owner, keys = await add_owner(kit), settled(kit, expires_after=timedelta(days=90))
    now = kit.clock.now()
    assert (await made(kit, owner, Terms("a", READ), keys=keys)).row.expires_at == now + 90 * DAY
    assert (await made(kit, owner, Terms("a", READ, now + DAY), keys=keys)).row.expires_at == now + DAY
    with pytest.raises(Refusal):
        await create(kit, owner, Terms("a", READ, now + 90 * DAY + 1), keys=keys)


@pytest.mark.parametrize("limit", [(1, MINUTE), (1000, MINUTE), (16, MINUTE // 60), (1000, DAY)])
async def test_a_key_may_have_a_tighter_limit(kit: Kit, limit: tuple[int, int]) -> None:
    owner = await add_owner(kit)
    assert (await made(kit, owner, Terms("a", READ, limit=limit))).row.limit == limit


@pytest.mark.parametrize(
    "limit", [(0, MINUTE), (-1, MINUTE), (10, 0), (10, DAY + 1), (1001, MINUTE), (17, MINUTE // 60), (2**31, DAY)]
)
async def test_a_limit_that_its_owner_could_lift_limits_nobody(kit: Kit, limit: tuple[int, int]) -> None:
    owner = await add_owner(kit)
    with pytest.raises(Refusal) as refusal:
        await create(kit, owner, Terms("a", READ, limit=limit))
    assert refusal.value.reason == "api_key.limit"


async def test_an_administrator_may_set_a_looser_one(kit: Kit) -> None:
    owner = await add_owner(kit)
    admin = By(READ | {"admit:admin"})
    assert (await made(kit, owner, Terms("a", READ, limit=(100_000, MINUTE)), admin)).row.limit == (100_000, MINUTE)


async def test_revoked_keys_make_room_and_expired_ones_do_not(kit: Kit, clock: ManualClock) -> None:
    owner = await add_owner(kit)
    created = [await made(kit, owner, Terms("a", READ, clock.now() + 1)) for _ in range(MOST)]
    clock.advance(timedelta(days=1))
    assert await create(kit, owner, Terms("a", READ)) == Refused("api_key.too_many")
    await revoke(kit, owner, created[0].row.id)
    await made(kit, owner, Terms("a", READ))
    assert await create(kit, owner, Terms("a", READ)) == Refused("api_key.too_many")
    await made(kit, await add_owner(kit), Terms("another's", READ))


@pytest.mark.proof("ASVS-8.2.2")
async def test_anothers_key_is_not_there_and_stays_as_it_is(kit: Kit) -> None:
    owner, other = await add_owner(kit), await add_owner(kit)
    key = (await add_key(kit, owner)).row
    keys = keys_of(kit)
    assert await kit.work.read(lambda tx: keys.get(tx, other, key.id)) is None
    assert await kit.work.read(lambda tx: keys.list(tx, other)) == []
    missing = Refused("api_key.not_found")
    for changes in (Changes(name="mine"), Changes(), Changes(scopes=READ), Changes(disabled=True)):
        assert await change(kit, other, key.id, changes) == missing
    assert await rotate(kit, other, key.id) == missing
    assert await revoke(kit, other, key.id) == missing
    assert await kit.work.read(lambda tx: keys.get(tx, owner, key.id)) == key
    assert await voids(kit) == []
    assert [event.type for event in await events(kit)] == ["api_key.created"]


async def test_a_change_touches_what_is_named_and_nothing_else(kit: Kit, clock: ManualClock) -> None:
    owner = await add_owner(kit)
    before = (await add_key(kit, owner)).row
    expires = clock.now() + DAY
    steps = [
        (Changes(name="new"), {"name": "new"}),
        (Changes(scopes=READ), {"scopes": "read:posts"}),
        (Changes(expires_at=expires), {"expires_at": expires}),
        (Changes(limit=(7, MINUTE)), {"limit_hits": 7, "limit_per": MINUTE}),
        (Changes(disabled=True), {"disabled_at": clock.now()}),
        (Changes(disabled=False), {"disabled_at": None}),
        (Changes(limit=None, expires_at=None), {"limit_hits": None, "limit_per": None, "expires_at": None}),
    ]
    for version, (changes, fields) in enumerate(steps, 2):
        after = await change(kit, owner, before.id, changes)
        assert after == before._replace(version=version, **fields)
        assert isinstance(after, KeyRow)
        before = after
    assert await voids(kit) == [("key", before.id, version) for version in range(2, 9)]
    assert [event.type for event in await events(kit)] == ["api_key.created"] + ["api_key.changed"] * 7


async def test_a_change_of_nothing_writes_nothing(kit: Kit) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row
    assert await change(kit, owner, key.id, Changes()) == key
    assert await voids(kit) == []


async def test_a_change_cannot_give_what_a_creation_could_not(kit: Kit) -> None:
    owner = await add_owner(kit, "writer")
    key = (await made(kit, owner, Terms("a", READ))).row
    wider = Changes(scopes=frozenset({"read:posts", "write:posts"}))
    assert await change(kit, owner, key.id, wider, By(READ)) == Refused("rights.scope_not_held")
    assert await change(kit, owner, key.id, Changes(scopes=frozenset(SCOPES))) == Refused("rights.scope_not_held")
    for wrong in (Changes(name=""), Changes(scopes=frozenset({"fly"})), Changes(expires_at=1), Changes(limit=(0, 0))):
        with pytest.raises(Refusal):
            await change(kit, owner, key.id, wrong)
    assert await kit.work.read(lambda tx: keys_of(kit).get(tx, owner, key.id)) == key
    assert isinstance(await change(kit, owner, key.id, wider), KeyRow)


async def test_a_rotation_keeps_the_key_and_changes_its_text(kit: Kit, clock: ManualClock) -> None:
    owner = await add_owner(kit)
    first = await add_key(kit, owner)
    second = await rotate(kit, owner, first.row.id)
    assert second.key != first.key
    old_until = clock.now() + DAY  # KeySettings.overlap
    assert second.row == first.row._replace(version=2, hint=f"admit_plive_…{second.key[-4:]}", old_until=old_until)
    assert await voids(kit) == [("key", first.row.id, 2)]
    clock.advance(timedelta(days=1))
    assert (await kit.work.read(lambda tx: keys_of(kit).get(tx, owner, first.row.id))).old_until is None  # type: ignore[union-attr]


async def test_the_overlap_has_bounds(kit: Kit) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row.id
    for overlap in (timedelta(seconds=-1), timedelta(days=31)):
        with pytest.raises(Refusal) as refusal:
            await rotate(kit, owner, key, overlap=overlap)
        assert refusal.value.reason == "api_key.overlap"
    assert await voids(kit) == []


async def test_a_narrow_credential_does_not_rotate_itself_a_wide_one(kit: Kit) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row.id
    assert await rotate(kit, owner, key, By(READ)) == Refused("rights.scope_not_held")
    assert await voids(kit) == []
    assert len(await rows_of(kit, schema.api_key_secrets)) == 1


async def test_whoever_lost_a_role_can_still_rotate_what_is_left_of_a_key(kit: Kit) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row.id
    demoted = sa.update(schema.users).where(schema.users.c.id == owner).values(roles="reader")
    await kit.work.write(lambda tx: tx.connection.execute(demoted) and None)
    assert isinstance(await rotate(kit, owner, key, By(READ)), Created)


async def test_a_revoked_key_is_gone_for_every_verb_and_listed_on_request(kit: Kit, clock: ManualClock) -> None:
    owner = await add_owner(kit)
    key = (await add_key(kit, owner)).row
    revoked = await revoke(kit, owner, key.id)
    assert revoked == key._replace(version=2, revoked_at=clock.now())
    missing = Refused("api_key.not_found")
    assert await revoke(kit, owner, key.id) == missing
    assert await rotate(kit, owner, key.id) == missing
    assert await change(kit, owner, key.id, Changes(name="back")) == missing
    assert await change(kit, owner, key.id, Changes()) == missing
    keys = keys_of(kit)
    assert await kit.work.read(lambda tx: keys.list(tx, owner)) == []
    assert await kit.work.read(lambda tx: keys.list(tx, owner, revoked=True)) == [revoked]
    assert await voids(kit) == [("key", key.id, 2)]


async def test_events_name_the_key_and_who_acted(kit: Kit) -> None:
    owner, admin = await add_owner(kit), await add_owner(kit)
    by = By(frozenset(SCOPES), Via("req-1", "198.51.100.7", "curl"), show("usr", admin))
    created = await made(kit, owner, Terms("a", READ), by)
    key = created.row.id

    def rest(tx: Tx) -> None:
        keys_of(kit).change(tx, owner, key, Changes(name="b"), by)
        keys_of(kit).rotate(tx, owner, key, by)
        keys_of(kit).revoke(tx, owner, key, by)

    await kit.work.write(rest)
    seen = await events(kit)
    assert [event.type for event in seen] == [
        "api_key.created", "api_key.changed", "api_key.rotated", "api_key.revoked",
    ]  # fmt: skip
    for event in seen:
        assert (event.subject, event.credential) == (show("usr", owner), show("key", key))
        assert (event.actor, event.request_id) == (show("usr", admin), "req-1")
    assert seen[0].data == {"scopes": ["read:posts"], "expires_at": None}
    assert seen[1].data == {"changed": ["name"]}


async def test_old_rows_are_forgotten_and_living_ones_are_not(kit: Kit, clock: ManualClock) -> None:
    owner = await add_owner(kit)
    kept, gone = (await add_key(kit, owner)).row.id, (await add_key(kit, owner)).row.id
    await rotate(kit, owner, kept, overlap=timedelta(0))
    await revoke(kit, owner, gone)
    clock.advance(timedelta(days=90))
    assert await kit.work.write(lambda tx: keys_of(kit).forget(tx)) == 0
    clock.advance(timedelta(microseconds=1))
    assert await kit.work.write(lambda tx: keys_of(kit).forget(tx)) == 2
    assert [row.id for row in await rows_of(kit, schema.api_keys)] == [kept]
    assert [row.key_id for row in await rows_of(kit, schema.api_key_secrets)] == [kept]
