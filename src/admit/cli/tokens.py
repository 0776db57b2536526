"""`admit tokens inspect`: what a credential is, and why it would be refused now."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from admit.cli.failure import REFUSED, Failure
from admit.cli.inspection import LONGEST, Inspection, inspect
from admit.cli.opening import within
from admit.cli.terminal import Json, Terminal, cell

app = typer.Typer(no_args_is_help=True)

_MARKS = {"passed": "✓", "failed": "✗", "not reached": "–"}


@app.callback()
def tokens() -> None:
    """Look into a token."""


@app.command("inspect")
def look(
    token: Annotated[
        str | None,
        typer.Argument(metavar="[TOKEN]", help="Better piped in: what is typed here stays in the shell's history."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Say what a JWT, refresh token, session cookie, API key or mailed link is, and whether it would be let in now.

    The token is never printed, and asking changes nothing. Ends with 1 when it would be refused.
    """
    text = _text(token)
    found = within(lambda rooms: inspect(rooms, text))
    if as_json:
        Terminal(as_json=True).fields(found.json())
    else:
        _tell(found)
    return 0 if found.accepted else REFUSED


def _text(given: str | None) -> str:
    if given is not None and given != "-":
        if sys.stderr.isatty():
            print("This token is now in the shell's history and was in the list of processes.", file=sys.stderr)
        text = given
    elif sys.stdin.isatty():
        text = str(typer.prompt("Token", hide_input=True))
    else:
        text = sys.stdin.read(LONGEST)
    # what is copied from a request has its scheme, from a terminal a line end
    text = text.strip().removeprefix("Bearer ").strip()
    if not text:
        raise Failure("There is no token.", "pipe it in: admit tokens inspect < FILE", code="usage", exit_code=2)
    return text


def _tell(found: Inspection) -> None:
    print(f"{found.what[0].upper()}{found.what[1:]}: {_word(found)}")
    print(found.verdict)
    if found.reason is not None:
        print(f"reason {found.reason}, told to the caller as {found.code}")
    for line in found.also:
        print(line)
    if found.mend:
        print(f"Try: {found.mend}")
    if found.steps:
        print("\nChecks, in their order:")
        for step in found.steps:
            print(f"  {_MARKS[step.result]} {step.name} ({step.result})")
    for name, values in (("Header", found.header), ("Claims", found.claims), ("Known here", found.facts)):
        if values:
            print(f"\n{name}{'' if name == 'Known here' or _proved(found) else ' (not proved)'}:")
            for key, value in values.items():
                print(f"  {cell(key)}: {cell(value)}")


def _word(found: Inspection) -> str:
    if found.accepted is None:
        return "nothing of ours"
    return "good now" if found.accepted else "refused now"


def _proved(found: Inspection) -> bool:
    return any(step.name == "signature" and step.result == "passed" for step in found.steps)
