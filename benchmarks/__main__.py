"""`make bench`: what Admit costs, as ratios measured in one run. `--quick` for a minute, `--json` for machines."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import in_process, over_http, work
from benchmarks.harness import table
from benchmarks.servers import serve

SECTIONS = ("gate", "http", "logins", "refresh", "lookup", "start")


def _gate(directory: Path, quick: bool, _asked: argparse.Namespace) -> tuple[dict[str, Any], str]:
    effort = in_process.Effort(2000, 30, 100) if quick else in_process.Effort(rounds=60, requests=100)
    found = asyncio.run(in_process.measure(effort))
    return found, in_process.show(found)


def _http(directory: Path, quick: bool, _asked: argparse.Namespace) -> tuple[dict[str, Any], str]:
    credentials, rounds = (2000, 1) if quick else (10_000, 3)
    admit, files = asyncio.run(over_http.population(directory, credentials))
    found = over_http.measure(directory, admit, files, credentials=credentials, rounds=rounds, seconds=1)
    return found, over_http.show(found)


def _logins(directory: Path, quick: bool, _asked: argparse.Namespace) -> tuple[dict[str, Any], str]:
    admit, files = asyncio.run(over_http.population(directory, 10))
    names = asyncio.run(work.people(directory, admit))
    header = files["access_token"].read_text().splitlines()[0]
    with serve(over_http.TARGET, admit) as process:
        found = asyncio.run(work.logins(process, header, names, 3 if quick else 6))
    return found, (
        f"Logins: {found['logins_per_s']:.1f}/s, the hash alone allows {found['hashes_per_s']:.1f}/s: "
        f"{found['of_hashes']:.2f} (goal 0.95)\n"
        f"  p99 of protected requests: idle {found['idle_p99_ms']:.1f} ms, meanwhile {found['busy_p99_ms']:.1f} ms: "
        f"{found['p99_ratio']:.1f} x (goal 2)"
    )


def _refresh(directory: Path, quick: bool, _asked: argparse.Namespace) -> tuple[dict[str, Any], str]:
    found = asyncio.run(work.refreshes(directory, 1 if quick else 4))
    rates = ", ".join(f"SQLite {name} {rate:,.0f}/s" for name, rate in found.items())
    return found, f"Tokens by refresh (ES256, one process): {rates}\n  node-oidc-provider: not run here"


def _lookup(directory: Path, quick: bool, asked: argparse.Namespace) -> tuple[dict[str, Any], str]:
    many = asked.rows or (100_000 if quick else 1_000_000)
    found = asyncio.run(work.lookups(directory, 1000, many))
    rows = [
        (kind, f"{found[kind]['few_us']:.0f}", f"{found[kind]['many_us']:.0f}", f"{found[kind]['ratio']:.2f}")
        for kind in ("session", "api_key")
    ]
    head = f"Truth read without cache on SQLite, among 1,000 and among {many:,} rows, us (goal: ratio 1.1)"
    return found, f"{head}\n{table(('credential', '1,000', f'{many:,}', 'ratio'), rows)}"


def _start(directory: Path, quick: bool, _asked: argparse.Namespace) -> tuple[dict[str, Any], str]:
    imports = work.imports(1 if quick else 3)
    admit, _ = asyncio.run(over_http.population(directory, 10))
    starts: dict[str, list[float]] = {"bare FastAPI": [], "Admit": []}
    memory: dict[str, float] = {}
    for _ in range(1 if quick else 3):
        for name, environment in (("bare FastAPI", {"BENCH_APP": "bare"}), ("Admit", admit)):
            with serve(over_http.TARGET, environment) as process:
                starts[name].append(process.cold_start)
                memory[name] = process.memory()
    best = {name: min(times) for name, times in starts.items()}
    lines = [f"  {name}: first answer {best[name]:.2f} s after the start, {memory[name]:.0f} MB idle" for name in best]
    times = ", ".join(f"`{name}` {seconds:.2f} s" for name, seconds in imports.items())
    head = "Start of one worker under Granian (goal: 1 s, 100 MB); processor time of a fresh interpreter"
    return {"imports": imports, "start": best, "idle_mb": memory}, "\n".join([head, *lines, f"  {times}"])


_RUN = dict(zip(SECTIONS, (_gate, _http, _logins, _refresh, _lookup, _start), strict=True))


def run(asked: argparse.Namespace) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each section that was asked for, with its numbers and its text."""
    for name in asked.only or SECTIONS:
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as place:
            found, text = _RUN[name](Path(place), asked.quick, asked)
        yield name, found, f"{text}\n  ({time.monotonic() - begun:.0f} s)\n"


def main() -> int:
    """Prints as it goes, or everything at the end as JSON."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer of everything: under a minute")
    parser.add_argument("--json", action="store_true", help="numbers for machines")
    parser.add_argument("--rows", type=int, help="rows of the lookup, for example 10000000")
    parser.add_argument("only", nargs="*", choices=[*SECTIONS, []], help="only these sections")
    asked, numbers = parser.parse_args(), {}
    for name, found, text in run(asked):
        numbers[name] = found
        if not asked.json:
            print(text, flush=True)
    if asked.json:
        print(json.dumps(numbers, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
