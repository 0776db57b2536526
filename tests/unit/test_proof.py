"""`make proof`: what it counts, and that a marker cannot name what does not exist."""

from __future__ import annotations

import pytest

from scripts.proof import LATER, LEVELS, TABLE, Requirement, report, requirements, unknown

ROWS = {
    row.id: row
    for row in (
        Requirement("A-1", "L1", "jwt", "0.1", "first"),
        Requirement("A-2", "L2", "jwt", "0.1", "second"),
        Requirement("B-1", "MUST", "mfa", LATER, "third"),
    )
}


def test_the_report_counts_by_level_and_area_and_lists_what_is_missing() -> None:
    page = report(ROWS, {"A-1": {"tests/x.py::test_y"}})
    assert page.startswith("This release: 1 of 2 requirements have a test")
    lines = [" ".join(line.split()) for line in page.splitlines()]
    assert {"L1 1 of 1", "L2 0 of 1", "jwt 1 of 2", "mfa 0 of 1", "A-2 L2 second"} <= set(lines)
    assert "B-1" not in page.partition("Later releases")[0]


def test_an_unknown_requirement_is_named_with_its_test() -> None:
    assert unknown(ROWS, {"A-9": {"tests/x.py::test_y"}}) == ["A-9 (tests/x.py::test_y)"]
    assert unknown(ROWS, {"A-1": {"tests/x.py::test_y"}}) == []


def test_a_test_that_names_an_unknown_requirement_fails(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers = proof\n")
    pytester.makeconftest("from tests.conftest import pytest_runtest_setup")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.proof("ASVS-6.2.1")
        def test_known(): ...

        @pytest.mark.proof("ASVS-99.9.9")
        def test_unknown(): ...
        """
    )
    result = pytester.inline_run("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:admit", "-p", "no:xdist")
    passed, _skipped, failed = result.listoutcomes()
    assert [report.nodeid.rpartition("::")[2] for report in passed] == ["test_known"]
    assert [report.nodeid.rpartition("::")[2] for report in failed] == ["test_unknown"]
    assert "ASVS-99.9.9" in str(failed[0].longrepr)


def test_the_table_is_whole() -> None:
    rows = requirements()
    assert len(rows) == 282
    assert {row.level for row in rows.values()} == set(LEVELS)
    assert all(row.requirement and row.area and row.release for row in rows.values())
    assert TABLE.read_text("utf-8").count("\n") == len(rows) + 1
