"""`admit sessions`: every living sign-in, whether it is a session or a grant of tokens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from admit.cli.opening import account_of, within, write
from admit.cli.terminal import Json, Terminal, Yes, confirm
from admit.credentials.shown import sign_in_json
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.ids import read, show
from admit.ground.work import Tx
from admit.rooms import Rooms
from admit.stores.sql import owners
from admit.stores.sql.owners import Owned

app = typer.Typer(no_args_is_help=True, add_completion=False)
COLUMNS = ("id", "owner", "kind", "created_at", "seen_at", "expires_at", "address", "agent")
MOST = 200  # owners that one listing looks at


@app.command("list")
def list_(
    who: Annotated[str | None, typer.Argument(metavar="WHO", help="whose; everybody's without it")] = None,
    as_json: Json = False,
) -> None:
    """List the sign-ins that still work, the newest first."""

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        def body(tx: Tx) -> list[bytes] | Refused:
            if who is None:
                return [*dict.fromkeys([*owners.holders(tx, "session", MOST), *owners.holders(tx, "grant", MOST)])]
            account = account_of(rooms, tx, who)
            return account if isinstance(account, Refused) else [account.id]

        return [one for user in await write(rooms, body) for one in await _of(rooms, user)]

    found = sorted(within(work), key=lambda one: str(one["created_at"]), reverse=True)
    Terminal(as_json).rows("sessions", found, COLUMNS)


async def _of(rooms: Rooms, user: bytes) -> list[dict[str, Any]]:
    shown = [sign_in_json(row, None) for row in await rooms.delivery.live(user)]
    # `current` is of the one who asks; nobody here has signed in
    return [
        {name: value for name, value in one.items() if name != "current"} | {"owner": show("usr", user)}
        for one in shown
    ]


@app.command()
def end(
    which: Annotated[str | None, typer.Argument(metavar="ID", help="ses_… or grt_…")] = None,
    all_of: Annotated[str | None, typer.Option("--all-of", metavar="WHO", help="Every sign-in of this person.")] = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """End one sign-in, or all of a person; its tokens are refused from the next request on."""
    if (which is None) == (all_of is None):
        raise typer.BadParameter("name one sign-in, or say --all-of WHO")
    if all_of is not None:
        confirm(f"End every sign-in of {all_of}?", yes or as_json)

    async def work(rooms: Rooms) -> int:
        return await write(rooms, lambda tx: _end(rooms, tx, which) if which else _end_all(rooms, tx, all_of or ""))

    ended = within(work)
    Terminal(as_json).said({"ended": ended}, f"Ended {ended} sign-in{'' if ended == 1 else 's'}.")


def _end(rooms: Rooms, tx: Tx, which: str) -> int | Refused:
    kinds: tuple[tuple[Owned, bytes | None], ...] = (("session", read("ses", which)), ("grant", read("grt", which)))
    for kind, identifier in kinds:
        if identifier is None:
            continue
        user = owners.owner(tx, kind, identifier)
        if user is not None and rooms.delivery.end(tx, user, identifier, Via()):
            return 1
    return Refused("session.not_found")


def _end_all(rooms: Rooms, tx: Tx, who: str) -> int | Refused:
    account = account_of(rooms, tx, who)
    return account if isinstance(account, Refused) else rooms.delivery.end_all(tx, account.id, Via())
