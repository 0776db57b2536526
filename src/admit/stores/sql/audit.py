"""The sealed log: blocks, and which event stands at which place of which block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import events as inbox
from admit.stores.sql import schema

blocks = schema.audit_blocks
log = schema.audit_log
events = schema.events


class BlockRow(NamedTuple):
    """One block: `root` over its leaves, `previous` = digest of the block before, signed by the key `kid`."""

    height: int
    at: int
    size: int
    root: bytes
    previous: bytes
    kid: str
    signature: bytes


class LogRow(NamedTuple):
    """The place of one event: its row number and the leaf that the block's root commits to."""

    position: int
    seq: int
    leaf: bytes


def head(tx: Tx) -> BlockRow | None:
    """The newest block."""
    row = tx.connection.execute(sa.select(blocks).order_by(blocks.c.height.desc()).limit(1)).one_or_none()
    return None if row is None else BlockRow(*row)


def blocks_from(tx: Tx, height: int, limit: int) -> list[BlockRow]:
    """Up to `limit` blocks from a height on, rising."""
    wanted = sa.select(blocks).where(blocks.c.height >= height).order_by(blocks.c.height).limit(limit)
    return [BlockRow(*row) for row in tx.connection.execute(wanted)]


def append(tx: Tx, block: BlockRow, rows: Sequence[LogRow]) -> None:
    """Writes a block with its log. `IntegrityError` when another sealer has written that height or one of the events:
    the keys are the fence.
    """
    tx.connection.execute(sa.insert(blocks).values(block._asdict()))
    tx.connection.execute(sa.insert(log), [{"height": block.height, **row._asdict()} for row in rows])


def log_of(tx: Tx, height: int) -> list[LogRow]:
    """The places of one block, by position."""
    wanted = sa.select(log.c.position, log.c.seq, log.c.leaf).where(log.c.height == height).order_by(log.c.position)
    return [LogRow(*row) for row in tx.connection.execute(wanted)]


def sealed(tx: Tx, wanted: Sequence[int]) -> set[int]:
    """Which of these row numbers stand in the log already."""
    return set(tx.connection.execute(sa.select(log.c.seq).where(log.c.seq.in_(wanted))).scalars())


def unsealed(tx: Tx, behind: inbox.Position | None, limit: int) -> list[tuple[int, bytes]]:
    """Row number and id of events that are in no block; with `behind`, only those at or before that position, where the
    sealer has passed and nothing may stand outside a block.
    """
    wanted = (
        sa.select(events.c.seq, events.c.id)
        .select_from(sa.outerjoin(events, log, log.c.seq == events.c.seq))
        .where(log.c.seq.is_(None))
        .order_by(events.c.seq)
        .limit(limit)
    )
    if behind is not None:
        wanted = wanted.where(inbox.up_to(tx, behind))
    return [(seq, identifier) for seq, identifier in tx.connection.execute(wanted)]


def count_unsealed(tx: Tx) -> int:
    """How many events wait for the sealer."""
    outside = sa.outerjoin(events, log, log.c.seq == events.c.seq)
    wanted = sa.select(sa.func.count()).select_from(outside).where(log.c.seq.is_(None))
    return int(tx.connection.execute(wanted).scalar_one())


def strangers(tx: Tx) -> int:
    """How many log rows belong to no block: added behind the sealer's back, or their block is gone."""
    orphans = sa.outerjoin(log, blocks, blocks.c.height == log.c.height)
    wanted = sa.select(sa.func.count()).select_from(orphans).where(blocks.c.height.is_(None))
    return int(tx.connection.execute(wanted).scalar_one())
