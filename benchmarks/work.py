"""What is done less often than a protected request: logins, refreshes, lookups among many, a start."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import quantiles
from typing import Any

import sqlalchemy as sa

from admit import Admit
from admit.credentials.grants import SIGN_IN_ID, Person
from admit.ground.events import Via
from admit.ground.principal import Method
from admit.ground.work import Tx
from admit.people.passwords import Hasher, HashPool, profile_of
from benchmarks.client import Connection
from benchmarks.population import Kind, accounts, populate, quick_admit
from benchmarks.servers import ROOT, Process

PASSWORD = "Correct Horse 1 Battery!"
_VIA = Via("bench", None, None)


# -- logins ----------------------------------------------------------------------------------------------------------


async def logins(process: Process, header: str, names: list[str], seconds: float) -> dict[str, Any]:
    """Logins a second with one login per core under way, and what protected requests wait meanwhile."""
    cores = len(os.sched_getaffinity(0))
    idle = await _protected(process, header, seconds)
    over = time.monotonic() + seconds
    done = 0

    async def person(name: str) -> None:
        nonlocal done
        async with Connection(process.port) as connection:
            while time.monotonic() < over:
                status, body = await connection.post("/auth/login", {"identifier": name, "password": PASSWORD})
                if status != 200:
                    raise RuntimeError(f"login: {status} {body[:200]!r}")
                done += 1

    meanwhile = asyncio.gather(*map(person, names[: cores + 1]))
    busy = await _protected(process, header, seconds)
    await meanwhile
    hashes = await hashes_alone(seconds)
    return {
        "logins_per_s": done / seconds, "hashes_per_s": hashes, "of_hashes": done / seconds / hashes,
        "idle_p99_ms": idle, "busy_p99_ms": busy, "p99_ratio": busy / idle,
    }  # fmt: skip


async def _protected(process: Process, header: str, seconds: float) -> float:
    """The 99th percentile of a request every 5 ms, in milliseconds."""
    took, over = [], time.monotonic() + seconds
    async with Connection(process.port) as connection:
        while time.monotonic() < over:
            begun = time.perf_counter()
            status, body = await connection.ask("GET", "/", [header])
            took.append((time.perf_counter() - begun) * 1000)
            if status != 200:
                raise RuntimeError(f"protected: {status} {body[:200]!r}")
            await asyncio.sleep(0.005)
    return quantiles(took, n=100)[98]


async def hashes_alone(seconds: float) -> float:
    """Passwords verified a second by the pool, with nothing else to do."""
    hasher = Hasher(profile_of("argon2id"))
    pool, cores = HashPool(hasher), len(os.sched_getaffinity(0))
    stored, done = await pool.hash(PASSWORD), 0
    over = time.monotonic() + seconds

    async def one() -> None:
        nonlocal done
        while time.monotonic() < over:
            await pool.verify(stored, PASSWORD)
            done += 1

    await asyncio.gather(*(one() for _ in range(cores + 1)))
    pool.close()
    return done / seconds


# -- refreshes -------------------------------------------------------------------------------------------------------


async def refreshes(directory: Path, seconds: float, families: int = 8) -> dict[str, Any]:
    """Refresh tokens exchanged a second, each for a new pair with a signature (ES256), in memory and on a file."""
    found = {}
    for name, database in (("memory", "sqlite://"), ("file", f"sqlite:///{directory / 'refresh.db'}")):
        auth = quick_admit(database, run_directory=directory / f"refresh-{name}")
        people = await populate(auth, 0, ())
        found[name] = await _exchange(auth, people.user, seconds, families)
        await auth.close()
    return found


async def _exchange(auth: Admit, user: bytes, seconds: float, families: int) -> float:
    person = Person(user, ("member",), (Method("pwd", auth.rooms.kit.clock.now()),))
    grants = auth.rooms.delivery.grants
    tokens = [
        (await auth.rooms.kit.work.write(lambda tx: grants.start(tx, person, "tokens", _VIA))).refresh_token
        for _ in range(families)
    ]
    done, over = 0, time.monotonic() + seconds

    async def family(token: str) -> None:
        nonlocal done
        while time.monotonic() < over:
            token = (await auth.rooms.refresh.exchange(token, SIGN_IN_ID, _VIA)).refresh_token
            done += 1

    await asyncio.gather(*map(family, tokens))
    return done / seconds


# -- lookups ---------------------------------------------------------------------------------------------------------

# neighbours that nobody presents: made by the database itself, so that a million take seconds
_FILL: Mapping[Kind, tuple[str, ...]] = {
    "session": (
        """
        INSERT INTO admit_sessions (tenant, id, user_id, digest, created_at, seen_at, expires_at, idle)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
        SELECT 1, CAST(printf('%016x', i) AS BLOB), :user, randomblob(32), :now, :now, :later, 1 FROM n
        """,
    ),
    "api_key": (
        """
        INSERT INTO admit_api_keys (tenant, id, user_id, name, environment, hint, created_at)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
        SELECT 1, CAST(printf('%016x', i) AS BLOB), :user, 'CI/CD', 'live', 'abcd', :now FROM n
        """,
        """
        INSERT INTO admit_api_key_secrets (tenant, digest, key_id, created_at)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
        SELECT 1, randomblob(32), CAST(printf('%016x', i) AS BLOB), :now FROM n
        """,
    ),
}


async def lookups(directory: Path, few: int, many: int) -> dict[str, Any]:
    """Microseconds of a truth read (no cache) among `few` and among `many` rows, and their ratio, for each kind."""
    found: dict[str, Any] = {"few": few, "many": many}
    for kind in _FILL:
        auth = quick_admit(
            f"sqlite:///{directory / f'{kind}.db'}", run_directory=directory / kind, tokens={"cache": False}
        )
        people = await populate(auth, few, (kind,))
        texts = people.texts[kind]
        before = await _lookup(auth, kind, texts)
        await auth.rooms.kit.work.write(partial(_fill, kind, people.user, many - few))
        after = await _lookup(auth, kind, texts)
        await auth.close()
        found[kind] = {"few_us": before, "many_us": after, "ratio": after / before}
    return found


def _fill(kind: Kind, user: bytes, rows: int, tx: Tx) -> None:
    for statement in _FILL[kind]:
        text = sa.text(statement)
        values = {"rows": rows, "user": user, "now": tx.now, "later": tx.now + 10**13}
        tx.connection.execute(text, {name: values[name] for name in text.compile().params})


async def _lookup(auth: Admit, kind: Kind, texts: list[str]) -> float:
    """The best of several rounds of 100 reads."""
    rounds = []
    for number in range(20):
        sample = [texts[(number * 100 + at) % len(texts)] for at in range(100)]
        begun = time.perf_counter()
        for text in sample:
            await auth.rooms.live.facts(kind, text)
        rounds.append((time.perf_counter() - begun) / len(sample) * 1e6)
    return min(rounds)


# -- a start ---------------------------------------------------------------------------------------------------------


def imports(times: int = 3) -> dict[str, float]:
    """Seconds of processor time of a fresh interpreter that imports these; the best of some tries."""
    statements = {"python": "pass", "fastapi": "import fastapi", "import admit": "import admit",
                  "from admit import Admit": "from admit import Admit"}  # fmt: skip
    return {name: min(_processor_time(code) for _ in range(times)) for name, code in statements.items()}


def _processor_time(code: str) -> float:
    code = f"{code}; import time; print(time.process_time())"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(said.stdout)


async def people(directory: Path, admit: Mapping[str, str], count: int = 16) -> list[str]:
    """Accounts that can log in, in the database of the servers."""
    names = [f"person{number}" for number in range(count)]
    auth = quick_admit(admit["BENCH_DATABASE"], secret=admit["ADMIT_SECRET"], run_directory=directory / "people")
    await accounts(auth, names, PASSWORD)
    await auth.close()
    return names
