"""How an examination is told: a table for people, plain lines when piped. Marks and words, never colour alone."""

from __future__ import annotations

import sys

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from admit.cli.doctor.examine import Report
from admit.cli.doctor.verdicts import Check

_MARKS = {"pass": ("✓", "green"), "fail": ("✗", "bold red"), "warn": ("!", "yellow"), "not-checked": ("–", "dim")}


def tell(report: Report) -> None:
    """Prints the report for people."""
    if not sys.stdout.isatty():
        for check in report.checks:
            print("\t".join((check.row, check.status, check.risk, check.title, " ".join(check.why), check.mend)))
        for one in report.weakenings:
            print(f"weaker\t{one.setting}\t{one.value}\t{one.meaning}")
        return
    console = Console()
    for group in dict.fromkeys(check.group for check in report.checks):
        console.print(_table(group, [check for check in report.checks if check.group == group]))
    if report.weakenings:
        console.print(_weakenings(report))
    console.print(Text(summary(report)))


def summary(report: Report) -> str:
    """One sentence on the whole."""
    by = {status: [check for check in report.checks if check.status == status] for status in _MARKS}
    failed = ", ".join(check.row for check in by["fail"])
    parts = [f"{len(by['pass'])} of {len(report.checks)} lines hold"]
    if failed:
        parts.append(f"{len(by['fail'])} do not ({failed})")
    if by["warn"]:
        parts.append(f"{len(by['warn'])} deserve a look")
    if by["not-checked"]:
        parts.append(f"{len(by['not-checked'])} were not checked")
    more = " Try: start the server and name it with --url." if by["not-checked"] and not failed else ""
    return ", ".join(parts) + "." + more


def _table(group: str, checks: list[Check]) -> Table:
    table = Table(title=group, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    for head, ratio in (("", None), ("line", None), ("what", 3), ("risk", None), ("found, and what to do", 5)):
        table.add_column(head, overflow="fold", ratio=ratio)
    for check in checks:
        mark, style = _MARKS[check.status]
        told = Text(" ".join(check.why), style="dim" if check.status in ("pass", "not-checked") else "")
        if check.mend:
            told.append(f"\n→ {check.mend}", style="bold")
        risk = check.risk if check.status in ("fail", "warn") else ""
        table.add_row(Text(f"{mark} {check.status}", style=style), check.row, Text(check.title), risk, told)
    return table


def _weakenings(report: Report) -> Table:
    table = Table(title="Weaker choices in use", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("setting", "value", "what it means"):
        table.add_column(head, overflow="fold")
    for one in report.weakenings:
        table.add_row(Text(one.setting), Text(one.value), Text(one.meaning))
    return table
