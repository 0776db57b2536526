"""`make test` tells the truth: its last line, its exit code, and what could not run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts.run_tests import Tally, not_run_here

ROOT = Path(__file__).resolve().parents[2]
NOT_HERE = "not here: Chromium (no chromium on the path)"

CASES = {
    "passes": ("def test_a(): ...", "1 passed, 0 failed, 0 skipped", 0, 0),
    "fails": ("def test_a(): assert 0", "0 passed, 1 failed, 0 skipped", 1, 1),
    "fails in its teardown": (
        "import pytest\n@pytest.fixture\ndef x():\n yield\n assert 0\ndef test_a(x): ...",
        "0 passed, 1 failed, 0 skipped",
        1,
        1,
    ),
    "cannot be read": ("import nothing_of_this_name", "0 passed, 1 failed, 0 skipped", 1, 1),
    "holds no test": ("x = 1", "0 passed, 1 failed, 0 skipped", 1, 1),
    "skips": (
        f"import pytest\ndef test_a(): ...\ndef test_b(): pytest.skip({NOT_HERE!r})",
        "1 passed, 0 failed, 1 skipped",
        0,
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("ci", ["", "true"])
def test_the_last_line_and_the_exit_code(tmp_path: Path, case: str, ci: str) -> None:
    source, last, locally, in_ci = CASES[case]
    (tmp_path / "test_sample.py").write_text(source, "utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\n", "utf-8")
    options = ["-c", str(tmp_path / "pytest.ini"), "-p", "xdist", "-n", "0"]
    command = [sys.executable, "-m", "scripts.run_tests", *options, str(tmp_path)]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")} | {
        "CI": ci,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # a second saved per case
    }
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert lines[-1] == last, done.stdout
    assert done.returncode == (in_ci if ci else locally)
    if case == "skips":
        assert lines[-2] == "not run here: Chromium (no chromium on the path): 1 test"


def test_the_worst_outcome_of_a_test_counts() -> None:
    tally = Tally()
    for outcome in ("passed", "failed", "passed"):
        tally.add("one", outcome)
    tally.add("two", "skipped")
    assert [tally.count(outcome) for outcome in ("passed", "failed", "skipped")] == [0, 1, 1]


def test_missing_parts_are_named_once_each_with_their_tests() -> None:
    reasons = Counter({NOT_HERE: 12, "not here: nginx (no nginx on the path)": 1, "on Linux only": 3})
    assert not_run_here(reasons) == "Chromium (no chromium on the path): 12 tests; nginx (no nginx on the path): 1 test"
