"""`admit clients`: who may ask for tokens. The built-in sign-in is one of them."""

from __future__ import annotations

from typing import Any

import typer

from admit.cli.opening import within
from admit.cli.terminal import Json, Terminal
from admit.ground.clock import iso
from admit.ground.ids import show
from admit.rooms import Rooms
from admit.stores.sql import clients as rows

app = typer.Typer(no_args_is_help=True, add_completion=False)
COLUMNS = ("client_id", "name", "first_party", "public", "disabled", "created_at")


@app.callback()
def clients() -> None:
    """OAuth clients."""


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the clients."""

    async def work(rooms: Rooms) -> list[rows.ClientRow]:
        return await rooms.kit.work.read(rows.every)

    Terminal(as_json).rows("clients", [form(row) for row in within(work)], COLUMNS)


def form(row: rows.ClientRow) -> dict[str, Any]:
    """A client for programs."""
    return {
        "id": show("cli", row.id),
        "client_id": row.client_id,
        "name": row.name,
        "first_party": row.first_party,
        "public": row.public,
        "disabled": row.disabled_at is not None,
        "created_at": iso(row.created_at) if row.created_at else None,  # the built-in one was never made
    }
