"""`admit api-keys`: keys of people and of service accounts. A key's text is printed once, by `create` and `rotate`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from admit.cli.opening import account_of, operator, within, write
from admit.cli.terminal import Json, Terminal, Yes, confirm
from admit.credentials.api_keys import By, Created, KeyRow, Terms
from admit.credentials.shown import created_json, key_json
from admit.ground.clock import from_datetime, micros
from admit.ground.errors import Refused
from admit.ground.ids import read
from admit.ground.work import Tx
from admit.rooms import Rooms
from admit.stores.sql import owners

app = typer.Typer(no_args_is_help=True, add_completion=False)

COLUMNS = ("id", "name", "owner", "scopes", "hint", "last_used_at", "uses", "expires_at", "revoked_at")
MOST = 200  # owners that one listing looks at
KeyId = Annotated[str, typer.Argument(metavar="ID", help="the key's id (key_…)")]
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@app.command()
def create(
    owner: Annotated[str, typer.Option(help="Whose key: id, e-mail address or username.")],
    name: Annotated[str, typer.Option(help="What it is for, such as 'Production Server'.")],
    scope: Annotated[list[str] | None, typer.Option(help="What it may do; may be repeated.")] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 90d, 12h, or a time such as 2027-01-31T00:00Z.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a key and print it, this once."""
    span = None if expires is None else moment(expires)

    async def work(rooms: Rooms) -> Created:
        def body(tx: Tx) -> Created | Refused:
            holder = account_of(rooms, tx, owner)
            if isinstance(holder, Refused):
                return holder
            until = None if span is None else tx.now + span if isinstance(span, int) else from_datetime(span)
            terms = Terms(name, frozenset(scope or ()), until)
            return rooms.api_keys.create(tx, holder.id, terms, everything(rooms))

        return await write(rooms, body)

    _show_once(within(work), as_json)


@app.command("list")
def list_(
    who: Annotated[str | None, typer.Argument(metavar="WHO", help="whose; everybody's without it")] = None,
    revoked: Annotated[bool, typer.Option("--revoked", help="The revoked ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List keys; their text is not kept anywhere."""

    async def work(rooms: Rooms) -> list[KeyRow]:
        def body(tx: Tx) -> list[KeyRow] | Refused:
            if who is None:
                of = owners.holders(tx, "api_key", MOST)
            else:
                holder = account_of(rooms, tx, who)
                if isinstance(holder, Refused):
                    return holder
                of = [holder.id]
            return [row for user in of for row in rooms.api_keys.list(tx, user, revoked=revoked)]

        return await write(rooms, body)

    columns = COLUMNS if revoked else COLUMNS[:-1]
    Terminal(as_json).rows("api_keys", [key_json(row) for row in within(work)], columns)


@app.command()
def rotate(
    key: KeyId,
    overlap: Annotated[
        str | None, typer.Option(help="How long the old text works beside the new one: 0m, 24h, 7d.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Give a key a new text under the same id and print it, this once."""
    span = None
    if overlap is not None and (span := duration(overlap)) is None:
        raise typer.BadParameter("--overlap takes a span such as 24h")
    _show_once(
        _on(key, lambda rooms, tx, user, id_: rooms.api_keys.rotate(tx, user, id_, everything(rooms), span)), as_json
    )


@app.command()
def revoke(key: KeyId, yes: Yes = False, as_json: Json = False) -> None:
    """End a key for good, from the next request on."""
    confirm(f"Revoke {key} for good?", yes or as_json)
    row = _on(key, lambda rooms, tx, user, id_: rooms.api_keys.revoke(tx, user, id_, everything(rooms)))
    Terminal(as_json).said(key_json(row), f"Revoked {key}.")


def _on(key: str, verb: Callable[[Rooms, Tx, bytes, bytes], Any]) -> Any:
    """Does something with a key that is named by its id alone."""

    async def work(rooms: Rooms) -> Any:
        def body(tx: Tx) -> Any:
            identifier = read("key", key)
            user = None if identifier is None else owners.owner(tx, "api_key", identifier)
            if identifier is None or user is None:
                return Refused("api_key.not_found")
            return verb(rooms, tx, user, identifier)

        return await write(rooms, body)

    return within(work)


def everything(rooms: Rooms) -> By:
    """The operator of the machine, whose word the owner's rights bound and nothing else."""
    return By(frozenset(rooms.settings.scopes), actor=operator())


def _show_once(made: Created, as_json: bool) -> None:
    said = f"{made.key}\n\nThis is {made.row.name!r} ({key_json(made.row)['id']}). It is not shown again: store it now."
    Terminal(as_json).said(created_json(made), said)


def duration(text: str) -> timedelta | None:
    """`90d`, `12h`, `30m`, `2w`; None for anything else."""
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text, re.ASCII)
    return timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None


def moment(text: str) -> int | datetime:
    """A span from now in microseconds, or a time with its zone. Raises `BadParameter` for anything else."""
    if (span := duration(text)) is not None:
        return micros(span)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise typer.BadParameter(f"{text!r} is neither a span such as 90d nor a time such as 2027-01-31T00:00Z")
    return at
