"""What the demo says at its start, for a person at a terminal.

No line is broken here, the terminal does that: what is copied from it must be what was printed.
"""

from __future__ import annotations

from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from admit.demo.accounts import SERVICE, Cast
from admit.demo.stories import Story


def say(url: str, cast: Cast, told: tuple[Story, ...], stories_file: str) -> None:
    """Address, accounts, stories."""
    lines = [Text(), Text.assemble(("  Admit demo  ", "bold reverse"), "  ", (url, f"bold link {url}"))]
    lines += [Text(f"  API description at {url}/docs", style="dim"), Text()]
    lines += [_account(one.username, one.password, ", ".join(one.roles)) for one in cast.people]
    lines.append(_account(SERVICE, cast.api_key, "service account"))
    for number, story in enumerate(told, 1):
        lines += [Text(), Text(f"  {number}. {story.title}", style="bold"), Text(f"     {story.text}", style="dim")]
        lines += [Text(), *_code(story.lines.rstrip())]
    run = (f"bash -eu {stories_file}", "bold")
    note = ("  (where url, field and refused are defined)", "dim")
    lines += [
        Text(),
        Text.assemble("  Run all four: ", run, note),
        Text("  Ctrl-C ends the demo.", style="dim"),
        Text(),
    ]
    console = Console(highlight=False)
    for line in lines:
        console.print(line, soft_wrap=True)


def _account(name: str, secret: str, roles: str) -> Text:
    return Text.assemble(f"  {name:<16}", (secret, "bold"), "  ", (roles, "dim"))


def _code(lines: str) -> list[Text]:
    shown = Syntax("", "bash", theme="ansi_dark", background_color="default").highlight(lines)
    return [Text.assemble("     ", line) for line in shown.split("\n", allow_blank=True)]
