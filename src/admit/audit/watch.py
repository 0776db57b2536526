"""Runs the detectors: over the live log by cursor, and over the past."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from admit.audit.detectors import DETECTORS, Detector, See, Thresholds
from admit.audit.findings import Suspicion, record
from admit.ground.clock import SECOND, micros
from admit.ground.kit import Kit
from admit.ground.logs import logger
from admit.ground.work import Tx
from admit.stores.sql import cursors, events
from admit.stores.sql.events import EventRow, Page, Position

log = logger("admit.audit")
CURSOR = "detectors"
AHEAD = 60 * SECOND


class _Panel:
    """The detectors with what they remember."""

    def __init__(self, detectors: Iterable[Detector], limits: Thresholds) -> None:
        self._of: dict[str, list[tuple[str, See]]] = {}
        for detector in detectors:
            see = detector.make(limits)
            for type_ in detector.types:
                self._of.setdefault(type_, []).append((detector.name, see))

    def show(self, rows: Iterable[EventRow]) -> list[Suspicion]:
        """What they say of these events: the newest word on each pattern."""
        said: dict[tuple[str, str], Suspicion] = {}
        for row in rows:
            for name, see in self._of.get(row.type, ()):
                for one in self._ask(name, see, row):
                    pattern = one.detector, one.key
                    said[pattern] = _joined(said.get(pattern), one)
        return list(said.values())

    @staticmethod
    def _ask(name: str, see: See, row: EventRow) -> list[Suspicion]:
        try:
            return list(see(row))
        except Exception:
            # one detector that stumbles must not blind the others, nor stop the cursor
            log.exception("detector.failed", detector=name, seq=row.seq)
            return []


def _joined(old: Suspicion | None, new: Suspicion) -> Suspicion:
    if old is None:
        return new
    first = min(old.first_at, new.first_at)
    return Suspicion(new.detector, new.key, new.severity, new.title, first, new.last_at, new.data)


class Watch:
    """`step` watches the live log and belongs into a leader's steps; `run` walks over any span of the past.

    Both are idempotent: a finding is one row per detector and key, however often it is seen.
    """

    def __init__(
        self,
        kit: Kit,
        limits: Thresholds | None = None,
        detectors: Sequence[Detector] = DETECTORS,
        *,
        page: int = 1000,
    ) -> None:
        self._kit = kit
        self._limits = limits or Thresholds()
        self._detectors = detectors
        self._types = frozenset[str]().union(*(detector.types for detector in detectors))
        self._page = page
        self._panel = self._fresh()
        self._position: Position | None = None

    async def run(self, since: int, until: int) -> list[Suspicion]:
        """Looks at events with `since` <= at < `until` (microseconds UTC); the findings that are new."""
        panel, opened, after = self._fresh(), list[Suspicion](), (since, -1)
        while rows := await self._between((since, until), after, None):
            said = panel.show(rows)
            opened += await self._kit.work.write(lambda tx, said=said: record(tx, self._kit, said))  # type: ignore[misc]
            after = (rows[-1].at, rows[-1].seq)
        return opened

    async def step(self) -> bool:
        """Takes the next page of the log; True when there may be more. The first time it begins at the log's begin.

        What the detectors remember is rebuilt from the log when another process has been leading meanwhile.
        """
        stored, page, more = await self._kit.work.read(self._next)
        if page.rows and stored != self._position:
            await self._recall(stored, page.rows[0].at)
        said = self._panel.show(page.rows)
        if page.position != stored:
            self._position = None

            def body(tx: Tx) -> None:
                record(tx, self._kit, said)
                cursors.save(tx, CURSOR, page.position)

            await self._kit.work.write(body)
        self._position = page.position
        return more

    def _next(self, tx: Tx) -> tuple[Position, Page, bool]:
        stored = cursors.load(tx, CURSOR)
        page = events.page(tx, stored, self._page)
        mine = [row for row in page.rows if row.tenant == tx.tenant]
        return stored, Page(mine, page.position), len(page.rows) == self._page

    async def _recall(self, stored: Position, now: int) -> None:
        self._panel = self._fresh()
        since = now - max(micros(detector.window(self._limits)) for detector in self._detectors)
        after = (since, -1)
        # up to the future: events of other nodes may lie a little ahead; the position keeps the new ones out
        while rows := await self._between((since, now + AHEAD), after, stored):
            self._panel.show(rows)
            after = (rows[-1].at, rows[-1].seq)

    async def _between(self, span: tuple[int, int], after: tuple[int, int], until: Position | None) -> list[EventRow]:
        return await self._kit.work.read(lambda tx: events.between(tx, self._types, span, after, self._page, until))

    def _fresh(self) -> _Panel:
        return _Panel(self._detectors, self._limits)
