"""The gate: what a protected route costs beside a bare one, without sockets, with 10,000 credentials in rotation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from admit import Admit
from benchmarks import applications as apps
from benchmarks.harness import Headers, Lane, race, table, warm
from benchmarks.population import KINDS, LONG_TOKENS, Kind, People, populate, quick_admit

NAMES: dict[Kind, str] = {"access_token": "Admit JWT", "session": "Admit session", "api_key": "Admit API key"}


@dataclass
class Effort:
    """How much is measured."""

    credentials: int = 10_000
    rounds: int = 40
    requests: int = 1000


async def measure(effort: Effort) -> dict[str, Any]:
    """The lanes as numbers; microseconds a request and the ratios to `bare`."""
    auth = quick_admit(**LONG_TOKENS)
    people = await populate(auth, effort.credentials)
    lanes = [
        Lane("bare route", apps.bare(), [[]]),
        Lane("bare route again", apps.bare(), [[]]),
        Lane("bare + constant Depends", apps.constant(), [[]]),
        *admit_lanes(auth, people),
        Lane("tutorial JWT (PyJWT HS256)", apps.tutorial(), _bearers(apps.tutorial_tokens(effort.credentials))),
        *_raw_lanes(auth, people),
    ]
    for lane in lanes:
        await warm(lane)
    cache = auth.rooms.live.cache
    cache.hits = cache.misses = 0
    await race(lanes, rounds=effort.rounds, requests=effort.requests)
    hits = cache.hits / max(1, cache.hits + cache.misses)
    await auth.close()
    return _numbers(lanes, hits, effort)


def admit_lanes(auth: Admit, people: People) -> list[Lane]:
    """One lane for each strategy, all on one application."""
    app = apps.protected(auth)
    return [Lane(NAMES[kind], app, headers_of(auth, kind, people.texts[kind])) for kind in KINDS]


def headers_of(auth: Admit, kind: Kind, texts: list[str]) -> list[Headers]:
    """The header that carries each credential."""
    if kind == "session":
        name = auth.settings.cookies.session
        return [[(b"cookie", f"{name}={text}".encode())] for text in texts]
    if kind == "api_key":
        return [[(b"x-api-key", text.encode())] for text in texts]
    return _bearers(texts)


def _bearers(texts: list[str]) -> list[Headers]:
    return [[(b"authorization", f"Bearer {text}".encode())] for text in texts]


def _raw_lanes(auth: Admit, people: People) -> list[Lane]:
    """The cost of request id + resolver + cached verify + check + headers alone: no framework in between."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await _RESPONSE(scope, receive, send)

    wrapped = auth.wrap(auth.protect(answer))
    lanes = [Lane("raw ASGI", answer, [[]])]
    return lanes + [Lane(f"raw {NAMES[kind]}", wrapped, headers_of(auth, kind, people.texts[kind])) for kind in KINDS]


_RESPONSE: ASGIApp = JSONResponse(apps.ANSWER)


def _numbers(lanes: list[Lane], hits: float, effort: Effort) -> dict[str, Any]:
    best = {lane.name: lane.best for lane in lanes}
    routed = {name: us for name, us in best.items() if not name.startswith("raw")}
    return {
        "us": routed,
        "of_bare": {name: best["bare route"] / us for name, us in routed.items()},
        "of_constant": {name: best["bare + constant Depends"] / us for name, us in routed.items()},
        "added_us": {NAMES[kind]: best[f"raw {NAMES[kind]}"] - best["raw ASGI"] for kind in KINDS},
        "cache_hits": hits,
        "credentials": effort.credentials,
    }


def show(found: dict[str, Any]) -> str:
    """The numbers for people."""
    rows = [
        (name, f"{us:.1f}", f"{found['of_bare'][name]:.2f}", f"{found['of_constant'][name]:.2f}")
        for name, us in found["us"].items()
    ]
    added = ", ".join(f"{name.removeprefix('Admit ')} {us:.1f} us" for name, us in found["added_us"].items())
    head = (
        f"In process, {found['credentials']:,} credentials of each kind in rotation, "
        f"cache hits {found['cache_hits']:.1%}; best of interleaved rounds"
    )
    return "\n".join(
        [
            head,
            table(("route", "us", "of bare", "of constant"), rows),
            f"  request id + resolver + cached verify + check + headers alone: {added} (goal: 5)",
        ]
    )
