"""The sealed log: complete, in commit order, and never forked."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from admit.audit.keys import AuditKey, PublicAuditKey
from admit.audit.leaves import leaf, root
from admit.audit.seal import GENESIS, Checkpoint, Sealer, digest, export, header
from admit.audit.verify import verify
from admit.ground.events import Event
from admit.ground.kit import Kit
from admit.stores.sql import audit, schema
from admit.stores.sql.database import Database
from admit.testing.clock import ManualClock
from tests.parts.stores import Meeting
from tests.unit.audit.conftest import Open

KEY = AuditKey.from_seed(bytes(range(32)))

# Certificate Transparency's reference tree (RFC 9162 section 2.1.3 uses the same construction)
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


async def emit(kit: Kit, *reasons: str) -> None:
    """One unit of work per event."""
    for reason in reasons:
        await kit.work.write(
            lambda tx, reason=reason: tx.emit(
                Event("request.refused", "refused", reason, request_id=f"req-{reason}", address="192.0.2.7")
            )
        )


async def seal_all(sealer: Sealer) -> list[audit.BlockRow]:
    blocks = []
    while block := await sealer.seal_once():
        blocks.append(block)
    return blocks


async def drain(sealer: Sealer) -> None:
    """Steps until there is no more; bounded, so that a sealer that never comes to an end fails."""
    for _ in range(20):
        if not await sealer.step():
            return
    raise AssertionError("the sealer never comes to an end")


@pytest.mark.rfc("RFC 9162 2.1.1")
@pytest.mark.parametrize("size", range(9))
def test_merkle_root(size: int) -> None:
    assert root([leaf(bytes.fromhex(text)) for text in LEAVES[:size]]).hex() == ROOTS[size]


async def test_nothing_gives_no_block(kit: Kit) -> None:
    sealer = Sealer(kit, KEY)
    assert await sealer.seal_once() is None
    assert not await sealer.step()


@pytest.mark.proof("ASVS-16.4.2")
async def test_blocks_hang_on_each_other_and_are_signed(kit: Kit) -> None:
    await emit(kit, *"abcdefg")
    blocks = await seal_all(Sealer(kit, KEY, size=3))
    assert [(block.height, block.size) for block in blocks] == [(1, 3), (2, 3), (3, 1)]
    assert [block.previous for block in blocks] == [GENESIS, digest(blocks[0]), digest(blocks[1])]
    public = PublicAuditKey.from_raw(KEY.raw())
    assert all(public.verify(header(block), block.signature) for block in blocks)
    report = await verify(kit.work, [public])
    assert (report.ok, report.blocks, report.events, report.waiting) == (True, 3, 7, 0)


async def test_a_step_says_whether_there_may_be_more(kit: Kit) -> None:
    await emit(kit, *"abc")
    sealer = Sealer(kit, KEY, size=2)
    assert [await sealer.step() for _ in range(3)] == [True, True, False]


async def test_two_sealers_cannot_fork_the_chain(kit: Kit, another: Open, clock: ManualClock) -> None:
    await emit(kit, *"abcdef")
    barrier = asyncio.Barrier(2)
    sealers = [Sealer(Kit(Meeting(await another(), barrier), clock), KEY, size=4) for _ in range(2)]
    # both have read the same head and the same events before either writes
    first = await asyncio.gather(*(sealer.seal_once() for sealer in sealers))
    assert sorted(block.height if block else 0 for block in first) == [0, 1]
    for sealer in sealers:
        await seal_all(sealer)
    report = await verify(kit.work, [KEY])
    assert (report.ok, report.blocks, report.events, report.waiting) == (True, 2, 6, 0)


async def test_many_sealers_beside_writers_seal_each_event_once(kit: Kit, another: Open, clock: ManualClock) -> None:
    stores = [await another() for _ in range(3)]
    sealers = [Sealer(Kit(store, clock), KEY, size=5) for store in stores]

    async def write(name: str) -> None:
        for number in range(15):
            await emit(kit, f"{name}{number}")

    async def seal(sealer: Sealer) -> None:
        for _ in range(25):
            await sealer.seal_once()

    await asyncio.gather(*(write(name) for name in "ab"), *(seal(sealer) for sealer in sealers))
    await seal_all(sealers[0])
    report = await verify(kit.work, [KEY])
    assert (report.problems, report.events, report.waiting) == ([], 30, 0)


async def test_a_lost_cursor_seals_nothing_twice(kit: Kit) -> None:
    await emit(kit, *"abcde")
    sealer = Sealer(kit, KEY, size=2)
    await seal_all(sealer)
    await kit.work.write(lambda tx: tx.connection.execute(sa.delete(schema.cursors)))
    await emit(kit, "f")
    await drain(sealer)
    report = await verify(kit.work, [KEY])
    assert (report.ok, report.blocks, report.events, report.waiting) == (True, 4, 6, 0)


@pytest.mark.postgres
async def test_a_late_commit_is_neither_missed_nor_overtaken(pg_database: str, clock: ManualClock) -> None:
    store = await _postgres(pg_database, clock)
    kit, slow = Kit(store, clock), await asyncpg.connect(pg_database)
    try:
        await emit(kit, "before")
        transaction = slow.transaction()
        await transaction.start()
        await slow.execute(
            "INSERT INTO admit_events (id, tenant, at, type, version, outcome, reason, data) "
            "VALUES (decode('00112233445566778899aabbccddeeff', 'hex'), 1, 1, 'request.refused', 1, 'refused', 'slow', '{}')"
        )
        await emit(kit, "after")
        sealer = Sealer(kit, KEY)
        block = await sealer.seal_once()
        assert block is not None
        assert block.size == 1  # "after" has a higher number than a transaction that is still open
        assert await sealer.seal_once() is None
        await transaction.commit()
        block = await sealer.seal_once()
        assert block is not None
        assert block.size == 2
        report = await verify(store, [KEY])
        assert (report.ok, report.events, report.waiting) == (True, 3, 0)
    finally:
        await slow.close()
        await store.close()


async def _postgres(url: str, clock: ManualClock) -> Database:
    from tests.parts.stores import opened

    return await opened(url, clock)


@pytest.mark.postgres
async def test_in_another_cluster_reading_begins_anew(pg_database: str, clock: ManualClock) -> None:
    store = await _postgres(pg_database, clock)
    kit = Kit(store, clock)
    try:
        await emit(kit, *"abc")
        sealer = Sealer(kit, KEY)
        await seal_all(sealer)
        # as after a restore of a dump: the cursor speaks of transactions that this cluster never had
        await store.write(
            lambda tx: tx.connection.execute(
                sa.update(schema.cursors).values(position=1, state={"system": "42", "xid": 10**15})
            )
        )
        await emit(kit, *"de")
        await drain(sealer)
        report = await verify(store, [KEY])
        assert (report.ok, report.events, report.waiting) == (True, 5, 0)
    finally:
        await store.close()


async def test_a_checkpoint_is_a_line_that_can_be_read_back(
    kit: Kit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await emit(kit, *"abc")
    blocks = await seal_all(Sealer(kit, KEY, size=1))
    file = tmp_path / "checkpoints.jsonl"
    for block in blocks:
        export(block, file)
    lines = file.read_text().splitlines()
    assert [Checkpoint.read(line) for line in lines] == [Checkpoint(b.height, digest(b)) for b in blocks]
    with caplog.at_level("INFO"):
        export(blocks[0])
    assert digest(blocks[0]).hex() in caplog.text


@pytest.mark.parametrize("line", ["", "{}", "[]", "null", '{"height": 1}', '{"height": 1, "digest": "zz"}', "1"])
def test_other_lines_are_no_checkpoint(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Checkpoint.read(line)


def test_the_key_names_itself_and_keeps_its_secret() -> None:
    again = AuditKey.from_seed(KEY.seed())
    assert again.kid == KEY.kid == PublicAuditKey.from_raw(KEY.raw()).kid
    assert AuditKey.from_seed(bytes(32)).kid != KEY.kid
    assert KEY.seed().hex() not in repr(KEY)
    assert not KEY.verify(b"data", KEY.sign(b"other"))
    assert not KEY.verify(b"data", b"short")
