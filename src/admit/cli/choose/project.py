"""Writes a project that runs from the templates that lie beside this module."""

from __future__ import annotations

import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from admit.cli.choose.strategies import Choice, Name
from admit.cli.failure import Failure

FILES = ("app.py", "test_app.py", "requirements.txt", "README.md")
_NAME = re.compile(r"[^A-Za-z0-9 ._-]+")


def write(choice: Choice, folder: Path) -> list[Path]:
    """The files of a project in `folder`, which is made; refuses to write over anything. Returns their paths."""
    if taken := [name for name in FILES if (folder / name).exists()]:
        raise Failure(
            f"{folder} has {', '.join(taken)} already.", "name a new folder with --out", code="conflict", exit_code=1
        )
    words = {"name": _name(folder), "version": version("admit"), "why": choice.why}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_write(choice.strategy.name, name, folder / name, words) for name in FILES]
    except OSError as error:
        reason = error.strerror or str(error)
        raise Failure(f"{folder} cannot be written: {reason}.", "name another folder with --out") from None


def _write(strategy: Name, name: str, path: Path, words: dict[str, str]) -> Path:
    text = (files("admit.cli.choose") / "templates" / strategy / f"{name}.tmpl").read_text("utf-8")
    for word, value in words.items():
        text = text.replace("{{" + word + "}}", value)
    # "x": a file that appeared meanwhile is somebody's
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def _name(folder: Path) -> str:
    """The folder's name as a title; it stands inside Python and HTML texts, so it holds nothing that ends one."""
    return _NAME.sub(" ", folder.resolve().name).strip() or "My API"
