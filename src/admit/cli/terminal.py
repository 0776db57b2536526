"""What verbs print: JSON for programs, tables for people, tab-separated lines when nobody looks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Answer as JSON, for programs.")]


class Terminal:
    """Prints the outcome of one verb."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.for_people = not as_json and sys.stdout.isatty()

    def said(self, data: Mapping[str, Any], text: str) -> None:
        """What was done: `data` for programs, one sentence for people."""
        print(json.dumps(data, default=str) if self.as_json else text)

    def fields(self, data: Mapping[str, Any]) -> None:
        """One thing, field by field."""
        if self.as_json:
            print(json.dumps(data, default=str))
        elif self.for_people:
            self._draw(("", ""), [(name.replace("_", " "), cell(value)) for name, value in data.items()], header=False)
        else:
            for name, value in data.items():
                print(f"{name}\t{cell(value)}")

    def rows(self, name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], **more: Any) -> None:
        """Many things: under `name` in JSON with every field, as a table of `columns` else."""
        if self.as_json:
            print(json.dumps({name: list(rows), **more}, default=str))
            return
        heads = [column.replace("_", " ") for column in columns]
        cells = [[cell(row.get(column)) for column in columns] for row in rows]
        if not self.for_people:
            for line in (heads, *cells):
                print("\t".join(line))
        elif cells:
            self._draw(heads, cells)
        else:
            print(f"No {name.replace('_', ' ')}.")

    @staticmethod
    def _draw(heads: Sequence[str], rows: Iterable[Sequence[str]], *, header: bool = True) -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD if header else None, show_header=header, pad_edge=False)
        for head in heads:
            table.add_column(head, overflow="fold")
        for row in rows:
            # Text, not markup: a name such as [red] is a name
            table.add_row(*(Text(value) for value in row))
        Console().print(table)


def cell(value: Any) -> str:
    """A value on one line that its content cannot break, colour or turn around."""
    if value is None or value in ("", []):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return json.dumps(value, default=str)
    if isinstance(value, list | tuple | set | frozenset):
        return " ".join(plain(str(item)) for item in value)
    return plain(str(value))


def plain(text: str) -> str:
    """`text`, quoted when it holds anything that a terminal would obey."""
    return text if text.isprintable() else json.dumps(text)


def confirm(question: str, yes: bool) -> None:
    """Asks a person who is there; programs have decided already. Raises `typer.Abort` for a no."""
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        typer.confirm(question, abort=True)


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
