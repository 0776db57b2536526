"""The verb: a conversation where somebody is there, flags where a program asks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from admit.cli.choose.project import write
from admit.cli.choose.strategies import CLIENTS, STRATEGIES, Choice, Client, choose
from admit.cli.terminal import Json


def command(
    client: Annotated[Client | None, typer.Option(help="Who calls your API.", show_choices=True)] = None,
    same_domain: Annotated[
        bool | None,
        typer.Option("--same-domain/--other-domain", help="Of a web application: pages and API share a domain."),
    ] = None,
    for_users: Annotated[
        bool | None, typer.Option("--for-users/--for-themselves", help="Of third parties: they act for your users.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write a project that runs into this folder.")] = None,
    as_json: Json = False,
) -> None:
    """Find out which strategy fits (JWT, OAuth 2.0, API keys, sessions), why, and get a project that runs."""
    talk = client is None and not as_json and sys.stdin.isatty() and sys.stdout.isatty()
    if client is None:
        if not talk:
            raise typer.BadParameter(f"say who calls your API: --client {'|'.join(CLIENTS)}")
        client = _ask_client()
    if talk:
        same_domain, for_users = _ask_more(client, same_domain, for_users)
    choice = choose(client, same_domain=same_domain is not False, for_users=for_users is not False)
    if not as_json:
        _explain(choice)
    if talk and out is None and typer.confirm("Write a project that runs?", default=True):
        out = Path(str(typer.prompt("Folder", default=f"my-{choice.strategy.name}-api")))
    written = [] if out is None else write(choice, out)
    if as_json:
        print(json.dumps(_json(choice, written)))
    elif out is not None:
        _say_written(out, written)


def _ask_client() -> Client:
    print("Who calls your API?")
    names = list(CLIENTS)
    for number, name in enumerate(names, 1):
        print(f"  {number}  {CLIENTS[name]}")
    while True:
        number = int(typer.prompt("Number", type=int))
        if 1 <= number <= len(names):
            return names[number - 1]
        print(f"A number from 1 to {len(names)}.")


def _ask_more(client: Client, same_domain: bool | None, for_users: bool | None) -> tuple[bool | None, bool | None]:
    """The one question more that decides, where there is one."""
    if client == "web" and same_domain is None:
        same_domain = typer.confirm("Do pages and API share a domain?", default=True)
    if client == "third-party" and for_users is None:
        question = "Do those programs act for your users (read their data, post in their name)?"
        for_users = typer.confirm(question, default=True)
    return same_domain, for_users


def _explain(choice: Choice) -> None:
    strategy = choice.strategy
    if sys.stdout.isatty():
        _draw(choice)
    else:
        for other in STRATEGIES.values():
            mark = "*" if other is strategy else " "
            pros, cons = "; ".join(other.pros), "; ".join(other.cons)
            print(f"{mark} {other.title}\tbest for: {other.best_for}\t+ {pros}\t- {cons}")
    print(f"\nTake {strategy.title}. {choice.why}")
    if strategy.not_yet:
        print(strategy.not_yet)


def _draw(choice: Choice) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_lines=True)
    for head in ("", "strategy", "best for", "pros", "cons"):
        table.add_column(head, overflow="fold")
    for other in STRATEGIES.values():
        mine = other is choice.strategy
        lines = ("\n".join(f"+ {pro}" for pro in other.pros), "\n".join(f"- {con}" for con in other.cons))
        cells = ("→" if mine else "", other.title, other.best_for, *lines)
        table.add_row(*(Text(cell, style="bold" if mine else "") for cell in cells))
    Console().print(table)


def _say_written(out: Path, written: list[Path]) -> None:
    print(f"Wrote {', '.join(path.name for path in written)} into {out}. Next:")
    print(f"  cd {out}\n  pip install -r requirements.txt\n  pytest\n  cat README.md")


def _json(choice: Choice, written: list[Path]) -> dict[str, Any]:
    return {
        "client": choice.client, **choice.strategy.json(), "why": choice.why,
        "matrix": [strategy.json() for strategy in STRATEGIES.values()], "written": [str(path) for path in written],
    }  # fmt: skip
