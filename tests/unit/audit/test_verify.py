"""Whoever changes the log behind our back is seen."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from admit.audit.keys import AuditKey
from admit.audit.leaves import root
from admit.audit.seal import Checkpoint, Sealer, digest, header
from admit.audit.verify import Progress, Report, verify
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.stores.sql import audit, schema
from tests.unit.audit.test_seal import KEY, emit, seal_all

events, log, blocks, persons = schema.events, schema.audit_log, schema.audit_blocks, schema.event_persons

pytestmark = pytest.mark.proof("ASVS-16.4.2")


@pytest.fixture
async def sealed(kit: Kit) -> list[audit.BlockRow]:
    """Three blocks over eight events: seq 1 to 3, 4 to 6, 7 and 8."""
    await emit(kit, *"abcdefgh")
    return await seal_all(Sealer(kit, KEY, size=3))


async def alter(kit: Kit, *statements: Any) -> None:
    def body(tx: Tx) -> None:
        for statement in statements:
            assert tx.connection.execute(statement).rowcount >= 1

    await kit.work.write(body)


async def kinds(kit: Kit, *checkpoints: Checkpoint) -> list[tuple[str, int | None, int | None]]:
    report = await verify(kit.work, [KEY], checkpoints)
    return [(problem.kind, problem.height, problem.seq) for problem in report.problems]


async def seqs(kit: Kit) -> list[int]:
    return list(
        await kit.work.read(lambda tx: tx.connection.execute(sa.select(events.c.seq).order_by("seq")).scalars().all())
    )


async def test_untouched(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    await emit(kit, "new")
    steps: list[Progress] = []
    report = await verify(kit.work, [KEY], [Checkpoint(block.height, digest(block)) for block in sealed], steps.append)
    assert (report.ok, report.blocks, report.events, report.waiting, report.erased) == (True, 3, 8, 1, 0)
    assert steps == [Progress(1, 3), Progress(2, 3), Progress(3, 3)]


async def test_an_empty_log_is_whole(kit: Kit) -> None:
    assert (await verify(kit.work, [KEY])).ok


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("reason", "other"), ("outcome", "success"), ("subject", "usr_x"), ("at", 5), ("count", 2), ("type", "mail.sent"),
        ("actor", "a"), ("credential", "c"), ("client", "c"), ("session", "s"), ("request_id", "r"), ("version", 2),
        ("data", {"a": 1}), ("personal", bytes(32)), ("tenant", 2),
    ],
)  # fmt: skip
async def test_an_altered_event(kit: Kit, sealed: list[audit.BlockRow], column: str, value: object) -> None:
    fifth = (await seqs(kit))[4]
    await alter(kit, sa.update(events).where(events.c.seq == fifth).values({column: value}))
    assert ("event_altered", 2, fifth) in await kinds(kit)


async def test_an_altered_identifier(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    fifth = (await seqs(kit))[4]
    await alter(kit, sa.update(events).where(events.c.seq == fifth).values(id=bytes(16)))
    assert await kinds(kit) == [("event_altered", 2, fifth)]


async def test_a_deleted_event(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    fifth = (await seqs(kit))[4]
    await alter(kit, sa.delete(events).where(events.c.seq == fifth))
    assert await kinds(kit) == [("event_deleted", 2, fifth)]


async def test_an_event_deleted_with_its_place(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    fifth = (await seqs(kit))[4]
    await alter(kit, sa.delete(events).where(events.c.seq == fifth), sa.delete(log).where(log.c.seq == fifth))
    assert await kinds(kit) == [("log_altered", 2, None)]


async def test_an_inserted_event(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    values: dict[str, Any] = {
        "seq": -1, "id": b"\x01" * 16, "tenant": 1, "at": 1, "type": "login.succeeded", "version": 1,
        "outcome": "success", "data": {},
    }  # fmt: skip
    await alter(kit, sa.insert(events).values(values))
    if kit.work.dialect == "postgresql":  # type: ignore[attr-defined]
        # its transaction is newer than the log, so it would be sealed as new: the forger must lie about that as well
        await alter(kit, sa.text("UPDATE admit_events SET xid = '3'::xid8 WHERE seq = -1"))
    assert await kinds(kit) == [("event_inserted", None, -1)]
    assert (await verify(kit.work, [KEY])).waiting == 0


async def test_an_event_inserted_into_a_block(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    values = {"height": 2, "position": 3, "seq": 99, "leaf": bytes(32)}
    await alter(kit, sa.insert(log).values(values))
    assert ("log_altered", 2, None) in await kinds(kit)


async def test_two_events_that_changed_places(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    one, two = (await seqs(kit))[3:5]
    seq = events.c.seq
    await alter(
        kit,
        sa.update(events).where(seq == one).values(seq=-one),
        sa.update(events).where(seq == two).values(seq=one),
        sa.update(events).where(seq == -one).values(seq=two),
    )
    assert await kinds(kit) == [("event_reordered", 2, one), ("event_reordered", 2, two)]


async def test_two_log_rows_that_changed_places(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    one, two = (await seqs(kit))[3:5]
    await alter(
        kit,
        sa.update(log).where(log.c.seq == one).values(position=7),
        sa.update(log).where(log.c.seq == two).values(position=0),
        sa.update(log).where(log.c.seq == one).values(position=1),
    )
    assert await kinds(kit) == [("event_reordered", 2, two), ("event_reordered", 2, one)]


async def test_an_event_and_its_leaf_altered_together(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    fifth = (await seqs(kit))[4]
    await alter(
        kit,
        sa.update(events).where(events.c.seq == fifth).values(reason="other"),
        sa.update(log).where(log.c.seq == fifth).values(leaf=bytes(32)),
    )
    assert await kinds(kit) == [("event_altered", 2, fifth), ("log_altered", 2, None)]


async def _rebuilt(kit: Kit, height: int, key: AuditKey) -> audit.BlockRow:
    """The block over the leaves as they stand now, signed by `key`."""
    block, rows = await kit.work.read(lambda tx: (audit.blocks_from(tx, height, 1)[0], audit.log_of(tx, height)))
    bare = block._replace(root=root([row.leaf for row in rows]), kid=key.kid)
    return bare._replace(signature=key.sign(header(bare)))


async def _rewrite(kit: Kit, key: AuditKey) -> None:
    """A forger who rewrites an event, its leaf and the whole chain from there on."""
    from admit.audit.leaves import canonical, leaf
    from admit.stores.sql import events as inbox

    fifth = (await seqs(kit))[4]
    await alter(kit, sa.update(events).where(events.c.seq == fifth).values(reason="other"))
    row = (await kit.work.read(lambda tx: inbox.by_seq(tx, [fifth])))[fifth]
    await alter(kit, sa.update(log).where(log.c.seq == fifth).values(leaf=leaf(canonical(row))))
    previous: bytes | None = None
    for height in (2, 3):
        block = await _rebuilt(kit, height, key)
        if previous is not None:
            block = block._replace(previous=previous)
            block = block._replace(signature=key.sign(header(block)))
        previous = digest(block)
        await alter(kit, sa.update(blocks).where(blocks.c.height == height).values(block._asdict()))


async def test_a_chain_rewritten_with_another_key(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    await _rewrite(kit, AuditKey.from_seed(bytes(32)))
    assert await kinds(kit) == [("key_unknown", 2, None), ("key_unknown", 3, None)]


async def test_a_chain_rewritten_under_the_name_of_our_key(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    await _rewrite(kit, AuditKey.from_seed(bytes(32)))
    await alter(kit, sa.update(blocks).values(kid=KEY.kid))
    assert ("signature_wrong", 2, None) in await kinds(kit)


async def test_a_chain_rewritten_with_the_stolen_key_differs_from_its_checkpoint(
    kit: Kit, sealed: list[audit.BlockRow]
) -> None:
    await _rewrite(kit, KEY)
    assert await kinds(kit) == []
    anchored = Checkpoint(3, digest(sealed[2]))
    assert await kinds(kit, anchored) == [("checkpoint_differs", 3, None)]


async def test_a_missing_block(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    await alter(kit, sa.delete(blocks).where(blocks.c.height == 2))
    found = [kind for kind, _, _ in await kinds(kit)]
    assert "block_missing" in found
    assert "log_altered" in found  # its places belong to no block now


async def test_a_missing_first_block(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    await alter(kit, sa.delete(blocks).where(blocks.c.height == 1), sa.delete(log).where(log.c.height == 1))
    assert ("block_missing", 2, None) in await kinds(kit)


async def test_a_truncated_tail(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    anchored = Checkpoint(3, digest(sealed[2]))
    last = (await seqs(kit))[6:]
    await alter(
        kit,
        sa.delete(blocks).where(blocks.c.height == 3),
        sa.delete(log).where(log.c.height == 3),
        sa.delete(events).where(events.c.seq.in_(last)),
    )
    assert await kinds(kit, anchored) == [("truncated", 3, None)]
    # without an anchor elsewhere nothing tells: that is what checkpoints are for
    assert await kinds(kit) == []


async def test_altered_personal_data(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    rows = await kit.work.read(lambda tx: tx.connection.execute(sa.select(events.c.seq, events.c.id)).all())
    fifth, identifier = sorted(rows)[4]
    await alter(kit, sa.update(persons).where(persons.c.event_id == identifier).values(address="203.0.113.9"))
    assert await kinds(kit) == [("personal_altered", 2, fifth)]


async def test_erased_personal_data_still_verifies(kit: Kit, sealed: list[audit.BlockRow]) -> None:
    await alter(kit, sa.delete(persons))
    report = await verify(kit.work, [KEY])
    assert (report.ok, report.erased) == (True, 8)


async def test_problems_past_the_thousandth_are_counted() -> None:
    from admit.audit.verify import MOST, Problem

    report = Report()
    for seq in range(MOST + 5):
        report.add(Problem("event_deleted", 1, seq=seq))
    assert (len(report.problems), report.further, report.ok) == (MOST, 5, False)
    assert report.problems[0].text
