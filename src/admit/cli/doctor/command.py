"""The verb itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from admit.build import Own, build, close_rooms, open_rooms, open_store
from admit.cli.doctor.examine import Report, Server, examine, silent
from admit.cli.doctor.visit import Patient, Tell
from admit.cli.failure import DOWN, Failure
from admit.cli.opening import here
from admit.cli.terminal import Json
from admit.cli.users import read_password
from admit.ground.errors import SettingsError, Unavailable
from admit.rooms import Rooms
from admit.settings import Settings


def command(
    url: Annotated[str | None, typer.Option(help="The running server, as clients reach it: https://…")] = None,
    identifier: Annotated[
        str | None, typer.Option(help="Sign in as this account instead of a temporary one; it gets four wrong guesses.")
    ] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Its password, from stdin.")] = False,
    ca: Annotated[
        Path | None, typer.Option(help="Certificates to trust (PEM), for a server with a CA of your own.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check settings, store and a running server against the 17 lines of the security checklist.

    With --url a temporary account signs in, and is deleted again. Ends with 1 when a line does not hold.
    """
    server = _server(url, identifier, password_stdin, ca)
    with _progress(quiet=as_json or not sys.stderr.isatty()) as tell:
        report = asyncio.run(_examine(server, tell))
    if as_json:
        print(
            json.dumps(
                {
                    "checks": [check.json() for check in report.checks],
                    "weakenings": [one._asdict() for one in report.weakenings],
                }
            )
        )
    else:
        from admit.cli.doctor.report import tell as tell_report

        tell_report(report)
    return 1 if report.failed else 0


def _server(url: str | None, identifier: str | None, password_stdin: bool, ca: Path | None) -> Server | None:
    if url is None:
        if identifier is not None or password_stdin:
            raise typer.BadParameter("--identifier and --password-stdin are for a server: give --url too")
        return None
    if not url.startswith(("http://", "https://")):
        raise typer.BadParameter("--url begins with https:// (or http:// on this machine)")
    if ca is not None and not ca.is_file():
        raise typer.BadParameter(f"--ca: there is no file {ca}")
    patient = None
    if identifier is not None:
        patient = Patient(identifier, read_password(password_stdin), temporary=False)
    return Server(url.rstrip("/"), patient, ca)


async def _examine(server: Server | None, tell: Tell) -> Report:
    settings, own = here()
    rooms, absent = await _open(settings, own)
    try:
        return await examine(settings, rooms, server, tell=tell, absent=absent)
    except Unavailable as error:
        mend = "start it, or correct --url; without --url only settings and store are checked"
        raise Failure(str(error), mend, code="unavailable", exit_code=DOWN) from None
    finally:
        if rooms is not None:
            await close_rooms(rooms)


async def _open(settings: Settings, own: Own) -> tuple[Rooms | None, str]:
    """The rooms, or why they stay shut: what keeps them shut may be what the doctor was called for."""
    if settings.limits.store == "memory":
        # the server counts there under its lock; here nothing is counted
        settings = settings.model_copy(update={"limits": settings.limits.model_copy(update={"store": "sql"})})
    rooms = None
    try:
        rooms = build(settings, own, open_store(settings, own))
        await open_rooms(rooms, background=False)
    except (SettingsError, Unavailable) as error:
        if rooms is not None:
            await close_rooms(rooms)
        return None, f"the store could not be opened ({error})"
    return rooms, ""


@contextlib.contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """One line that says what is being looked at; nothing when nobody looks."""
    if quiet:
        yield silent
        return
    from rich.console import Console

    with Console(stderr=True).status("Looking") as status:
        yield lambda step: status.update(f"Looking: {step}")
