"""Metric names and labels are a promise."""

from __future__ import annotations

from admit.ground.errors import Refusal
from admit.serve.metrics import Metrics


def test_names_and_labels_are_pinned() -> None:
    metrics = Metrics()
    metrics.answered(200)
    metrics.answered(200)
    metrics.signed_in(200)
    metrics.signed_in(429)
    metrics.signed_in(503)
    metrics.refused(Refusal("jwt.signature"))
    lines = [line for line in metrics.text().decode().splitlines() if line and not line.startswith("#")]
    assert sorted(line for line in lines if "_created" not in line) == [
        "admit_cache_hits_total 0.0",
        "admit_cache_misses_total 0.0",
        "admit_feed_lease_age_seconds 0.0",
        "admit_hash_queue 0.0",
        'admit_logins_total{outcome="failed"} 1.0',
        'admit_logins_total{outcome="refused"} 1.0',
        'admit_logins_total{outcome="success"} 1.0',
        'admit_refusals_total{code="token_invalid",reason="jwt.signature"} 1.0',
        'admit_requests_total{status="200"} 2.0',
    ]
