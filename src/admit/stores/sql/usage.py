"""How often and when API keys were used: a narrow table of its own, written in batches and never in a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.work import Tx
from admit.stores.sql import schema
from admit.stores.sql.types import Id, Time
from admit.stores.sql.upsert import insert_for

usage = schema.api_key_usage
api_keys = schema.api_keys


class Uses(NamedTuple):
    """What one process saw of a key since its last batch: how many uses, the newest one and its address, and the
    oldest one (microseconds).
    """

    key: bytes
    number: int
    at: int
    address: str | None
    since: int


class Counted(NamedTuple):
    """A key after a batch was added. `before` is its use before that (microseconds), None when there was none."""

    key: bytes
    user_id: bytes
    created_at: int
    before: int | None


def add(tx: Tx, batch: Sequence[Uses]) -> list[Counted]:
    """Adds a batch, at most one entry a key, in the order of the keys, so that two nodes cannot wait for each other.

    The rows come from the keys that exist: a batch that arrives after its key was deleted leaves nothing behind.
    """
    # the row's own last_used_at goes into previous_used_at, so that one of two nodes that see a key wake up says so
    insert = insert_for(tx.dialect)
    names = ["tenant", "key_id", "last_used_at", "uses", "last_address"]
    new = insert(usage).from_select(names, _living(tx, batch))
    newer = new.excluded.last_used_at >= usage.c.last_used_at
    statement = new.on_conflict_do_update(
        index_elements=["tenant", "key_id"],
        set_={
            "uses": usage.c.uses + new.excluded.uses,
            "previous_used_at": usage.c.last_used_at,
            "last_used_at": sa.case((newer, new.excluded.last_used_at), else_=usage.c.last_used_at),
            "last_address": sa.case((newer, new.excluded.last_address), else_=usage.c.last_address),
        },
    ).returning(usage.c.key_id, usage.c.previous_used_at)
    before = {bytes(row.key_id): row.previous_used_at for row in tx.connection.execute(statement)}
    owners = sa.select(api_keys.c.id, api_keys.c.user_id, api_keys.c.created_at).where(
        api_keys.c.tenant == tx.tenant, api_keys.c.id.in_(sorted(before))
    )
    return sorted(Counted(*row, before[bytes(row.id)]) for row in tx.connection.execute(owners))


def _living(tx: Tx, batch: Sequence[Uses]) -> sa.Select[Any]:
    columns = (
        sa.column("key_id", Id),
        sa.column("uses", sa.BigInteger),
        sa.column("at", Time),
        sa.column("address", sa.Text),
    )
    rows = sa.values(*columns, name="batch").data([uses[:4] for uses in sorted(batch)]).cte("batch")
    return (
        sa.select(api_keys.c.tenant, api_keys.c.id, rows.c.at, rows.c.uses, rows.c.address)
        .join_from(rows, api_keys, sa.and_(api_keys.c.tenant == tx.tenant, api_keys.c.id == rows.c.key_id))
        # SQLite reads ON CONFLICT as a join condition when no WHERE stands before it
        .where(sa.true())
        .order_by(api_keys.c.id)
        # a key deleted between this read and the insert would fail the whole batch on its foreign key
        .with_for_update(of=api_keys, key_share=True, read=True)
    )
