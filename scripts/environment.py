"""Make `.venv` from requirements.lock: `python3 scripts/environment.py STAMP`, on the bare standard library.

Every package is checked against its hash in the lock. uv, itself in the lock, does the bulk in seconds;
where it cannot run or cannot reach the index, pip does the same work.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"

# what pip is told by its own variables, uv must be told by others, or it asks an index out of reach
UV_NAMES = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_INDEX",
    "PIP_FIND_LINKS": "UV_FIND_LINKS",
    "PIP_CERT": "SSL_CERT_FILE",
}


def run(*command: str | Path, env: dict[str, str] | None = None, quiet: bool = False) -> bool:
    """Whether the command ended well; its words go to the terminal unless `quiet`."""
    sink = subprocess.DEVNULL if quiet else None
    return subprocess.run(command, cwd=ROOT, env=env, stdout=sink, stderr=sink, check=False).returncode == 0


def pip(*arguments: str | Path, quiet: bool = False) -> bool:
    """One pip call inside the environment."""
    flags = ("--quiet", "--disable-pip-version-check", "--no-input")
    return run(PYTHON, "-m", "pip", "install", *flags, *arguments, quiet=quiet)


def make_venv() -> None:
    """An environment with pip; an existing one that works is kept, a broken one is made anew."""
    if PYTHON.exists() and run(PYTHON, "-m", "pip", "--version", quiet=True):
        return
    if not run(sys.executable, "-m", "venv", "--clear", VENV):
        sys.exit("python3 -m venv failed. On Debian and Ubuntu: apt-get install python3-venv")


def uv_environment() -> dict[str, str]:
    """Our environment, with pip's settings (variables and configuration files) under uv's names."""
    env = dict(os.environ)
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False).stdout
    for key, value in re.findall(r"^(?:global|install)\.([a-z-]+)='(.*)'$", listed, re.MULTILINE):
        env.setdefault("PIP_" + key.upper().replace("-", "_"), value.replace("\\n", " ").strip())
    for theirs, ours in UV_NAMES.items():
        if theirs in env:
            env.setdefault(ours, env[theirs])
    env["VIRTUAL_ENV"] = str(VENV)
    return env


def with_uv() -> bool:
    """Install the lock with uv at the version and hash that the lock names."""
    entry = re.search(r"^uv==.*(?:\n    --hash=.*)+", LOCK.read_text("utf-8"), re.MULTILINE)
    if entry is None:
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as only_uv:
        only_uv.write(entry.group(0) + "\n")
        only_uv.flush()
        if not pip("--require-hashes", "--only-binary", ":all:", "-r", only_uv.name, quiet=True):
            return False
    uv = VENV / "bin" / "uv"
    return run(uv, "pip", "install", "--quiet", "--require-hashes", "-r", LOCK, env=uv_environment())


def main() -> None:
    """Make the environment, install the lock, then Admit itself in place."""
    if sys.version_info < (3, 11):  # noqa: UP036 - runs before anything is installed, on any python3
        version = sys.version.split()[0]
        sys.exit(f"Python 3.11 or newer is needed, this is {version}: make PYTHON=python3.12 ...")
    stamp = Path(sys.argv[1])
    print("Making .venv from requirements.lock ...", flush=True)
    make_venv()
    if not with_uv() and not pip("--require-hashes", "-r", LOCK):
        sys.exit("The dependencies could not be installed from requirements.lock")
    if not pip("--no-deps", "--no-build-isolation", "-e", ROOT):
        sys.exit("Admit could not be installed into .venv")
    stamp.write_text("", "utf-8")


if __name__ == "__main__":
    main()
