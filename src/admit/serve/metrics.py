"""Numbers for Prometheus. Names and labels are a promise: dashboards are built on them, and a test pins them."""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest, multiprocess

from admit.credentials.live.feed import LEASE
from admit.ground.errors import Refusal
from admit.rooms import Rooms

SHARED = "PROMETHEUS_MULTIPROC_DIR"  # set by the parent when there are several workers
CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"


class Metrics:
    """Counters of one worker; with several workers each scrape adds all of them up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        made = self.registry
        self._requests = Counter("admit_requests", "Answers by HTTP status.", ["status"], registry=made)
        self._logins = Counter("admit_logins", "Sign-ins by outcome.", ["outcome"], registry=made)
        self._refusals = Counter(
            "admit_refusals", "Refusals by private reason and public code.", ["reason", "code"], registry=made
        )
        self._hits = Counter("admit_cache_hits", "Credentials answered from the verified cache.", registry=made)
        self._misses = Counter("admit_cache_misses", "Credentials that had to be verified and read.", registry=made)
        self._lease = Gauge(
            "admit_feed_lease_age_seconds", "Since the revocation feed was last read; over 1.5 nothing is served.",
            multiprocess_mode="livemax", registry=made,
        )  # fmt: skip
        self._queue = Gauge(
            "admit_hash_queue", "Passwords that wait for a hash thread.", multiprocess_mode="livesum", registry=made
        )
        self._by_status: dict[int, Counter] = {}
        self._counted = (0, 0)

    def answered(self, status: int) -> None:
        """One answer with this status."""
        counter = self._by_status.get(status)
        if counter is None:
            counter = self._by_status[status] = self._requests.labels(str(status))
        counter.inc()

    def signed_in(self, status: int) -> None:
        """One answer of the sign-in door."""
        self._logins.labels("success" if status < 400 else "refused" if status < 500 else "failed").inc()

    def refused(self, refusal: Refusal) -> None:
        """One refusal."""
        self._refusals.labels(refusal.reason, refusal.code).inc()

    def sample(self, rooms: Rooms) -> None:
        """Takes over what the rooms count by themselves. Each worker does so every second, since a scrape reaches
        only one of them.
        """
        cache, feed = rooms.live.cache, rooms.live.feed
        hits, misses = self._counted
        self._hits.inc(cache.hits - hits)
        self._misses.inc(cache.misses - misses)
        self._counted = (cache.hits, cache.misses)
        self._lease.set(max(0.0, rooms.kit.clock.monotonic() - (feed.fresh_until - LEASE)))
        self._queue.set(rooms.pool.waiting)

    def text(self) -> bytes:
        """What `/metrics` answers."""
        directory = os.environ.get(SHARED)
        if directory is None:
            return generate_latest(self.registry)
        _bury(Path(directory))
        everyone = CollectorRegistry()
        multiprocess.MultiProcessCollector(everyone, path=directory)  # type: ignore[no-untyped-call]
        return generate_latest(everyone)


def _bury(directory: Path) -> None:
    """Forgets the gauges of workers that are gone; a crash leaves them behind."""
    for file in directory.glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").exists():
            multiprocess.mark_process_dead(int(pid), path=str(directory))  # type: ignore[no-untyped-call]
