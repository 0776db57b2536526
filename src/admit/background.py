"""What one process of all does in the background: sealing the log, watching it, rotating keys, cleaning up.

Nothing depends on it for being right: mounted applications may get no lifespan, and then it just does not happen here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

from admit.audit.keys import AuditKey
from admit.audit.seal import Sealer
from admit.audit.watch import Watch
from admit.credentials.api_keys import ApiKeys
from admit.credentials.signing_keys import SigningKeys
from admit.credentials.tickets import Tickets
from admit.credentials.vault import data_keys
from admit.crypto.sealing import MasterSecrets
from admit.ground.clock import micros
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.logs import logger
from admit.ground.work import Tx
from admit.jobs.leader import Step
from admit.settings import Settings
from admit.stores.sql import claims, cursors, events, feed, grants, jobs, limits, passwords, sessions
from admit.stores.sql.events import EventRow

log = logger("admit.background")
AUDIT = "audit"
PAGE = 200
KEPT = timedelta(days=30)  # how long ended sign-ins and finished jobs can still be explained


class Sealing:
    """Seals the log with a key that is made at first use and kept wrapped beside the others."""

    def __init__(self, kit: Kit, masters: MasterSecrets) -> None:
        self._kit = kit
        self._masters = masters
        self._sealer: Sealer | None = None

    async def key(self) -> AuditKey:
        """The key that signs blocks."""
        return AuditKey.from_seed((await data_keys(self._kit, self._masters, AUDIT))[1])

    async def step(self) -> bool:
        """Seals one block; True when there is more."""
        if self._sealer is None:
            self._sealer = Sealer(self._kit, await self.key())
        return await self._sealer.step()


class Cleaning:
    """Deletes what is past its time, a thousand rows at once."""

    def __init__(self, kit: Kit, settings: Settings, tickets: Tickets, api_keys: ApiKeys) -> None:
        self._kit = kit
        self._grace = settings.tokens.refresh_grace
        self._tickets = tickets
        self._api_keys = api_keys

    async def step(self) -> bool:
        """One round over every table; True when one of them has more."""
        rounds: list[Callable[[Tx], int]] = [
            feed.forget,
            claims.forget,
            limits.forget,
            passwords.forget_devices,
            self._tickets.forget,
            self._api_keys.forget,
            lambda tx: grants.clean_nonces(tx, tx.now - micros(self._grace)),
            lambda tx: grants.forget(tx, tx.now - micros(KEPT)),
            lambda tx: sessions.forget(tx, tx.now - micros(KEPT)),
            lambda tx: jobs.forget(tx, tx.now - micros(KEPT)),
        ]
        # a transaction each, so that cleaning never holds the writer for long
        gone = [await self._kit.work.write(one) for one in rounds]
        return max(gone) >= 1000


Handler = Callable[[EventRow], Awaitable[None] | None]
READER = "handlers"


class Handlers:
    """Calls the application's functions with committed events, by a cursor of its own."""

    def __init__(self, kit: Kit, handlers: Sequence[tuple[frozenset[str], Handler]]) -> None:
        self._kit = kit
        self._handlers = handlers

    async def step(self) -> bool:
        """One page of the log; True when there may be more. A function that raises is logged and not called again."""
        if not self._handlers:
            return False
        page = await self._kit.work.read(lambda tx: events.page(tx, cursors.load(tx, READER), PAGE))
        for row in page.rows:
            await self._tell(row)
        if page.rows:
            await self._kit.work.write(lambda tx: cursors.save(tx, READER, page.position))
        return len(page.rows) == PAGE

    async def _tell(self, row: EventRow) -> None:
        for types, handler in self._handlers:
            if row.type not in types:
                continue
            try:
                done = handler(row)
                if done is not None:
                    await done
            except Exception:
                # one that stumbles must neither blind the others nor stop the cursor for ever
                log.exception("handler.failed", type=row.type, seq=row.seq)


def steps(
    kit: Kit,
    signing_keys: SigningKeys,
    sealing: Callable[[], Awaitable[bool]],
    cleaning: Callable[[], Awaitable[bool]],
    handlers: Handlers,
) -> list[Step]:
    """The steps of the leader."""
    return [
        Step("seal", sealing),
        Step("watch", Watch(kit).step),
        Step("handlers", handlers.step),
        Step("signing-keys", lambda: signing_keys.keep_fresh(Via()), timedelta(minutes=10)),
        Step("clean", cleaning, timedelta(minutes=1)),
    ]
