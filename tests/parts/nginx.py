"""A real nginx in front of a server under test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Self

from tests.parts.certificates import Issued
from tests.parts.missing import PartMissing
from tests.parts.ports import is_open
from tests.parts.processes import end, spawn, until, workspace


def find_binary() -> Path:
    """`nginx` on the path, or where Debian puts it."""
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + os.pathsep + "/usr/sbin")
    if found is None:
        raise PartMissing("nginx", "no nginx on the path")
    return Path(found)


def tls(issued: Issued) -> str:
    """The lines of a server block that present this certificate (`listen` must say `ssl`)."""
    return f"ssl_certificate {issued.chain}; ssl_certificate_key {issued.key};"


class Nginx:
    """`servers` is what stands inside `http { }`: server blocks listening on `127.0.0.1:PORT` for each of `ports`."""

    def __init__(self, servers: str, *ports: int) -> None:
        self.binary = find_binary()
        self.ports = ports
        self._servers = servers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Run it; every port accepts connections on return. RuntimeError with nginx's words for a wrong text."""
        self.folder = workspace("nginx")
        self.folder.chmod(0o755)  # its workers are not root
        self.log = self.folder / "error.log"
        config = self.folder / "nginx.conf"
        config.write_text(self._config(), "utf-8")
        command: list[str | Path] = [self.binary, "-p", self.folder, "-c", config, "-e", self.log]
        env = {"PATH": os.environ["PATH"]}
        self._process = spawn(command, self.log, cwd=self.folder, env=env, on_death="TERM")
        until(lambda: all(is_open(port) for port in self.ports), self._process, self.log)
        return self

    def stop(self) -> None:
        """End it and remove its folder."""
        if self._process is not None:
            end(self._process, signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _config(self) -> str:
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        stores = "\n".join(f"  {kind}_temp_path {self.folder}/{kind};" for kind in kinds)
        user = "user nobody nogroup;\n" if os.geteuid() == 0 else ""
        return (
            f"{user}daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.log};\n"
            "events { worker_connections 256; }\n"
            f"http {{\n  access_log off;\n{stores}\n{self._servers}\n}}\n"
        )
