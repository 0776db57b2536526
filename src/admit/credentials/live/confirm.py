"""The truth once more, inside a transaction: for verbs that mint, change or administer."""

from __future__ import annotations

from admit.ground.errors import Refused
from admit.ground.principal import Facts
from admit.ground.work import Tx
from admit.stores.sql import ties


def confirm(tx: Tx, facts: Facts) -> Refused | None:
    """Whether everything that `facts` hang on still has the version it had; locks those rows until the commit."""
    for tie, version in facts.ties:
        now = ties.version(tx, tie)
        if now is not None and now != version:
            return Refused("access.changed", private=f"{tie.kind} moved")
        if now is None and tie.kind not in ties.WITHOUT_ROW:
            return Refused("access.changed", private=f"{tie.kind} is gone")
    return None
