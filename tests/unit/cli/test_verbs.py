"""The table of verbs: complete, quick to print, and ending in codes and words that mean something."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from datetime import UTC, datetime

import pytest
import typer

from admit.cli.api_keys import duration, moment
from admit.cli.failure import Failure, ended
from admit.cli.terminal import cell, plain
from admit.cli.verbs import VERBS, load, run
from admit.ground.errors import AdmitError, Refusal, SettingsError, Unavailable


def test_the_verbs_are_pinned() -> None:
    assert set(VERBS) == {
        "demo", "serve", "init", "secret", "choose", "doctor", "migrate", "fence", "users", "service-accounts",
        "api-keys", "clients", "sessions", "signing-keys", "tokens", "audit",
    }  # fmt: skip


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_each_verb_can_be_loaded(verb: str) -> None:
    module = VERBS[verb][0].partition(":")[0]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not there yet")
    assert load(verb).name == verb


def test_help_imports_neither_web_nor_database() -> None:
    code = (
        "import sys\n"
        "from admit.cli.verbs import run\n"
        "assert run(['--help']) == 0\n"
        "heavy = {'fastapi', 'sqlalchemy', 'cryptography', 'pydantic', 'granian'} & sys.modules.keys()\n"
        "print('heavy:', sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "signing-keys" in done.stdout
    assert done.stderr.strip() == "heavy: []"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refusal("people.not_found"), 1),
        (Refusal("password.too_short"), 1),
        (Refusal("request.unavailable"), 4),
        (Failure("No.", "yes"), 1),
        (SettingsError("ADMIT_SECRET is not set."), 3),
        (Unavailable("database"), 4),
        (AdmitError("other"), 1),
    ],
)
def test_an_error_has_its_exit_code_and_ends_with_what_to_try(
    error: AdmitError, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def verb() -> None:
        raise error

    assert ended(verb, []) == code
    assert capsys.readouterr().err.splitlines()[-1].startswith("Try: ")
    assert ended(verb, ["--json"]) == code
    assert '"try": "' in capsys.readouterr().err


def test_wrong_usage_is_2_and_a_defect_stays_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["users", "creat"]) == 2
    assert "create" in capsys.readouterr().err
    assert run(["users", "list", "--limit", "0", "--json"]) == 2
    assert '"error": "usage"' in capsys.readouterr().err

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ended(broken, [])


def test_a_verb_may_end_with_a_code_of_its_own() -> None:
    assert ended(lambda: 1, []) == 1
    assert ended(lambda: None, []) == 0


@pytest.mark.parametrize("hostile", ["a\x1b[31mred", "two\nlines", "turned\u202eback", "bell\x07"])
@pytest.mark.proof("ASVS-16.4.1")
def test_no_value_can_command_the_terminal(hostile: str) -> None:
    for shown in (plain(hostile), cell(hostile), cell([hostile])):
        assert shown.isprintable()
        assert shown.startswith('"')


def test_cells() -> None:
    assert [cell(value) for value in (None, "", [], True, False, ["b", "c"], {"a": 1}, 5)] == [
        "-", "-", "-", "yes", "no", "b c", '{"a": 1}', "5",
    ]  # fmt: skip


def test_spans_and_moments() -> None:
    assert [duration(text) for text in ("90d", "", "d", "1y", "-1d", "1.5h")][1:] == [None] * 5
    assert moment("12h") == 12 * 3600 * 1_000_000
    assert moment("2027-01-31T00:00Z") == datetime(2027, 1, 31, tzinfo=UTC)
    for wrong in ("2027-01-31T00:00", "soon"):
        with pytest.raises(typer.BadParameter):
            moment(wrong)
