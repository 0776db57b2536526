"""`admit service-accounts`: accounts for programs, which have API keys and no password."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from admit.cli.opening import account_of, operator, within, write
from admit.cli.terminal import Json, Terminal
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.ids import show
from admit.ground.work import Tx
from admit.people.account import Account, account_json
from admit.rooms import Rooms

app = typer.Typer(no_args_is_help=True, add_completion=False)
COLUMNS = ("id", "name", "owner", "roles", "disabled", "created_at")


@app.command()
def create(
    owner: Annotated[str, typer.Option(help="The person who answers for it: id, e-mail address or username.")],
    name: Annotated[str, typer.Option(help="What it is for, such as 'Nightly export'.")],
    role: Annotated[list[str] | None, typer.Option(help="A role that the owner holds; may be repeated.")] = None,
    as_json: Json = False,
) -> None:
    """Create a service account; its API keys die with its owner's rights."""

    async def work(rooms: Rooms) -> Account:
        def body(tx: Tx) -> Account | Refused:
            person = account_of(rooms, tx, owner)
            if isinstance(person, Refused):
                return person
            return rooms.accounts.create_service(tx, person.id, name, role or (), Via(), actor=operator())

        return await write(rooms, body)

    made = form(within(work))
    said = f"Created {made['id']}. A key for it: admit api-keys create --owner {made['id']} --name NAME --scope SCOPE"
    Terminal(as_json).said(made, said)


@app.command("list")
def list_(
    owner: Annotated[str | None, typer.Option(help="Only those of this person.")] = None, as_json: Json = False
) -> None:
    """List service accounts."""

    async def work(rooms: Rooms) -> list[Account]:
        def body(tx: Tx) -> list[Account] | Refused:
            if owner is None:
                return rooms.accounts.page(tx, limit=1000, kind="service").accounts
            person = account_of(rooms, tx, owner)
            return person if isinstance(person, Refused) else rooms.accounts.services_of(tx, person.id)

        return await write(rooms, body)

    Terminal(as_json).rows("service_accounts", [form(one) for one in within(work)], COLUMNS)


def form(account: Account) -> dict[str, Any]:
    """A service account as an operator sees it."""
    owner = None if account.owner is None else show("usr", account.owner)
    shown = account_json(account)
    return {name: shown[name] for name in ("id", "name", "roles", "created_at", "disabled")} | {"owner": owner}
