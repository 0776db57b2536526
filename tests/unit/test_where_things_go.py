"""docs/where-things-go.md is true to the source."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "admit"
PAGE = (ROOT / "docs" / "where-things-go.md").read_text("utf-8")


def trees() -> list[str]:
    return re.findall(r"^```text\n(.*?)^```$", PAGE, re.M | re.S)


def test_every_room_is_named_and_every_name_is_a_room() -> None:
    named = set(re.findall(r"^  (\w+(?:/|\.py)) ", trees()[0], re.M))
    rooms = {f"{path.name}/" for path in SRC.iterdir() if (path / "__init__.py").exists()}
    assert named == rooms | {path.name for path in SRC.glob("*.py")}


def test_the_folders_beside_the_source_exist() -> None:
    assert not [name for name in re.findall(r"^(\w+)/ ", trees()[0], re.M) if not (ROOT / name).is_dir()]


def test_every_file_that_is_named_exists() -> None:
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", PAGE)
    assert named
    assert not [name for name in named if not (SRC / name).is_file()]


def test_the_layers_are_those_of_the_contract() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    layers = [re.findall(r"\w+", line) for line in contract["layers"]]
    built = [[room for room in line if (SRC / room).is_dir() or (SRC / f"{room}.py").is_file()] for line in layers]
    shown = [line.split(", ") for line in trees()[1].splitlines()]
    assert [sorted(line) for line in shown] == [sorted(line) for line in built if line]
