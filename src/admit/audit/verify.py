"""Walks the sealed log and says what is untouched and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple

from admit.audit.keys import Verifier
from admit.audit.leaves import canonical, leaf, root
from admit.audit.seal import GENESIS, Checkpoint, digest, header
from admit.ground.ids import show
from admit.ground.work import Tx, Work
from admit.stores.sql import audit, events
from admit.stores.sql.audit import BlockRow, LogRow
from admit.stores.sql.events import EventRow

ProblemKind = Literal[
    "event_altered", "event_deleted", "event_inserted", "event_reordered", "personal_altered", "log_altered",
    "block_missing", "block_altered", "signature_wrong", "key_unknown", "truncated", "checkpoint_differs",
]  # fmt: skip

#: problems that a report lists one by one; the rest is counted
MOST = 1000
_WORDS: dict[ProblemKind, str] = {
    "event_altered": "this event was changed after it was sealed",
    "event_deleted": "this event was sealed and is gone",
    "event_inserted": "this event stands where the sealer has passed, in no block: it was added afterwards",
    "event_reordered": "this event stands at another place than the one it was sealed at",
    "personal_altered": "the address, agent or identifier of this event was changed",
    "log_altered": "the log of this block does not give the root that was signed",
    "block_missing": "a block is missing before this one",
    "block_altered": "the block before this one is not the one that this one was built on",
    "signature_wrong": "the signature of this block is not the audit key's",
    "key_unknown": "this block names an audit key that is not known here",
    "truncated": "a checkpoint names this block, and the log ends before it",
    "checkpoint_differs": "the block at this height is not the one that the checkpoint anchored",
}


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: in which block, at which event."""

    kind: ProblemKind
    height: int | None = None
    event: str | None = None
    seq: int | None = None

    @property
    def text(self) -> str:
        """In plain words."""
        return _WORDS[self.kind]


@dataclass(slots=True)
class Report:
    """What the walk found. `ok` when nothing is wrong; `waiting` events are newer than the last block."""

    blocks: int = 0
    events: int = 0
    erased: int = 0
    waiting: int = 0
    problems: list[Problem] = field(default_factory=list)
    further: int = 0

    @property
    def ok(self) -> bool:
        return not self.problems

    def add(self, problem: Problem) -> None:
        """Notes a problem; only counts it past the first thousand."""
        if len(self.problems) < MOST:
            self.problems.append(problem)
        else:
            self.further += 1


class Progress(NamedTuple):
    """How far the walk has come: blocks done, and the height of the newest."""

    done: int
    of: int


class _Sealed(NamedTuple):
    """A block with its log and the events that are still there."""

    block: BlockRow
    log: list[LogRow]
    rows: dict[int, EventRow]


async def verify(
    work: Work,
    keys: Iterable[Verifier],
    checkpoints: Iterable[Checkpoint] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Compares every sealed event with its block, the blocks with each other and with their signatures, and the log
    with checkpoints that were anchored elsewhere (without one, a cut-off tail cannot be seen).

    An event whose personal data was erased verifies: the log holds only its salted digest. What is not seen: an event
    that was forged before the sealer came by. Raises `Unavailable` when the store is down.
    """
    report = Report()
    known = {key.kid: key for key in keys}
    anchors: dict[int, list[bytes]] = {}
    for checkpoint in checkpoints:
        anchors.setdefault(checkpoint.height, []).append(checkpoint.digest)
    head = await work.read(audit.head)
    top = 0 if head is None else head.height
    before: BlockRow | None = None
    last: events.Position | None = None
    while part := await work.read(partial(_read, after=before)):
        for sealed in part:
            _check_block(report, sealed, before, known)
            _check_anchor(report, sealed.block, anchors.pop(sealed.block.height, ()))
            last = _check_events(report, sealed) or last
            before = sealed.block
            if progress is not None:
                progress(Progress(report.blocks, max(top, report.blocks)))
    for height in sorted(anchors):
        report.add(Problem("truncated", height))
    await work.read(partial(_check_outside, report=report, last=last))
    return report


def _read(tx: Tx, after: BlockRow | None) -> list[_Sealed]:
    blocks = audit.blocks_from(tx, -(2**62) if after is None else after.height + 1, 5)
    return [_with_events(tx, block) for block in blocks]


def _with_events(tx: Tx, block: BlockRow) -> _Sealed:
    log = audit.log_of(tx, block.height)
    return _Sealed(block, log, events.by_seq(tx, [row.seq for row in log]))


def _check_block(report: Report, sealed: _Sealed, before: BlockRow | None, known: Mapping[str, Verifier]) -> None:
    block = sealed.block
    report.blocks += 1
    height, previous = (0, GENESIS) if before is None else (before.height, digest(before))
    if block.height != height + 1:
        report.add(Problem("block_missing", block.height))
    elif block.previous != previous:
        report.add(Problem("block_altered", block.height))
    key = known.get(block.kid)
    if key is None:
        report.add(Problem("key_unknown", block.height))
    elif not key.verify(header(block), block.signature):
        report.add(Problem("signature_wrong", block.height))


def _check_anchor(report: Report, block: BlockRow, digests: Sequence[bytes]) -> None:
    if any(anchored != digest(block) for anchored in digests):
        report.add(Problem("checkpoint_differs", block.height))


def _check_events(report: Report, sealed: _Sealed) -> events.Position | None:
    """Each event against its leaf, the leaves against the root; the position of the last event that is still there."""
    block, leaves = sealed.block, [row.leaf for row in sealed.log]
    of_block = set(leaves)
    for row in sealed.log:
        report.events += 1
        event = sealed.rows.get(row.seq)
        if event is None:
            report.add(Problem("event_deleted", block.height, seq=row.seq))
            continue
        found = leaf(canonical(event))
        if found != row.leaf:
            kind: ProblemKind = "event_reordered" if found in of_block else "event_altered"
            report.add(Problem(kind, block.height, show("evt", event.id), row.seq))
        _check_personal(report, event, block.height)
    if root(leaves) != block.root or len(leaves) != block.size:
        _explain_root(report, sealed)
    present = [events.Position("", row.xid, row.seq) for row in sealed.rows.values()]
    return max(present, default=None)


def _check_personal(report: Report, event: EventRow, height: int) -> None:
    if event.salt is None:
        report.erased += event.personal is not None
        return
    personal = {"address": event.address, "agent": event.agent, "identifier": event.identifier}
    if events.personal_digest(event.salt, personal) != event.personal:
        report.add(Problem("personal_altered", height, show("evt", event.id), event.seq))


def _explain_root(report: Report, sealed: _Sealed) -> None:
    """Whether the log rows merely changed places, or are others than those that were signed."""
    height = sealed.block.height
    in_order = sorted(sealed.rows.values(), key=lambda row: (row.xid, row.seq))
    original = [leaf(canonical(row)) for row in in_order]
    if len(sealed.log) != sealed.block.size or root(original) != sealed.block.root:
        report.add(Problem("log_altered", height))
        return
    for row, event in zip(sealed.log, in_order, strict=False):
        if row.seq != event.seq:
            report.add(Problem("event_reordered", height, show("evt", sealed.rows[row.seq].id), row.seq))


def _check_outside(tx: Tx, report: Report, last: events.Position | None) -> None:
    if last is not None:
        behind = audit.unsealed(tx, last, MOST)
        for seq, identifier in behind:
            report.add(Problem("event_inserted", event=show("evt", identifier), seq=seq))
    report.waiting = audit.count_unsealed(tx) - sum(one.kind == "event_inserted" for one in report.problems)
    if audit.strangers(tx):
        report.add(Problem("log_altered"))
