"""Real server processes and what they cost: started together, asked by turns, their processor time read from /proc."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.client import each_once, flood

ROOT = Path(__file__).resolve().parents[1]
_TICK = os.sysconf("SC_CLK_TCK")
_LUA = """
local lines = {}
for line in io.lines(os.getenv("BENCH_HEADERS")) do lines[#lines + 1] = line end
math.randomseed(os.time())
local at = math.random(#lines)  -- a round is shorter than the rotation: another part of it each time
request = function()
  at = at % #lines + 1
  local name, value = lines[at]:match("^([^:]+): (.*)$")
  return wrk.format("GET", "/", {[name] = value})
end
"""


@dataclass
class Process:
    """One server with one worker."""

    url: str
    started: subprocess.Popen[bytes]
    cold_start: float  # seconds from the start of the process to the first answer

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.url.rpartition(":")[2])

    def pids(self) -> list[int]:
        """The parent and its worker."""
        pid = self.started.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *map(int, children)]

    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        return sum(_ticks(pid) for pid in self.pids()) / _TICK

    def memory(self) -> float:
        """Megabytes that the worker holds."""
        resident = max(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return resident * os.sysconf("SC_PAGE_SIZE") / 1e6


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextlib.contextmanager
def serve(target: str, environment: Mapping[str, str], *, python: str = sys.executable) -> Iterator[Process]:
    """`granian target` with one worker on loopback; ended when the block ends. Raises when it does not answer."""
    port = free_port()
    command = [
        python, "-m", "granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--loop", "asyncio", "--log-level", "error", "--no-ws", target,
    ]  # fmt: skip
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    begun = time.monotonic()
    started = subprocess.Popen(
        command, cwd=ROOT, env=inherited | {"PYTHONPATH": str(ROOT)} | dict(environment), start_new_session=True
    )
    try:
        _wait(port, started)
        yield Process(f"http://127.0.0.1:{port}", started, time.monotonic() - begun)
    finally:
        started.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.wait(10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}")
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise RuntimeError("the server does not answer")


@dataclass
class Row:
    """One line of the table: a server, the headers that it gets, and what each round gave."""

    name: str
    process: Process
    headers: Path
    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)  # microseconds of processor time a request

    @property
    def rate(self) -> float:
        """Requests a second in the best round."""
        return max(self.rates)

    @property
    def cost(self) -> float:
        """Processor time a request in the best round, microseconds."""
        return min(self.costs)


def compare(rows: Sequence[Row], directory: Path, *, rounds: int, seconds: float) -> None:
    """Each server in turn under load; who begins changes every round. Raises when an answer is not 200."""
    script = directory / "rotate.lua"
    script.write_text(_LUA)
    load = _wrk if shutil.which("wrk") else _asyncio_load
    for row in rows:
        asyncio.run(each_once(row.process.port, row.headers.read_text().splitlines(), connections=16))
        load(row, script, 1)
    for number in range(rounds):
        at = number % len(rows)
        for row in (*rows[at:], *rows[:at]):
            before = row.process.cpu()
            requests, took = load(row, script, seconds)
            row.rates.append(requests / took)
            row.costs.append((row.process.cpu() - before) / requests * 1e6)


def _wrk(row: Row, script: Path, seconds: float) -> tuple[int, float]:
    command = ["wrk", "-t1", "-c16", f"-d{max(1, round(seconds))}s", "-s", str(script), row.process.url]
    environment = {**os.environ, "BENCH_HEADERS": str(row.headers)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(f"{row.name}: {said}")
    [line] = [line for line in said.splitlines() if " requests in " in line]
    count, _, rest = line.strip().partition(" requests in ")
    return int(count), float(rest.split("s,")[0])


def _asyncio_load(row: Row, _script: Path, seconds: float) -> tuple[int, float]:
    lines = row.headers.read_text().splitlines()
    return asyncio.run(flood(row.process.port, lines, seconds, connections=16))
