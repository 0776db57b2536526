"""`make test`: the checks, then every test. The last line counts both: `N passed, N failed, N skipped`.

Arguments go to pytest (`make test ARGS="tests/unit -k jwt"`), and then only the tests that they name are run.
With CI=true everything must have run: a skipped test is a failure there.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
sys.path.insert(0, str(ROOT))

from tests.parts.missing import PREFIX, in_ci  # noqa: E402 - found only now

CHECKS: dict[str, tuple[str, ...]] = {
    "lint": ("ruff", "check", "--quiet", "."),
    "format": ("ruff", "format", "--check", "--quiet", "."),
    "types": ("mypy",),
    "types of tests' parts": ("mypy", "scripts", "tests/parts", "tests/conftest.py"),
    "import contract": ("lint-imports", "--no-logo"),
}
# the worst thing that happened to a test counts: one that passed and then failed in its teardown has failed
#: more failures than this are no bad luck
FEW = 5
RANK = {"passed": 0, "skipped": 1, "failed": 2}


class Tally:
    """A pytest plugin, for xdist's controller too: each test's outcome, and why it was skipped."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.reasons: Counter[str] = Counter()

    def add(self, name: str, outcome: str) -> None:
        """Note an outcome of `name`, unless a worse one is known."""
        self.outcomes[name] = max(self.outcomes.get(name, "passed"), outcome, key=RANK.__getitem__)

    def count(self, outcome: str) -> int:
        """How many came out so."""
        return sum(1 for one in self.outcomes.values() if one == outcome)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """pytest's hook: one phase (setup, call, teardown) of one test is over."""
        self.add(report.nodeid, report.outcome)
        if report.skipped:
            words = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            self.reasons[words.removeprefix("Skipped: ")] += 1

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """pytest's hook: a file that cannot be read hides all its tests."""
        if report.failed:
            self.add(report.nodeid, "failed")


def run_checks(tally: Tally) -> None:
    """Run all checks side by side; show the words of those that fail."""
    running = {
        name: subprocess.Popen(
            [BIN / command[0], *command[1:]],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name, command in CHECKS.items()
    }
    for name, process in running.items():
        words, _ = process.communicate()
        right = process.returncode == 0
        tally.add(f"check: {name}", "passed" if right else "failed")
        print(f"{name}: {'ok' if right else 'FAILED'}", *([] if right else [words]), sep="\n", flush=True)


def run_pytest(tally: Tally, arguments: list[str]) -> None:
    """Run pytest on as many processes as there are processors."""
    processes = min(len(os.sched_getaffinity(0)), 8) if hasattr(os, "sched_getaffinity") else 2
    several = ["-n", str(processes), "--dist", "worksteal"] if processes > 1 else []
    status = pytest.main(["-q", "--durations=5", *several, *arguments], plugins=[tally])
    if status != pytest.ExitCode.OK and not tally.count("failed"):
        tally.add(f"pytest ended with {status!r}", "failed")


def run_again(tally: Tally) -> list[str]:
    """Runs the few tests that failed once more, alone: on a busy machine a time limit may run out for nothing.

    What passes then counts as passed and is named in the output, so that nobody mistakes it for a sound test.
    """
    names = [name for name, outcome in tally.outcomes.items() if outcome == "failed" and "::" in name]
    if not names or len(names) != tally.count("failed") or len(names) > FEW:
        return []
    print(f"{len(names)} failed; once more, each alone", flush=True)
    passed = []
    for name in names:
        again = subprocess.run([BIN / "pytest", "-q", "-n0", name], cwd=ROOT, check=False)
        if again.returncode == 0:
            tally.outcomes[name] = "passed"
            passed.append(name)
    return passed


def not_run_here(reasons: Counter[str]) -> str:
    """What could not run, by missing part: `Chromium (no chromium on the path): 12 tests`."""
    missing = {words.removeprefix(PREFIX): n for words, n in reasons.items() if words.startswith(PREFIX)}
    return "; ".join(f"{part}: {n} test{'s' * (n != 1)}" for part, n in sorted(missing.items()))


def main() -> int:
    """Run everything and return the exit code."""
    os.chdir(ROOT)
    tally, arguments = Tally(), sys.argv[1:]
    if not arguments:
        run_checks(tally)
    run_pytest(tally, arguments)
    shaky = [] if arguments else run_again(tally)
    failed, skipped = tally.count("failed"), tally.count("skipped")
    print()
    for name in shaky:
        print("PASSED AT THE SECOND TRY", re.sub(r"\s+", " ", name))
    for name, outcome in tally.outcomes.items():
        if outcome == "failed":
            print("FAILED", re.sub(r"\s+", " ", name))
    if in_ci() and skipped:
        print("CI=true: every test must run, a skipped one is a failure")
    if words := not_run_here(tally.reasons):
        print(f"not run here: {words}")
    print(f"{tally.count('passed')} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed or (in_ci() and skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
