"""The table over HTTP: real processes, an A/A row for the noise, processor time beside requests a second."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from admit.crypto.sealing import generate
from benchmarks import applications as apps
from benchmarks.harness import Headers, table
from benchmarks.in_process import NAMES, headers_of
from benchmarks.population import KINDS, LONG_TOKENS, populate, quick_admit
from benchmarks.servers import ROOT, Process, Row, compare, serve

TARGET = "benchmarks.server:app"
USERS_NEED = ("fastapi-users[sqlalchemy]==15.0.5", "aiosqlite==0.22.1", "granian==2.8.7")


async def population(directory: Path, credentials: int) -> tuple[dict[str, str], dict[str, Path]]:
    """A database with live credentials; the environment of a server on it and a file of headers for each kind."""
    secret, database = generate(), f"sqlite:///{directory / 'admit.db'}"
    auth = quick_admit(database, secret=secret, run_directory=directory / "parent", **LONG_TOKENS)
    people = await populate(auth, credentials)
    files: dict[str, Path] = {
        kind: _write(directory / f"{kind}.txt", headers_of(auth, kind, people.texts[kind])) for kind in KINDS
    }
    await auth.close()
    environment = {
        "BENCH_APP": "admit", "BENCH_DATABASE": database, "BENCH_RUN": str(directory / "run"), "ADMIT_SECRET": secret,
    }  # fmt: skip
    return environment, files


def measure(
    directory: Path, admit: Mapping[str, str], files: Mapping[str, Path], *, credentials: int, rounds: int,
    seconds: float,
) -> dict[str, Any]:  # fmt: skip
    """Requests a second and processor time a request, for each server."""
    anonymous = _write(directory / "none.txt", [[(b"accept", b"*/*")]])
    tokens = apps.tutorial_tokens(min(credentials, 2000))
    bearers = _write(directory / "tutorial.txt", [[(b"authorization", f"Bearer {token}".encode())] for token in tokens])
    with contextlib.ExitStack() as stack:

        def start(name: str) -> Process:
            return stack.enter_context(serve(TARGET, {"BENCH_APP": name}))

        rows = [
            Row("bare route", start("bare"), anonymous),
            Row("bare route again (A/A)", start("bare"), anonymous),
            Row("bare + constant Depends", start("constant"), anonymous),
        ]
        # one process for each kind: what one writes late (uses of keys, say) must not count as another's work
        admits = {
            kind: stack.enter_context(serve(TARGET, {**admit, "BENCH_RUN": str(directory / kind)})) for kind in KINDS
        }
        rows += [Row(NAMES[kind], admits[kind], files[kind]) for kind in KINDS]
        rows.append(Row("tutorial JWT (PyJWT HS256)", start("tutorial"), bearers))
        users, why = _fastapi_users(directory, stack)
        compare([*rows, *users], directory, rounds=rounds, seconds=seconds)
        return _numbers([*rows, *users], why)


def _fastapi_users(directory: Path, stack: contextlib.ExitStack) -> tuple[list[Row], str | None]:
    """FastAPI-Users in its own environment; why not, when there is none."""
    try:
        python = _environment()
        settings = {"BENCH_DATABASE": str(directory / "users.db")}
        said = subprocess.run(
            [python, "-m", "benchmarks.fastapi_users_app", "500"],
            cwd=ROOT, env=settings, capture_output=True, text=True, check=True,
        )  # fmt: skip
        headers: list[Headers] = [
            [(b"authorization", f"Bearer {line}".encode())] for line in said.stdout.splitlines() if line
        ]
        process = stack.enter_context(serve("benchmarks.fastapi_users_app:app", settings, python=python))
    except (OSError, subprocess.SubprocessError, RuntimeError) as error:
        return [], f"not run here: {type(error).__name__}"
    return [Row("FastAPI-Users JWT, SQLite", process, _write(directory / "users.txt", headers))], None


def _environment() -> str:
    place = Path(sys.prefix) / "benchmarks-fastapi-users"
    python, ready = place / "bin" / "python", place / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", place], check=True, capture_output=True)
        subprocess.run(
            [python, "-m", "pip", "install", "-q", *USERS_NEED], check=True, capture_output=True, timeout=120
        )
        ready.touch()
    return str(python)


def _write(path: Path, requests: Iterable[Headers]) -> Path:
    path.write_text("".join(f"{name.decode()}: {value.decode()}\n" for [(name, value)] in requests))
    return path


def _numbers(rows: list[Row], why: str | None) -> dict[str, Any]:
    bare = rows[0]
    found = {
        row.name: {"rate": row.rate, "of_bare": row.rate / bare.rate, "cpu_us": row.cost, "cpu_of_bare": bare.cost / row.cost}
        for row in rows
    }  # fmt: skip
    return {"rows": found, "without": {"FastAPI-Users JWT, SQLite": why} if why else {}}


def show(found: dict[str, Any]) -> str:
    """The numbers for people."""
    rows = [
        (name, f"{row['rate']:,.0f}", f"{row['of_bare']:.2f}", f"{row['cpu_us']:.0f}", f"{row['cpu_of_bare']:.2f}")
        for name, row in found["rows"].items()
    ]
    rows += [(name, why, "", "", "") for name, why in found["without"].items()]
    head = "Over HTTP (Granian, one worker each, asked by turns, best round of each)"
    return f"{head}\n{table(('server', 'requests/s', 'of bare', 'CPU us', 'of bare'), rows)}"
