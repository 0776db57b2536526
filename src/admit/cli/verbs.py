"""Every verb by name, with the module that has it. A module is imported when its verb is called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from admit.cli.failure import ended

if TYPE_CHECKING:
    from typer._click import Command, Context

#: verb -> (module:attribute, its line in the help). The attribute is a Typer application or a plain function
VERBS: dict[str, tuple[str, str]] = {
    "demo": ("admit.cli.demo:demo", "Run the demo: an API, accounts to try, four stories as curl lines."),
    "serve": ("admit.cli.serve:serve", "Run the server, or an application of yours with --app."),
    "init": ("admit.cli.init:init", "Write admit.toml and admit.env for a new set-up."),
    "secret": ("admit.cli.init:secret", "Print a new master secret."),
    "choose": ("admit.cli.choose:command", "Find out which strategy fits, and get a project that runs."),
    "doctor": ("admit.cli.doctor:command", "Check settings and a running server against the security checklist."),
    "migrate": ("admit.cli.store:migrate", "Bring the database to this version."),
    "fence": ("admit.cli.store:fence", "After a restore: end all sign-ins and API keys, replace the signing keys."),
    "users": ("admit.cli.users:app", "People: create, list, show, grant, revoke, disable, enable, delete."),
    "service-accounts": ("admit.cli.service_accounts:app", "Accounts for programs, owned by a person."),
    "api-keys": ("admit.cli.api_keys:app", "API keys: create, list, rotate, revoke."),
    "clients": ("admit.cli.clients:app", "OAuth clients: list."),
    "sessions": ("admit.cli.sessions:app", "Sign-ins: list, end."),
    "signing-keys": ("admit.cli.signing_keys:app", "Signing keys: list, rotate, revoke."),
    "tokens": ("admit.cli.tokens:app", "Look into a token."),
    "audit": ("admit.cli.audit:app", "The log: list, follow, findings, verify, explain, checkpoint."),
}


class Verbs(TyperGroup):
    """Knows the verbs by name; the help is written from the table above without importing any of them."""

    def list_commands(self, _ctx: Context) -> list[str]:
        return list(VERBS)

    def get_command(self, _ctx: Context, cmd_name: str) -> Command | None:
        if cmd_name not in VERBS:
            return None
        return TyperCommand(cmd_name, help=VERBS[cmd_name][1], short_help=VERBS[cmd_name][1])

    def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and load(command.name or ""), rest


def load(verb: str) -> Command:
    """The verb itself."""
    module, _, attribute = VERBS[verb][0].partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False)
        single.command(verb)(found)
        found = single
    command = typer.main.get_command(found)
    command.name = verb
    return command


app = typer.Typer(cls=Verbs, no_args_is_help=True, rich_markup_mode="rich")


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(version("admit"))
        raise typer.Exit


@app.callback()
def admit(
    auth: Annotated[
        str | None,
        typer.Option(
            "--auth", metavar="MODULE:NAME", help="The Admit of your application, whose settings and roles count."
        ),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Authentication for Python APIs. Settings: ADMIT_* in the environment, admit.env, admit.toml.

    Ends with 0 done, 1 refused or not found, 2 wrong usage, 3 settings, 4 a part is down.
    """
    del version
    if auth is not None:
        os.environ["ADMIT_AUTH"] = auth


def run(arguments: Sequence[str]) -> int:
    """Runs one verb; its exit code. Errors are printed here, with what to try."""
    command: Any = typer.main.get_command(app)
    return ended(lambda: command.main(list(arguments), prog_name="admit", standalone_mode=False), arguments)
