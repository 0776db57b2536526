"""`admit users`: people."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from admit.cli.failure import Failure
from admit.cli.opening import account_of, operator, within, write
from admit.cli.terminal import Json, Terminal, Yes, confirm
from admit.ground.errors import Refused
from admit.ground.events import Via
from admit.ground.ids import read, show
from admit.ground.work import Tx
from admit.people.account import Account, NewAccount, Taken, account_json
from admit.people.identifiers import IdentifierKind, parse
from admit.rooms import Rooms

app = typer.Typer(no_args_is_help=True, add_completion=False)

LONGEST = 4096  # the policy refuses far less; this only bounds what is read
COLUMNS = ("id", "username", "email", "roles", "disabled", "created_at")
Who = Annotated[str, typer.Argument(metavar="WHO", help="id (usr_…), e-mail address or username")]
Roles = Annotated[list[str], typer.Argument(metavar="ROLE…", help="one or more roles")]


@app.command()
def create(  # noqa: PLR0917
    email: Annotated[
        str | None, typer.Option(help="E-mail address; you answer for it, so it counts as verified.")
    ] = None,
    username: Annotated[str | None, typer.Option(help="Username.")] = None,
    password_stdin: Annotated[bool, typer.Option("--password-stdin", help="Read the password from stdin.")] = False,
    role: Annotated[list[str] | None, typer.Option(help="A role, beside the default ones; may be repeated.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="An administrator.")] = False,
    name: Annotated[str | None, typer.Option(help="The name to show.")] = None,
    as_json: Json = False,
) -> None:
    """Create an account. The password is read from stdin or asked for, never taken from the command line."""
    if email is None and username is None:
        raise typer.BadParameter("give --email, --username, or both")
    wanted = {*(role or ()), *(("admin",) if admin else ())}
    password = read_password(password_stdin)

    async def work(rooms: Rooms) -> Account:
        given: dict[IdentifierKind, str | None] = {"username": username, "email": email}
        names = tuple(parse(kind, text) for kind, text in given.items() if text is not None)
        roles = rooms.rights.roles_known({*rooms.settings.rights.default_roles, *wanted})
        rooms.register.new_password.demand(password, username=username, email=email)
        new = NewAccount(names, await rooms.pool.hash(password), roles, name=name, verified=True)
        return await write(rooms, lambda tx: _create(rooms, tx, new))

    made = within(work)
    shown = made.username or made.email
    Terminal(as_json).said(account_json(made), f"Created {shown} with the id {made.shown}. Roles: {_roles(made)}.")


def read_password(from_stdin: bool) -> str:
    """The password: from stdin, one line end less, or asked for twice at a terminal."""
    if not from_stdin:
        if not sys.stdin.isatty():
            raise typer.BadParameter("pipe the password in and say --password-stdin")
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        text = sys.stdin.buffer.read(LONGEST).decode("utf-8")
    except UnicodeDecodeError:
        raise Failure("The password on stdin is not UTF-8.", "send it as UTF-8", code="password_unreadable") from None
    return text.removesuffix("\n").removesuffix("\r")


def _create(rooms: Rooms, tx: Tx, new: NewAccount) -> Account | Refused:
    made = rooms.accounts.create(tx, new, Via(), event="account.imported", actor=operator())
    if isinstance(made, Taken):
        return Refused("register.username_taken" if "username" in made.kinds else "email.taken")
    return made


@app.command("list")
def list_(
    search: Annotated[str | None, typer.Option(help="The beginning of an identifier, or a part of the name.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 50,
    after: Annotated[str | None, typer.Option(help="Go on after this id.")] = None,
    as_json: Json = False,
) -> None:
    """List people, the newest first."""
    cursor = None
    if after is not None and (cursor := read("usr", after)) is None:
        raise typer.BadParameter("--after takes an id such as usr_…")

    async def work(rooms: Rooms) -> Any:
        return await rooms.kit.work.read(
            lambda tx: rooms.accounts.page(tx, after=cursor, limit=limit, kind="user", search=search)
        )

    page = within(work)
    following = None if page.next is None else show("usr", page.next)
    Terminal(as_json).rows("users", [account_json(one) for one in page.accounts], COLUMNS, next=following)
    if following and not as_json:
        print(f"More: admit users list --after {following}", file=sys.stderr)


@app.command("show")
def show_(who: Who, as_json: Json = False) -> None:
    """Show one account, with how many sign-ins and API keys it has."""

    async def work(rooms: Rooms) -> dict[str, Any]:
        def body(tx: Tx) -> tuple[bytes, dict[str, Any]] | Refused:
            account = account_of(rooms, tx, who)
            if isinstance(account, Refused):
                return account
            keys = len(rooms.api_keys.list(tx, account.id))
            services = [one.shown for one in rooms.accounts.services_of(tx, account.id)]
            scopes = sorted(rooms.rights.held(account.roles))
            counted = {"scopes": scopes, "api_keys": keys, "service_accounts": services}
            return account.id, {**account_json(account), **counted}

        user, told = await write(rooms, body)
        return told | {"sessions": len(await rooms.delivery.live(user))}

    Terminal(as_json).fields(within(work))


@app.command()
def grant(who: Who, roles: Roles, as_json: Json = False) -> None:
    """Give someone roles; they count from the next request on."""
    _changed(who, as_json, "now has the roles", lambda rooms, tx, user: rooms.accounts.grant(
        tx, user, roles, Via(), actor=operator()))  # fmt: skip


@app.command()
def revoke(who: Who, roles: Roles, as_json: Json = False) -> None:
    """Take roles away; they are lost from the next request on."""
    _changed(who, as_json, "now has the roles", lambda rooms, tx, user: rooms.accounts.revoke(
        tx, user, roles, Via(), actor=operator()))  # fmt: skip


@app.command()
def disable(who: Who, as_json: Json = False) -> None:
    """Close an account: its sessions, tokens and API keys are refused from the next request on."""
    _changed(who, as_json, "is disabled, with the roles", lambda rooms, tx, user: rooms.accounts.disable(
        tx, user, Via(), actor=operator()))  # fmt: skip


@app.command()
def enable(who: Who, as_json: Json = False) -> None:
    """Open an account again."""
    _changed(who, as_json, "is enabled, with the roles", lambda rooms, tx, user: rooms.accounts.enable(
        tx, user, Via(), actor=operator()))  # fmt: skip


@app.command()
def delete(who: Who, yes: Yes = False, as_json: Json = False) -> None:
    """Delete an account with everything that hangs on it. This cannot be undone."""
    confirm(f"Delete {who} with all sign-ins, API keys and service accounts?", yes or as_json)

    async def work(rooms: Rooms) -> str:
        def body(tx: Tx) -> str | Refused:
            account = account_of(rooms, tx, who)
            if isinstance(account, Refused):
                return account
            return rooms.accounts.delete(tx, account.id, Via(), actor=operator()) or account.shown

        return await write(rooms, body)

    gone = within(work)
    Terminal(as_json).said({"id": gone, "deleted": True}, f"Deleted {gone}.")


def _changed(who: str, as_json: bool, said: str, verb: Any) -> None:
    async def work(rooms: Rooms) -> Account:
        def body(tx: Tx) -> Account | Refused:
            account = account_of(rooms, tx, who)
            done: Account | Refused = account if isinstance(account, Refused) else verb(rooms, tx, account.id)
            return done

        return await write(rooms, body)

    account = within(work)
    shown = account.username or account.email or account.shown
    Terminal(as_json).said(account_json(account), f"{shown} {said} {_roles(account)}.")


def _roles(account: Account) -> str:
    return ", ".join(account.roles) or "none"
