"""What the demo says at its start, as plain text: when its output goes to a file or a program."""

from __future__ import annotations

import sys

from admit.demo.accounts import SERVICE, Cast
from admit.demo.stories import Story


def say(url: str, cast: Cast, told: tuple[Story, ...], stories_file: str) -> None:
    """Address, accounts, stories."""
    lines = [f"The Admit demo: {url}", f"API description: {url}/docs", "", "Accounts"]
    lines += [f"  {one.username:<16}{one.password}   roles: {', '.join(one.roles)}" for one in cast.people]
    lines += [f"  {SERVICE:<16}{cast.api_key}   API key of a service account", ""]
    for number, story in enumerate(told, 1):
        lines += [f"{number}. {story.title}", f"   {story.text}", ""]
        lines += [f"   {line}" if line else "" for line in story.lines.rstrip().splitlines()] + [""]
    lines += [
        f"Run all four: bash -eu {stories_file} (where url, field and refused are defined)",
        "Ctrl-C ends the demo.",
        "",
    ]
    sys.stdout.write("\n".join(lines))
