"""The version of whatever a credential hangs on, whichever table it stands in."""

from __future__ import annotations

import sqlalchemy as sa

from admit.ground.principal import Tie, TieKind
from admit.ground.work import Tx
from admit.stores.sql.schema import api_keys, clients, grants, sessions, signing_keys, tenants, users

_TABLES: dict[TieKind, sa.Table] = {
    "session": sessions,
    "grant": grants,
    "key": api_keys,
    "user": users,
    "client": clients,
}
#: ties whose kind has no row of its own in every set-up (HS256 keys, organizations)
WITHOUT_ROW: frozenset[TieKind] = frozenset({"kid", "config", "org"})


def version(tx: Tx, tie: Tie) -> int | None:
    """The version of the tie's row, which stays as it is until the commit; None when there is no row."""
    if tie.kind == "tenant":
        wanted = sa.select(tenants.c.version).where(tenants.c.id == tx.tenant)
    elif tie.kind == "kid":
        wanted = sa.select(signing_keys.c.version).where(
            signing_keys.c.tenant == tx.tenant, signing_keys.c.kid == tie.id.decode()
        )
    elif tie.kind in _TABLES:
        table = _TABLES[tie.kind]
        wanted = sa.select(table.c.version).where(table.c.tenant == tx.tenant, table.c.id == tie.id)
    else:
        return None
    # whoever acts on an account changes its row or holds it next: two that held it together would both wait for ever
    alone = tie.kind == "user"
    return tx.connection.execute(wanted.with_for_update(read=not alone, key_share=alone)).scalar()
