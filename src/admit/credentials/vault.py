"""Data keys: random keys that seal values at rest, one per tenant and purpose, wrapped by the master secret."""

from __future__ import annotations

from admit.crypto.sealing import MasterSecrets, Sealer, SealError, aad
from admit.ground.errors import SettingsError
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.stores.sql import signing_keys as rows
from admit.stores.sql.signing_keys import DataKeyRow

TENANT = 1


async def open_sealer(kit: Kit, masters: MasterSecrets, purpose: str) -> Sealer:
    """The sealer for a purpose. Raises as `data_keys` does."""
    keys = await data_keys(kit, masters, purpose)
    return Sealer(keys, max(keys))


async def data_keys(kit: Kit, masters: MasterSecrets, purpose: str) -> dict[int, bytes]:
    """The data keys of a purpose (number -> 32 bytes); makes the first when there is none, re-wraps after a new master.

    Raises `SettingsError` when no master secret opens what is stored: better no start than new keys beside old ones.
    """
    kept = await kit.work.read(lambda tx: rows.wrapped(tx, purpose))
    if not kept:
        made = DataKeyRow(purpose, 1, masters.wrap(kit.random(32), _place(purpose, 1)))
        kept = await kit.work.write(lambda tx: _insert_first(tx, made))
    try:
        keys = {row.number: masters.unwrap(row.wrapped, _place(purpose, row.number)) for row in kept}
    except SealError:
        raise SettingsError(
            "ADMIT_SECRET does not open the keys in this database. Set the secret that this database was made with "
            "(to rotate it, put the new one in front: ADMIT_SECRET=2:<new>,1:<old>)"
        ) from None
    stale = [
        DataKeyRow(purpose, row.number, masters.wrap(keys[row.number], _place(purpose, row.number)))
        for row in kept
        if masters.needs_rewrap(row.wrapped)
    ]
    if stale:
        await kit.work.write(lambda tx: rows.rewrap(tx, stale))
    return keys


def _insert_first(tx: Tx, made: DataKeyRow) -> list[DataKeyRow]:
    rows.insert_wrapped(tx, made)
    return rows.wrapped(tx, made.purpose)


def _place(purpose: str, number: int) -> bytes:
    return aad(TENANT, "data_keys", "wrapped", f"{purpose}|{number}".encode())
