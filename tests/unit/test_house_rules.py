"""The house rules that a machine can hold. Each rule is a function, and each is shown to catch what it forbids."""

from __future__ import annotations

import ast
import graphlib
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "admit"

MAX_FILE, MAX_FUNCTION, MAX_CONSTRUCTOR = 400, 40, 6
EMPTY_NAMES = frozenset(
    [
        "util",
        "utils",
        "helper",
        "helpers",
        "common",
        "core",
        "service",
        "services",
        "manager",
        "managers",
        "base",
        "misc",
    ]
)
#: common.py there is about common passwords: a term of the field, not a drawer
NAMED_FOR_THE_FIELD = frozenset({"people/passwords/common.py"})
#: tables of data, which are read by looking things up and not from top to bottom
TABLES = frozenset({"stores/sql/schema.py", "ground/codes.py", "ground/events.py", "audit/reasons.py"})
#: the only place in src that may ask the machine for the time
CLOCK = "ground/clock.py"

# put together here, so that this file does not hold what it forbids
HOSTS = ("pypi" + ".org", "python" + "hosted.org", "npm" + "js.org", "npm" + "js.com", "yarn" + "pkg.com")
PATHS = re.compile(r"(?<![\w.:/*~$}-])/(?:work|root|home|tmp)" + r"/[\w.]")
PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE " + "KEY-----")
LOCKS_WITH_HOSTS = {"uv.lock", "pylock.toml", "poetry.lock", "Pipfile.lock"}
CLOCK_CALLS = {
    ("time", "sleep"),
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
    ("date", "today"),
}


def python_files(folder: Path) -> list[Path]:
    """The code of a folder; migrations are frozen tables, one long list by nature."""
    return sorted(path for path in folder.rglob("*.py") if "versions" not in path.parts)


def tracked() -> list[Path]:
    """The project's files: what git knows, or outside a clone everything that is no cache."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode == 0 and listed.stdout:
        return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]
    hidden = {".venv", ".admit", ".git", "node_modules", "__pycache__"}
    return [path for path in ROOT.rglob("*") if path.is_file() and not hidden & set(path.parts)]


def texts() -> Iterator[tuple[str, str]]:
    for path in tracked():
        raw = path.read_bytes()
        if b"\0" not in raw:
            yield path.relative_to(ROOT).as_posix(), raw.decode("utf-8", "replace")


def long_functions(source: str) -> list[str]:
    """Functions of more than 40 lines, their docstring not counted."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node, clean=False) is not None
            doc = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
            if (lines := (node.end_lineno or 0) - node.lineno + 1 - doc) > MAX_FUNCTION:
                found.append(f"{node.name}: {lines} lines")
    return found


def wide_constructors(source: str) -> list[str]:
    """Written constructors with more than 6 arguments. Dataclasses and models, whose fields are data, write none."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                    given = method.args
                    count = len(given.posonlyargs + given.args + given.kwonlyargs) - 1
                    if count > MAX_CONSTRUCTOR:
                        found.append(f"{node.name}: {count} arguments")
    return found


def clock_uses(source: str) -> list[str]:
    """Calls that read the wall clock or sleep, under whatever import; `asyncio.sleep(0)`, a mere yield, is none."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [
                f"{node.lineno}: from time import {n.name}" for n in node.names if ("time", n.name) in CLOCK_CALLS
            ]
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value
        name = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
        zero = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        slept = (name in {"asyncio", "anyio"}) and node.func.attr == "sleep" and not zero
        if (name, node.func.attr) in CLOCK_CALLS or slept:
            found.append(f"{node.lineno}: {name}.{node.func.attr}")
    return found


def naps(source: str) -> list[str]:
    """The part of `clock_uses` that src may not do even in a background task: a thread asleep in an event loop."""
    return [use for use in clock_uses(source) if "asyncio.sleep" not in use and "anyio.sleep" not in use]


def whole_file_skips(source: str) -> list[str]:
    """Skips at import: with several test processes they vanish from the count."""
    return re.findall(r"import" + r"orskip\(|allow_module" + r"_level", source)


def empty_names(paths: list[str]) -> list[str]:
    """Modules and packages named after nothing."""
    return [
        path
        for path in paths
        if EMPTY_NAMES & set(Path(path).with_suffix("").parts) and path not in NAMED_FOR_THE_FIELD
    ]


def cycle(imports: dict[str, set[str]]) -> list[str]:
    """One import cycle, if there is any."""
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


