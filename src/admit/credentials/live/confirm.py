"""The truth once more, inside a transaction: for verbs that mint, change or administer."""

from __future__ import annotations

from admit.ground.errors import Refused
from admit.ground.principal import Facts, Tie
from admit.ground.work import Tx
from admit.stores.sql import ties

#: rows are locked in this order by everybody, or two requests of one person would wait for each other
_ORDER = ("tenant", "user", "client")


def confirm(tx: Tx, facts: Facts) -> Refused | None:
    """Whether everything that `facts` hang on still has the version it had; locks those rows until the commit."""
    for tie, version in sorted(facts.ties, key=lambda pair: _rank(pair[0])):
        now = ties.version(tx, tie)
        if now is not None and now != version:
            return Refused("access.changed", private=f"{tie.kind} moved")
        if now is None and tie.kind not in ties.WITHOUT_ROW:
            return Refused("access.changed", private=f"{tie.kind} is gone")
    return None


def _rank(tie: Tie) -> int:
    return _ORDER.index(tie.kind) if tie.kind in _ORDER else len(_ORDER)
