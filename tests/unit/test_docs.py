"""The documentation holds: every Python block runs, every command in a shell block exists with its options.

A block marked ```python continuation goes on where the block before it in the same file ended; every other one
starts afresh, in an empty folder, with warnings as errors. What cannot run is no Python block: mark it ```text.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)(?P=ticks)$", re.M | re.S
)
SHELL = {"sh", "bash", "shell", "console"}
#: words that the shell itself understands, and tools of the reader's machine that tests need not have
WORDS = {
    "cd",
    "export",
    "source",
    ".",
    "set",
    "unset",
    "echo",
    "test",
    "[",
    "if",
    "then",
    "else",
    "fi",
    "for",
    "while",
    "do",
    "done",
    "read",
    "exec",
    "true",
    "exit",
}
TOOLS = {
    "curl",
    "pip",
    "uv",
    "docker",
    "systemctl",
    "psql",
    "npm",
    "npx",
    "node",
    "openssl",
    "jq",
    "hey",
    "wrk",
    "nginx",
    "uvicorn",
    "granian",
    "git",
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its file, the line of its first line (from 1), the words after the ticks, its text."""

    path: Path
    line: int
    info: tuple[str, ...]
    body: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT) if self.path.is_relative_to(ROOT) else self.path.name}:{self.line}"


def blocks(path: Path) -> list[Block]:
    text = path.read_text("utf-8")
    found = []
    for match in FENCE.finditer(text):
        margin = len(match["indent"])
        body = "".join(line[margin:] or "\n" for line in match["body"].splitlines(keepends=True))
        found.append(Block(path, text.count("\n", 0, match.start("body")) + 1, tuple(match["info"].split()), body))
    return found


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def programs(path: Path) -> list[list[Block]]:
    """The file's Python blocks, each with those that continue it."""
    chains: list[list[Block]] = []
    for block in blocks(path):
        if block.info[:1] == ("python",):
            if "continuation" in block.info:
                assert chains, f"{block} continues nothing"
                chains[-1].append(block)
            else:
                chains.append([block])
    return chains


def run(chain: list[Block], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the blocks as one program, each on the lines that it has in its document, so that a traceback fits."""
    program = ""
    for block in chain:
        program += "\n" * (block.line - 1 - program.count("\n")) + block.body
    file = folder / f"{chain[0].path.stem}.py"
    file.write_text(program, "utf-8")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ADMIT_", "PYTEST_"))}
    command = [sys.executable, "-W", "error", "-I", str(file)]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)


def commands(block: Block) -> list[list[str]]:
    """The simple commands of a shell block, without redirections and leading assignments."""
    text = re.sub(r"<<-?\s*['\"]?(\w+)['\"]?(.*?)\n(.*?\n)?\s*\1\s*$", r"\2", block.body, flags=re.S | re.M)
    if block.info[0] == "console":
        text = "\n".join(line[2:] for line in text.splitlines() if line.startswith("$ "))
    found: list[list[str]] = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        found += simple(list(lexer))
    return found


def simple(tokens: list[str]) -> list[list[str]]:
    """Split one line's tokens at the operators that end a command."""
    found: list[list[str]] = [[]]
    skip = False
    for token in tokens:
        if skip:
            skip = False
        elif set(token) <= set("<>&") and set(token) & set("<>"):
            skip = True
            if found[-1][-1:] and found[-1][-1].isdigit():
                found[-1].pop()  # the 2 of `2>`
        elif set(token) <= set("();|&"):
            found.append([])
        elif found[-1] or not re.match(r"\w+=", token):
            found[-1].append(token)
    return [words for words in found if words and words != ["$"]]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))


def wrong(words: list[str]) -> str | None:
    """What is wrong with a command; None when it can be typed."""
    name = Path(words[0]).name
    if name == "make":
        named = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        return f"no target {named}" if set(named) - targets() else None
    if name == "admit":
        # --help is looked at after every option was parsed: unknown verbs and options are refused, nothing is done
        asked = subprocess.run(
            [BIN / "admit", *words[1:], "--help"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        return asked.stderr if asked.returncode else None
    known = name in WORDS | TOOLS or shutil.which(words[0]) or (BIN / name).exists()
    return None if known else f"no command {words[0]}"


def of_document(path: Path) -> dict[str, list[str]]:
    """The commands of one document's shell blocks, each once."""
    shell = [block for block in blocks(path) if block.info[:1] and block.info[0] in SHELL]
    return {f"{block} {shlex.join(words)}": words for block in shell for words in commands(block)}


# a test per document and not per block: a list of blocks may be empty, and pytest would count that as a skip
each_document = pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)


@each_document
def test_every_python_block_runs(path: Path, subtests: pytest.Subtests, tmp_path: Path) -> None:
    for number, chain in enumerate(programs(path)):
        with subtests.test(str(chain[0])):
            folder = tmp_path / str(number)
            folder.mkdir()
            done = run(chain, folder)
            assert done.returncode == 0, done.stderr


@each_document
def test_every_command_can_be_typed(path: Path, subtests: pytest.Subtests) -> None:
    for place, words in of_document(path).items():
        with subtests.test(place):
            assert wrong(words) is None


SAMPLE = """
# A page

```python
one = 1
```

- in a list:

  ```python continuation
  assert one == 2
  ```

```sh
# a comment
ADMIT_X=1 make demo PORT=9 > out.txt 2>&1 && nosuchtool --x | jq .a; echo "a | b" \\
  more
token=$(curl -s http://localhost)
cat <<'EOF' > x
not a command
EOF
```

```text
nothing
```
"""


def test_a_failing_block_names_its_line_and_continues_the_one_before(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(SAMPLE, "utf-8")
    (chain,) = programs(page)
    assert [block.line for block in chain] == [5, 11]
    done = run(chain, tmp_path)
    assert done.returncode == 1
    assert "line 11" in done.stderr
    assert "AssertionError" in done.stderr


def test_commands_are_found_in_a_shell_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(SAMPLE, "utf-8")
    found = commands(blocks(page)[2])
    assert found == [
        ["make", "demo", "PORT=9"],
        ["nosuchtool", "--x"],
        ["jq", ".a"],
        ["echo", "a | b", "more"],
        ["curl", "-s", "http://localhost"],
        ["cat"],
    ]
    assert [wrong(words) for words in found] == [None, "no command nosuchtool", None, None, None, None]
    assert wrong(["make", "nosuch"])
