"""`admit signing-keys`: the keys that sign access tokens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from admit.cli.failure import Failure
from admit.cli.opening import within
from admit.cli.terminal import Json, Terminal, Yes, confirm
from admit.crypto.keys import SigningKey
from admit.ground.clock import iso
from admit.ground.events import Via
from admit.rooms import Rooms

app = typer.Typer(no_args_is_help=True, add_completion=False)
COLUMNS = ("kid", "alg", "state", "active_from", "retire_at", "revoked_at")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the keys: next, active, retiring, retired, revoked."""

    async def work(rooms: Rooms) -> list[dict[str, Any]]:
        now = rooms.kit.clock.now()
        keys = sorted(rooms.signing_keys.ring.keys, key=lambda key: key.active_from, reverse=True)
        signing = {key.kid for key in keys if _state(key, now) == "active"}
        newest = next((key.kid for key in keys if key.kid in signing), None)
        return [form(key, now, newest) for key in keys]

    Terminal(as_json).rows("signing_keys", within(work), COLUMNS)


@app.command()
def rotate(
    now: Annotated[bool, typer.Option("--now", help="Sign with it at once instead of publishing it first.")] = False,
    as_json: Json = False,
) -> None:
    """Make a new key. Tokens of the old one work until they expire."""

    async def work(rooms: Rooms) -> dict[str, Any]:
        _asymmetric(rooms)
        kid = await rooms.signing_keys.rotate(Via(), at_once=now)
        made = next(key for key in rooms.signing_keys.ring.keys if key.kid == kid)
        return form(made, rooms.kit.clock.now(), kid)

    made = within(work)
    when = "signs from now on" if now else f"is published now and signs from {made['active_from']} on"
    Terminal(as_json).said(made, f"The new key {made['kid']} {when}.")


@app.command()
def revoke(
    kid: Annotated[str, typer.Argument(metavar="KID", help="as `list` shows it")],
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Kill a key and every access token signed by it, at once."""
    confirm(
        f"Revoke {kid}? Every access token signed by it dies; people stay signed in by their refresh tokens.",
        yes or as_json,
    )

    async def work(rooms: Rooms) -> str:
        _asymmetric(rooms)
        if not await rooms.signing_keys.revoke(kid, Via()):
            raise Failure(f"There is no signing key {kid}.", "`admit signing-keys list` shows the keys")
        return rooms.signing_keys.active().kid

    successor = within(work)
    Terminal(as_json).said({"kid": kid, "revoked": True, "active": successor}, f"Revoked {kid}. {successor} signs now.")


def _asymmetric(rooms: Rooms) -> None:
    if rooms.settings.tokens.algorithm == "HS256":
        raise Failure(
            "HS256 signs with one secret from the environment.",
            "change ADMIT_TOKENS__HS256_SECRET and restart; ES256 rotates by itself",
            code="conflict",
        )


def form(key: SigningKey, now: int, active: str | None) -> dict[str, Any]:
    """A key without its secret."""
    state = _state(key, now)
    if state == "active" and key.kid != active:
        state = "retiring"
    times = {name: getattr(key, name) for name in ("active_from", "retire_at", "revoked_at")}
    shown = {name: None if not at else iso(at) for name, at in times.items()}
    return {"kid": key.kid, "alg": key.alg, "state": state, **shown}


def _state(key: SigningKey, now: int) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.retire_at is not None and key.retire_at <= now:
        return "retired"
    return "next" if key.active_from > now else "active"