def check(files: list[Path], rule: Callable[[str], list[str]]) -> dict[str, list[str]]:
    seen = {path.relative_to(ROOT).as_posix(): rule(path.read_text("utf-8")) for path in files}
    return {path: found for path, found in seen.items() if found}


def test_files_stay_short() -> None:
    lengths = {
        path.relative_to(SRC).as_posix(): len(path.read_text("utf-8").splitlines()) for path in python_files(SRC)
    }
    assert not {path: n for path, n in lengths.items() if n > MAX_FILE and path not in TABLES}


def test_functions_stay_short() -> None:
    assert not check(python_files(SRC), long_functions)


def test_constructors_stay_narrow() -> None:
    assert not check(python_files(SRC), wide_constructors)


def test_modules_are_named_after_something() -> None:
    assert not empty_names([path.relative_to(SRC).as_posix() for path in python_files(SRC)])


def test_no_module_imports_itself_by_a_detour() -> None:
    # imports under TYPE_CHECKING and inside functions count too
    graph = grimp.build_graph("admit", cache_dir=None)
    assert not cycle({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})


def test_only_the_clock_reads_the_time() -> None:
    assert not check([path for path in python_files(SRC) if path != SRC / CLOCK], naps)


def test_tests_neither_sleep_nor_read_the_time() -> None:
    assert not check(python_files(ROOT / "tests"), clock_uses)


def test_no_test_file_skips_itself_whole() -> None:
    assert not check(python_files(ROOT / "tests"), whole_file_skips)


def test_no_file_names_a_package_registry() -> None:
    assert not [(name, host) for name, text in texts() for host in HOSTS if host in text]


def test_no_file_names_a_folder_of_somebodys_machine() -> None:
    assert not [(name, found.group()) for name, text in texts() if (found := PATHS.search(text))]


def test_no_lock_file_that_names_registries() -> None:
    assert not [path for path in tracked() if path.name in LOCKS_WITH_HOSTS]


def test_no_private_key_lies_in_a_file() -> None:
    assert not [name for name, text in texts() if PRIVATE_KEY.search(text) and not name.startswith("tests/vectors/")]


def test_the_lock_pins_every_package_by_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    entries = re.split(r"\n(?=[a-z0-9])", lock)[1:]
    assert len(entries) > 50
    assert not [entry.split("\n")[0] for entry in entries if "==" not in entry or "--hash=sha256:" not in entry]


def test_the_library_loads_no_terminal_server_or_template_package() -> None:
    program = (
        "import sys, admit\n"
        "for name in getattr(admit, '__all__', ()): getattr(admit, name)\n"
        "print([m for m in ('typer', 'rich', 'granian', 'jinja2', 'asyncpg', 'redis') if m in sys.modules])"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("ADMIT_")}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[]"


WIDE = "class A:\n def __init__(self, a, b, c, d, *, e, f, g): ..."


@pytest.mark.parametrize(
    ("rule", "bad", "good"),
    [
        (long_functions, "def f():\n" + " a = 1\n" * 41, 'def f():\n """' + "x\n" * 50 + '"""\n' + " a = 1\n" * 38),
        (wide_constructors, WIDE, WIDE.replace(", g", "")),
        (naps, "import time\ntime.sleep(1)", "import asyncio\nasyncio.sleep(1)"),
        (naps, "import datetime\ndatetime.datetime.now()", "clock.now()"),
        (naps, "from time import time_ns", "from time import monotonic"),
        (clock_uses, "asyncio.sleep(0.1)", "asyncio.sleep(0)"),
        (clock_uses, "date.today()", "clock.today()"),
        (whole_file_skips, "pytest.import" + "orskip('x')", "pytest.skip('x')"),
    ],
)  # fmt: skip
def test_a_rule_catches_what_it_forbids(rule: Callable[[str], list[str]], bad: str, good: str) -> None:
    assert rule(bad)
    assert not rule(good)


def test_the_rules_about_names_paths_and_cycles_catch_what_they_forbid() -> None:
    assert empty_names(["web/utils.py", "core/x.py", "people/passwords/common.py", "web/csrf.py"]) == [
        "web/utils.py",
        "core/x.py",
    ]
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert not cycle({"a": {"b"}, "b": {"c"}})
    assert PATHS.search("see /ho" + "me/ada/x")
    assert not PATHS.search("https://example.test/home/x and $X/tmp/y and /homepage")
    assert PRIVATE_KEY.search("-----BEGIN EC PRIVATE " + "KEY-----")
