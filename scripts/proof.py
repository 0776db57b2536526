"""`make proof`: which security requirements have a test that proves them, and which have none.

The requirements stand in docs/security/requirements.tsv (id, level, area, release, requirement); a test names
those it proves with `@pytest.mark.proof("ASVS-6.2.1", ...)`. Exit code 1 when it names one that is not there.
"""

from __future__ import annotations

import contextlib
import csv
import io
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "docs" / "security" / "requirements.tsv"
LEVELS = ("L1", "L2", "L3", "MUST", "SHOULD")
LATER = "later"

Proofs = Mapping[str, Iterable[str]]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row: `level` is the ASVS level, or MUST and SHOULD of an RFC or of NIST; `release` our own plan."""

    id: str
    level: str
    area: str
    release: str
    requirement: str


def requirements(table: Path = TABLE) -> dict[str, Requirement]:
    """Every row by its id, in the table's order."""
    with table.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["id"]: Requirement(**row) for row in rows}


def unknown(known: Mapping[str, Requirement], proofs: Proofs) -> list[str]:
    """What is wrong with the markers: `id (test)` for each id that no row has."""
    return [f"{name} ({', '.join(sorted(tests))})" for name, tests in sorted(proofs.items()) if name not in known]


def coverage(rows: Iterable[Requirement], proofs: Proofs, by: Callable[[Requirement], str]) -> list[str]:
    """One line per level or area: how many rows it has, how many of them a test proves."""
    total, proven = defaultdict[str, int](int), defaultdict[str, int](int)
    for row in rows:
        total[by(row)] += 1
        proven[by(row)] += row.id in proofs
    order = sorted(total, key=lambda name: (LEVELS.index(name) if name in LEVELS else len(LEVELS), name))
    return [f"  {name:<20} {proven[name]:>3} of {total[name]:>3}" for name in order]


def without(rows: Iterable[Requirement], proofs: Proofs) -> list[str]:
    """One line for each row that no test proves."""
    return [f"  {row.id:<22} {row.level:<6} {row.requirement}" for row in rows if row.id not in proofs]


def report(known: Mapping[str, Requirement], proofs: Proofs) -> str:
    """The whole page: this release first, what later releases bring after it."""
    now = [row for row in known.values() if row.release != LATER]
    later = [row for row in known.values() if row.release == LATER]
    missing = without(now, proofs)
    parts = [
        f"This release: {len(now) - len(missing)} of {len(now)} requirements have a test",
        *("", "by level", *coverage(now, proofs, lambda row: row.level)),
        *("", "by area", *coverage(now, proofs, lambda row: row.area)),
        *("", f"without a test: {len(missing)}", *missing),
        "",
        f"Later releases: {len(later) - len(without(later, proofs))} of {len(later)} requirements have a test",
        *("", "by area", *coverage(later, proofs, lambda row: row.area)),
    ]
    return "\n".join(parts)


class Collector:
    """A pytest plugin that reads the markers of every collected test."""

    def __init__(self) -> None:
        self.proofs: dict[str, set[str]] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """pytest's hook: the list of tests is complete."""
        for item in items:
            for marker in item.iter_markers("proof"):
                for name in marker.args:
                    self.proofs.setdefault(str(name), set()).add(item.nodeid.partition("[")[0])


def main() -> int:
    """Print the page and return the exit code."""
    collector, words = Collector(), io.StringIO()
    with contextlib.redirect_stdout(words):
        status = pytest.main(["--collect-only", "-q", str(ROOT / "tests")], plugins=[collector])
    if status != pytest.ExitCode.OK:
        print(words.getvalue(), file=sys.stderr)
        return 2
    known = requirements()
    print(report(known, collector.proofs))
    if wrong := unknown(known, collector.proofs):
        print("\nNo such requirement:", *wrong, sep="\n  ", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
