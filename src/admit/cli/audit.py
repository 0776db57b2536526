"""`admit audit`: the log, read, watched, checked and explained."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from admit.audit.explain import explain as explained
from admit.audit.findings import close_finding, finding_json, list_findings
from admit.audit.reading import Filter, event_json, event_line, list_events
from admit.audit.reading import follow as news
from admit.audit.seal import Checkpoint, digest, export
from admit.audit.verify import Progress, Report
from admit.audit.verify import verify as walk
from admit.cli.api_keys import moment
from admit.cli.failure import REFUSED, Failure
from admit.cli.opening import within
from admit.cli.terminal import Json, Terminal
from admit.ground.clock import from_datetime
from admit.ground.errors import Unavailable
from admit.ground.ids import read
from admit.rooms import Rooms
from admit.stores.sql import audit as blocks

app = typer.Typer(no_args_is_help=True, add_completion=False)

EVERY = 1.0  # seconds between two looks of `follow`
Type = Annotated[
    list[str] | None, typer.Option("--type", help="An event type, or a class such as `login.`; may be repeated.")
]
Subject = Annotated[str | None, typer.Option(help="Only events about this account (usr_…).")]
Reason = Annotated[str | None, typer.Option(help="Only events with this private reason.")]
Outcome = Annotated[str | None, typer.Option(help="success, refused or failure.")]


@app.command("list")
def list_(  # noqa: PLR0917
    type_: Type = None,
    subject: Subject = None,
    reason: Reason = None,
    outcome: Outcome = None,
    address: Annotated[str | None, typer.Option(help="Only events from this address.")] = None,
    identifier: Annotated[str | None, typer.Option(help="Only events with this typed name.")] = None,
    since: Annotated[str | None, typer.Option(help="1h, 7d, or a time such as 2027-01-31T00:00Z.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    after: Annotated[str | None, typer.Option(help="The cursor of the page before.")] = None,
    as_json: Json = False,
) -> None:
    """List events, the newest first."""
    begin = None if since is None else moment(since)

    async def work(rooms: Rooms) -> Any:
        now = rooms.kit.clock.now()
        start = None if begin is None else now - begin if isinstance(begin, int) else from_datetime(begin)
        where = Filter(
            tuple(type_ or ()), outcome=outcome, reason=reason, subject=subject, address=address,
            identifier=identifier, since=start,
        )  # fmt: skip
        return await list_events(rooms.kit.work, where, after, limit)

    try:
        page = within(work)
    except ValueError:
        raise typer.BadParameter("--after takes the cursor that the page before has given") from None
    if as_json:
        print(json.dumps({"events": [event_json(row) for row in page.events], "next": page.after}))
        return
    for row in page.events:
        print(event_line(row))
    if page.after is not None:
        print(f"More: --after {page.after}", file=sys.stderr)


@app.command()
def follow(type_: Type = None, subject: Subject = None, reason: Reason = None, as_json: Json = False) -> None:
    """Print events as they come, until Ctrl-C. With --json one object a line."""
    where = Filter(tuple(type_ or ()), subject=subject, reason=reason)

    async def work(rooms: Rooms) -> None:
        cursor = (await news(rooms.kit.work, None, where)).cursor
        print("Following the log; Ctrl-C ends.", file=sys.stderr, flush=True)
        while True:
            found = await _news(rooms, cursor, where)
            if found is not None:
                cursor = found.cursor
                for row in found.events:
                    print(json.dumps(event_json(row)) if as_json else event_line(row), flush=True)
            if found is None or not found.events:
                await asyncio.sleep(EVERY)

    within(work)


async def _news(rooms: Rooms, cursor: str, where: Filter) -> Any:
    try:
        return await news(rooms.kit.work, cursor, where)
    except Unavailable:
        return None  # a database that restarts is no reason to stop watching


@app.command()
def findings(
    closed: Annotated[bool, typer.Option("--all", help="The closed ones too.")] = False,
    detector: Annotated[str | None, typer.Option(help="Only of this detector.")] = None,
    close: Annotated[str | None, typer.Option(metavar="ID", help="Close this finding.")] = None,
    as_json: Json = False,
) -> None:
    """List what the detectors saw, or close a finding."""
    if close is not None:
        _close(close, as_json)
        return

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        found = await list_findings(rooms.kit.work, closed=None if closed else False, detector=detector)
        return [finding_json(row) for row in found]

    columns = ("id", "severity", "detector", "title", "first_seen", "last_seen", "closed_at")
    Terminal(as_json).rows("findings", within(work), columns)


def _close(which: str, as_json: bool) -> None:
    identifier = read("fnd", which)

    async def work(rooms: Rooms) -> bool:
        return identifier is not None and await close_finding(rooms.kit.work, identifier)

    if not within(work):
        raise Failure(f"There is no open finding {which}.", "`admit audit findings` lists the open ones")
    Terminal(as_json).said({"id": which, "closed": True}, f"Closed {which}.")


@app.command()
def verify(
    checkpoint: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="A file that `checkpoint --to` wrote.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that nobody has changed the log. Ends with 1 when something is wrong."""
    anchors = [_anchor(line) for path in checkpoint or () for line in path.read_text("utf-8").splitlines() if line]
    terminal = Terminal(as_json)

    async def work(rooms: Rooms) -> Report:
        key = await rooms.sealing.key()
        with _Bar(terminal.for_people) as bar:
            return await walk(rooms.kit.work, [key], anchors, bar)

    report = within(work)
    problems = [
        {"kind": one.kind, "text": one.text, "block": one.height, "event": one.event} for one in report.problems
    ]
    counts = {"blocks": report.blocks, "events": report.events, "erased": report.erased, "waiting": report.waiting}
    if as_json:
        print(json.dumps({"ok": report.ok, **counts, "problems": problems, "further": report.further}))
    else:
        for one in problems:
            print(f"block {one['block'] or '-'}  {one['event'] or '-'}  {one['text']}")
        verdict = "untouched" if report.ok else f"NOT untouched: {len(problems) + report.further} problems"
        print(f"{report.events} events in {report.blocks} blocks, {report.waiting} not sealed yet: {verdict}.")
        if not report.ok:
            print("Try: compare with a backup, and look who could write to the database.", file=sys.stderr)
    if not report.ok:
        raise typer.Exit(REFUSED)


