"""`admit init` and `admit secret`: a new set-up with secrets that nobody chose."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from admit.cli.failure import Failure
from admit.cli.terminal import Json, Terminal
from admit.crypto.sealing import generate

CONFIG, SECRETS = "admit.toml", "admit.env"
ALGORITHMS = ("ES256", "RS256", "PS256", "Ed25519", "HS256")


def secret(as_json: Json = False) -> None:
    """Print a new master secret: 256 random bits for ADMIT_SECRET. To rotate: ADMIT_SECRET=2:NEW,1:OLD."""
    made = generate()
    Terminal(as_json).said({"secret": made}, made)


def init(
    issuer: Annotated[str, typer.Option(help="The URL under which people reach it.")] = "http://127.0.0.1:8000",
    database: Annotated[
        str, typer.Option(help="sqlite:///FILE or postgresql://HOST/NAME.")
    ] = "sqlite:///.admit/admit.sqlite3",
    algorithm: Annotated[str, typer.Option(help=f"What signs access tokens: {', '.join(ALGORITHMS)}.")] = "ES256",
    directory: Annotated[Path, typer.Option(file_okay=False, help="Where the two files go.")] = Path(),
    env: Annotated[
        bool, typer.Option("--env", help="Write nothing; print the lines for the environment instead.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write admit.toml (settings) and admit.env (secrets, for your eyes only), and make the database and its keys.

    Files that exist are left alone.
    """
    if algorithm not in ALGORITHMS:
        raise typer.BadParameter(f"--algorithm is one of {', '.join(ALGORITHMS)}")
    secrets = {"ADMIT_SECRET": generate()}
    if algorithm == "HS256":
        secrets["ADMIT_TOKENS__HS256_SECRET"] = generate()
    if env:
        plain = {"ADMIT_ISSUER": issuer, "ADMIT_DATABASE": database, "ADMIT_TOKENS__ALGORITHM": algorithm}
        Terminal(as_json).said(
            plain | secrets, "\n".join(f"{name}={value}" for name, value in (plain | secrets).items())
        )
        return
    directory.mkdir(parents=True, exist_ok=True)
    config, kept = directory / CONFIG, directory / SECRETS
    for path in (config, kept):
        if path.exists():
            raise Failure(
                f"{path} exists; nothing was written.", "another --directory, or move it away", code="conflict"
            )
    _write(kept, "".join(f"{name}={value}\n" for name, value in secrets.items()), 0o600)
    _write(config, _toml(issuer, database, algorithm), 0o644)
    keys = _prepare(config, kept)
    data = {"config": str(config), "secrets": str(kept), "signing_key": keys}
    Terminal(as_json).said(data, _said(config, kept, keys))


def _write(path: Path, text: str, mode: int) -> None:
    try:
        # O_EXCL: a file that appeared meanwhile is not overwritten; the mode holds before the first byte is in it
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}.", "another --directory", code="conflict") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _toml(issuer: str, database: str, algorithm: str) -> str:
    # a JSON string is a TOML string as well
    return f"""# Settings of Admit. The secrets stand in {SECRETS} or in the environment, never here.
issuer = {json.dumps(issuer)}
database = {json.dumps(database)}

[tokens]
algorithm = {json.dumps(algorithm)}

# What credentials may do, and who may do it:
# [rights.scopes]
# "read:posts" = "Read posts"
# [rights.roles]
# member = ["read:posts"]
# [rights]
# default_roles = ["member"]
"""


def _prepare(config: Path, kept: Path) -> str | None:
    """Opens the new set-up once: tables, and keys, since an RSA key takes too long to make at the first request."""
    from admit.build import Own, build, close_rooms, open_rooms, open_store
    from admit.ground.errors import SettingsError, Unavailable
    from admit.serve.safety import check
    from admit.settings import load

    os.environ |= {"ADMIT_CONFIG": str(config), "ADMIT_ENV_FILE": str(kept)}
    try:
        settings = load()
    except SettingsError:
        # what was given makes no settings: nothing of it stays
        config.unlink()
        kept.unlink()
        raise
    own = Own()

    async def prepare() -> str:
        rooms = build(settings, own, open_store(settings, own))
        try:
            await open_rooms(rooms, background=False)
            return rooms.signing_keys.active().kid
        finally:
            await close_rooms(rooms)

    for problem in check(settings, "127.0.0.1"):
        print(f"Before it can start: {problem}", file=sys.stderr)
    try:
        return asyncio.run(prepare())
    except Unavailable as error:
        print(f"{error}: the tables and keys are made once it is there (`admit migrate`).", file=sys.stderr)
        return None


def _said(config: Path, kept: Path, kid: str | None) -> str:
    lines = [
        f"Wrote {config} and {kept} (readable by you alone; keep it out of version control).",
        f"The signing key {kid} is in the database." if kid else "",
        "Next: admit users create --email YOU --admin, then admit serve",
    ]
    return "\n".join(line for line in lines if line)
