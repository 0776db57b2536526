"""Servers under test in real operating-system processes, with as many workers as a test wants."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from tests.parts.ports import free_port, is_open
from tests.parts.processes import children, end, spawn, until, wait_gone

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
# nothing of the caller's own ADMIT_* settings may reach a server under test
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "COVERAGE_PROCESS_START")


class Server:
    """One command that listens on `port`. `log` holds everything it prints."""

    def __init__(self, command: list[str], port: int, log: Path, *, env: Mapping[str, str], cwd: Path) -> None:
        self.command, self.port, self.log, self.cwd = command, port, log, cwd
        kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self.env = kept | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"} | dict(env)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its origin, by the name that browsers treat as secure."""
        return f"http://localhost:{self.port}"

    @property
    def pid(self) -> int:
        """The process that was started: the only one, or the parent of the workers."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the started process is still there."""
        return self._process is not None and self._process.poll() is None

    def start(self, seconds: float = 60) -> Self:
        """Run it (again) and wait until it accepts connections; RuntimeError with its log when it does not."""
        self._process = spawn(self.command, self.log, cwd=self.cwd, env=self.env, on_death="TERM")
        until(lambda: is_open(self.port), self._process, self.log, seconds=seconds)
        return self

    def workers(self) -> list[int]:
        """Process ids of its direct children."""
        return children(self.pid)

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text("utf-8", "replace")

    def terminate(self, seconds: float = 20) -> int:
        """Ask it to end (SIGTERM, as a service manager does) and return its exit code."""
        assert self._process is not None, "the server was not started"
        workers = self.workers()
        code = end(self._process, signal.SIGTERM, seconds=seconds)
        self._sweep()
        wait_gone(workers)
        return code

    def kill(self) -> None:
        """Kill it and its workers at once, as a power cut would."""
        assert self._process is not None, "the server was not started"
        workers = self.workers()
        self._sweep()
        self._process.wait()
        wait_gone(workers)

    def _sweep(self) -> None:
        """Kill what is left of its process group, so that no worker outlives its parent."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


class Servers:
    """Starts servers whose logs lie in `folder`, and ends them all with `close`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Server] = []

    def asgi(
        self,
        target: str,
        *,
        by: Literal["uvicorn", "granian"] = "uvicorn",
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Server:
        """Serve `module:app` (importable from the project's root), ready on return."""
        port = port or free_port()
        flags = ["--host", "127.0.0.1", "--port", str(port), "--workers", str(workers), *arguments]
        kind = ["--interface", "asgi"] if by == "granian" else []
        return self.run([sys.executable, "-m", by, *kind, *flags, target], port, env=env)

    def admit(
        self,
        *arguments: str,
        verb: str = "serve",
        env: Mapping[str, str] | None = None,
        port: int | None = None,
        cwd: Path | None = None,
    ) -> Server:
        """Run `admit serve --port N ARGUMENTS` (or another verb that listens), ready on return."""
        port = port or free_port()
        return self.run([str(BIN / "admit"), verb, "--port", str(port), *arguments], port, env=env, cwd=cwd)

    def run(
        self, command: list[str], port: int, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Server:
        """Run any command that will listen on `port`, ready on return."""
        log = self.folder / f"server-{port}.log"
        server = Server(command, port, log, env=env or {}, cwd=cwd or ROOT)
        self._running.append(server)
        return server.start()

    def close(self) -> None:
        """End every server that is still there."""
        for server in self._running:
            if server.running:
                server.terminate()
