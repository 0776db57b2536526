"""The sealer: takes events from the inbox, in commit order, into signed blocks that hang on each other.

Chaining hashes inside each transaction would cost most of the commit rate; so one leader step does it a moment later.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.audit.keys import Signer
from admit.audit.leaves import canonical, leaf, root
from admit.ground.kit import Kit
from admit.ground.logs import logger, stamp
from admit.ground.work import Tx
from admit.stores.sql import audit, cursors, events
from admit.stores.sql.audit import BlockRow, LogRow

log = logger("admit.audit")

CURSOR = "seal"
GENESIS = bytes(32)
_DOMAIN = b"admit audit block v1\n"


def header(block: BlockRow) -> bytes:
    """The bytes that are signed, and whose digest the next block names."""
    fields = {
        "height": block.height, "at": block.at, "size": block.size, "root": block.root.hex(),
        "previous": block.previous.hex(), "kid": block.kid,
    }  # fmt: skip
    return _DOMAIN + json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def digest(block: BlockRow) -> bytes:
    """What the next block names as `previous` (32 bytes)."""
    return hashlib.sha256(header(block)).digest()


class _Seen(NamedTuple):
    head: BlockRow | None
    page: events.Page
    fresh: list[events.EventRow]


class Sealer:
    """One step of sealing: `seal_once`. Any number may run at once: the key on the block's height is the fence."""

    def __init__(self, kit: Kit, key: Signer, *, size: int = 1000) -> None:
        self._kit = kit
        self._key = key
        self._size = size

    async def seal_once(self) -> BlockRow | None:
        """Seals up to `size` events as one block; None when there was nothing, or another sealer was first."""
        return (await self._seal())[0]

    async def step(self) -> bool:
        """`seal_once` as a leader step: True when more events may wait."""
        return (await self._seal())[1]

    async def _seal(self) -> tuple[BlockRow | None, bool]:
        # hashing and signing happen between two transactions, so no writer waits for them
        seen = await self._kit.work.read(self._look)
        if not seen.page.rows:
            return None, False
        if not seen.fresh:
            await self._kit.work.write(lambda tx: cursors.save(tx, CURSOR, seen.page.position))
            return None, True
        rows = [LogRow(at, row.seq, leaf(canonical(row))) for at, row in enumerate(seen.fresh)]
        block = self._block(seen.head, rows)
        return await self._append(block, rows, seen.page), True

    def _look(self, tx: Tx) -> _Seen:
        head = audit.head(tx)
        page = events.page(tx, cursors.load(tx, CURSOR), self._size)
        # a cursor that was lost, or begun anew after a restore, leads over events that have their block already
        done = audit.sealed(tx, [row.seq for row in page.rows]) if page.rows else set()
        return _Seen(head, page, [row for row in page.rows if row.seq not in done])

    def _block(self, head: BlockRow | None, rows: list[LogRow]) -> BlockRow:
        height, previous = (1, GENESIS) if head is None else (head.height + 1, digest(head))
        tree = root([row.leaf for row in rows])
        bare = BlockRow(height, self._kit.clock.now(), len(rows), tree, previous, self._key.kid, b"")
        return bare._replace(signature=self._key.sign(header(bare)))

    async def _append(self, block: BlockRow, rows: list[LogRow], page: events.Page) -> BlockRow | None:
        def body(tx: Tx) -> None:
            audit.append(tx, block, rows)
            cursors.save(tx, CURSOR, page.position)

        try:
            await self._kit.work.write(body)
        except sa.exc.IntegrityError:
            log.info("seal.overtaken", height=block.height)
            return None
        return block


# -- checkpoints ---------------------------------------------------------------------------------------------------


def export(block: BlockRow, to: Path | None = None) -> str:
    """Anchors a block outside the database: appends its checkpoint to a file, or logs it. Returns the line.

    Whoever can rewrite the whole database can also cut off the tail of the log; a checkpoint elsewhere shows it.
    """
    line = json.dumps({**_shown(block), "at": stamp(block.at), "digest": digest(block).hex()}, sort_keys=True)
    if to is None:
        log.info("audit.checkpoint", **json.loads(line))
        return line
    with to.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return line


def _shown(block: BlockRow) -> dict[str, Any]:
    return {"height": block.height, "size": block.size, "kid": block.kid, "signature": block.signature.hex()}


class Checkpoint(NamedTuple):
    """An anchored block: at this height stood the block with this digest (32 bytes)."""

    height: int
    digest: bytes

    @classmethod
    def read(cls, line: str) -> Checkpoint:
        """From a line that `export` wrote; `ValueError` for anything else."""
        try:
            fields = json.loads(line)
            return cls(int(fields["height"]), bytes.fromhex(fields["digest"]))
        except (KeyError, TypeError) as error:
            raise ValueError("not a checkpoint") from error
