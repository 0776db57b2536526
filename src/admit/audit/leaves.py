"""What the sealed log commits to: the canonical form of an event, and the Merkle tree over them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from admit.stores.sql.events import EventRow


def canonical(row: EventRow) -> bytes:
    """The event as JSON with sorted names and no spaces. Of personal data only the salted digest stands in it, so that
    erasing the data itself leaves the log verifiable. Row numbers are the store's business and do not count.
    """
    fields = {
        "v": 1, "tenant": row.tenant, "id": row.id.hex(), "at": row.at, "type": row.type, "version": row.version,
        "outcome": row.outcome, "reason": row.reason, "actor": row.actor, "subject": row.subject,
        "credential": row.credential, "client": row.client, "session": row.session, "request_id": row.request_id,
        "count": row.count, "data": row.data, "personal": None if row.personal is None else row.personal.hex(),
    }  # fmt: skip
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def leaf(data: bytes) -> bytes:
    """The leaf hash: SHA-256(0x00 ‖ data) (RFC 9162 section 2.1.1)."""
    return hashlib.sha256(b"\x00" + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The Merkle tree hash over leaf hashes (RFC 9162 section 2.1.1); inner nodes are SHA-256(0x01 ‖ left ‖ right)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    # pairing from the left and carrying an odd last one up gives the same tree as the recursive definition
    while len(level) > 1:
        pairs = [_node(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
