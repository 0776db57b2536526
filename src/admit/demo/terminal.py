"""What the demo says at its start, for a person at a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from admit.demo.accounts import SERVICE, Cast
from admit.demo.stories import Story


def say(url: str, cast: Cast, told: tuple[Story, ...], stories_file: str) -> None:
    """Address, accounts, stories."""
    console = Console()
    console.print()
    console.print(Text.assemble(("  Admit demo  ", "bold reverse"), "  ", (url, f"bold link {url}")))
    console.print(f"  API description at {url}/docs\n", style="dim", highlight=False)
    console.print(Padding(_accounts(cast), (0, 2)))
    for number, story in enumerate(told, 1):
        console.print()
        console.print(Text(f"  {number}. {story.title}", style="bold"))
        console.print(Text(f"     {story.text}\n", style="dim"))
        code = Syntax(story.lines.rstrip(), "bash", theme="ansi_dark", background_color="default", word_wrap=True)
        console.print(Padding(code, (0, 5)))
    console.print()
    console.print(Text.assemble("  Run all four: ", (f"bash -eu {stories_file}", "bold")))
    console.print(Text("  Ctrl-C ends the demo.\n", style="dim"))


def _accounts(cast: Cast) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("account", "password or key", "roles"):
        table.add_column(column, overflow="fold")
    for person in cast.people:
        table.add_row(person.username, person.password, ", ".join(person.roles))
    table.add_row(SERVICE, cast.api_key, "service account with an API key")
    return table
