"""The response fields: RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers, structured fields of
RFC 9651), and Retry-After (RFC 9110 section 10.2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from admit.limits.values import Hit


def headers(hits: Sequence[Hit]) -> list[tuple[bytes, bytes]]:
    """ASGI header pairs for the limits that a request met; none for none.

    Of two with one name the stricter is shown, since a response must not hold the same policy twice. `t` is the time
    to the next hit when refused, as Retry-After is, and to the full limit otherwise. Seconds are rounded up: a client
    that obeys must not come a moment too early.
    """
    if len(hits) == 1 and hits[0].allowed:
        # by far the most answers, and all of a busy key
        return [(b"ratelimit-policy", hits[0].limit.policy.encode()), (b"ratelimit", _state(hits[0]).encode())]
    shown: dict[str, Hit] = {}
    for hit in hits:
        other = shown.get(hit.limit.name)
        if other is None or _strictness(hit) < _strictness(other):
            shown[hit.limit.name] = hit
    if not shown:
        return []
    fields = [
        (b"ratelimit-policy", ", ".join(hit.limit.policy for hit in shown.values()).encode()),
        (b"ratelimit", ", ".join(_state(hit) for hit in shown.values()).encode()),
    ]
    if refused := [hit.retry_after for hit in hits if not hit.allowed]:
        fields.append((b"retry-after", str(seconds(max(refused))).encode()))
    return fields


def seconds(delta: timedelta) -> int:
    """Whole seconds, rounded up."""
    # a third of the time that dividing takes
    return delta.days * 86_400 + delta.seconds + (delta.microseconds > 0)


def _state(hit: Hit) -> str:
    until = hit.reset_after if hit.allowed else hit.retry_after
    return f'"{hit.limit.name}";r={hit.remaining};t={seconds(until)}'


def _strictness(hit: Hit) -> tuple[bool, timedelta, int]:
    return hit.allowed, -hit.retry_after, hit.remaining