def _anchor(line: str) -> Checkpoint:
    try:
        return Checkpoint.read(line)
    except ValueError:
        raise typer.BadParameter("a line of the checkpoint file is no checkpoint") from None


class _Bar:
    """A progress bar where a person looks; nothing else."""

    def __init__(self, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> _Bar:
        if self._shown:
            from rich.progress import Progress as Rich

            self._bar = Rich(transient=True)
            self._bar.start()
            self._task = self._bar.add_task("blocks", total=None)
        return self

    def __call__(self, progress: Progress) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=progress.done, total=progress.of)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


@app.command()
def explain(
    request: Annotated[str, typer.Argument(metavar="REQUEST_ID", help="X-Request-ID of the answer")],
    as_json: Json = False,
) -> None:
    """Say why a request was refused, and how to mend it."""

    async def work(rooms: Rooms) -> Any:
        return await explained(rooms.kit.work, request)

    found = within(work)
    if found is None:
        raise Failure(
            f"The log knows no request {request}.",
            "again in a second; under flood not each refusal is written by itself, and the server's log has the rest",
        )
    if as_json:
        print(json.dumps(found.json(), default=str))
        return
    refused = f"{found.status} {found.code}, because of {found.reason}" if found.reason else "not refused"
    print(f"{request}: {refused}\n{found.meaning}\nTry: {found.mend}\n")
    for row in found.events:
        print(event_line(row))


@app.command()
def checkpoint(
    to: Annotated[Path | None, typer.Option(help="Append it to this file, best on another machine.")] = None,
    as_json: Json = False,
) -> None:
    """Seal what waits and anchor the log's end outside the database."""

    async def work(rooms: Rooms) -> Any:
        while await rooms.sealing.step():
            pass
        return await rooms.kit.work.read(blocks.head)

    head = within(work)
    if head is None:
        raise Failure("The log is empty: there is nothing to anchor.", "again once something has happened")
    line = _write(head, to)
    if as_json or to is None:
        print(line)
    else:
        print(f"Block {head.height} ({digest(head).hex()[:16]}…) is anchored in {to}.")


def _write(head: blocks.BlockRow, to: Path | None) -> str:
    try:
        return export(head, to)
    except OSError as error:
        raise Failure(f"{to} cannot be written: {error.strerror}.", "another file with --to") from None
