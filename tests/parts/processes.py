"""Child processes that end with the test run, even when the run itself is killed."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

Command = Sequence[str | Path]

_TRY = 0.02  # seconds between two looks


def workspace(kind: str, base: Path | None = None) -> Path:
    """A fresh folder for a part, below `base` or the system's temporary folder.

    Its name holds our process id; what runs that were killed have left there is swept away.
    """
    within = base or Path(tempfile.gettempdir())
    for left in within.glob("admit-test-*"):
        owner = left.name.split("-")[2]
        if owner.isdigit() and not _is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"admit-test-{os.getpid()}-{kind}-", dir=within))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def tied(command: Command, on_death: str, *flags: str) -> list[str]:
    """`command`, set to receive the signal `on_death` when the process that starts it ends. Linux only; elsewhere
    the command alone. Start it from the main thread: the signal follows the thread's end.
    """
    setpriv = shutil.which("setpriv")
    words = [str(word) for word in command]
    return [setpriv, "--pdeathsig", on_death, *flags, "--", *words] if setpriv else words


def spawn(
    command: Command, log: Path, *, cwd: Path, env: Mapping[str, str], on_death: str = "KILL"
) -> subprocess.Popen[bytes]:
    """Start `command`, both its outputs appended to `log`, in a process group of its own."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            tied(command, on_death),
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            process_group=0,
        )


def until(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path, *, seconds: float = 30) -> None:
    """Wait until `ready()`. RuntimeError with the log's text when the process ends first or time is up."""
    for _ in range(int(seconds / _TRY)):
        if ready():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TRY)
            break
    raise RuntimeError(f"{process.args!r} is not ready:\n{log.read_text('utf-8', 'replace')}")


def end(process: subprocess.Popen[bytes], by: signal.Signals = signal.SIGTERM, *, seconds: float = 10) -> int:
    """End one process and return its exit code; killed when it does not obey in time."""
    if process.poll() is None:
        process.send_signal(by)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def wait_gone(pids: Iterable[int], *, seconds: float = 10) -> None:
    """Wait until these processes, which need not be our children, have ended (Linux)."""
    for pid in pids:
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            select.select([handle], [], [], seconds)
        finally:
            os.close(handle)


def children(pid: int) -> list[int]:
    """Process ids of the direct children, oldest first (Linux)."""
    found: Iterable[Path] = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(word) for path in found for word in path.read_text("ascii").split())
