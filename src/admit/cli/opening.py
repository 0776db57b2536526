"""The rooms for one verb: the same code as the server's, opened quietly and closed again."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from admit.build import Own, build, close_rooms, open_rooms, open_store
from admit.ground.errors import Refused, SettingsError
from admit.ground.ids import read
from admit.ground.work import Tx
from admit.people import identifiers
from admit.people.account import Account
from admit.rooms import Rooms
from admit.settings import Settings, load

T = TypeVar("T")
DEMO = Path(".admit/demo.toml")


def use_demo() -> bool:
    """In a clone whose demo has been started, and with nothing else said, the demo's store is meant."""
    named = ("ADMIT_CONFIG", "ADMIT_DATABASE", "ADMIT_AUTH")
    if any(name in os.environ for name in named) or Path("admit.toml").exists() or not DEMO.is_file():
        return os.environ.get("ADMIT_CONFIG") == str(DEMO)
    os.environ["ADMIT_CONFIG"] = str(DEMO)
    if sys.stderr.isatty():
        print(f"Working on the demo's store ({DEMO}).", file=sys.stderr)
    return True


def here() -> tuple[Settings, Own]:
    """The settings that count here, and what the application named by `--auth` or ADMIT_AUTH adds. `SettingsError`."""
    use_demo()
    target = os.environ.get("ADMIT_AUTH")
    return (load(), Own()) if target is None else _application(target)


def _application(target: str) -> tuple[Settings, Own]:
    from admit.auth import Admit

    module, _, name = target.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = getattr(import_module(module), name or "auth")
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingsError(f"--auth {target} cannot be imported: {error}") from None
    if not isinstance(found, Admit):
        raise SettingsError(f"--auth {target} is no Admit; name the object that your application mounts")
    return found.settings, found._own


def within(work: Callable[[Rooms], Awaitable[T]]) -> T:
    """Runs `work` with open rooms. Raises what opening and `work` raise."""
    settings, own = here()
    if settings.limits.store == "memory":
        # the server counts there under its lock; a verb counts nothing
        limits = settings.limits.model_copy(update={"store": "sql"})
        settings = settings.model_copy(update={"limits": limits})
    return asyncio.run(_within(settings, own, work))


async def _within(settings: Settings, own: Own, work: Callable[[Rooms], Awaitable[T]]) -> T:
    rooms = build(settings, own, open_store(settings, own))
    try:
        await open_rooms(rooms, background=False)
        return await work(rooms)
    finally:
        await close_rooms(rooms)


async def write(rooms: Rooms, body: Callable[[Tx], T | Refused]) -> T:
    """A unit of work; raises what it returns as refused."""
    return settled(await rooms.kit.work.write(body))


def settled(done: T | Refused) -> T:
    """`done`, or its refusal raised."""
    if isinstance(done, Refused):
        raise done.refusal()
    return done


def account_of(rooms: Rooms, tx: Tx, who: str) -> Account | Refused:
    """The account behind an id, an e-mail address or a username."""
    if (identifier := read("usr", who)) is not None:
        found = rooms.accounts.load(tx, identifier)
    else:
        name = identifiers.read(who)
        found = None if name is None else rooms.accounts.named(tx, name.kind, name.value)
    return found or Refused("people.not_found")


def operator() -> str:
    """Who works here, for the log: the name that the operating system knows."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"
