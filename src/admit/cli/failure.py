"""How a verb ends: an exit code that means something, and an error that ends with what to try."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer

from admit.cli.terminal import plain
from admit.ground.errors import AdmitError, Refusal, SettingsError, Unavailable

REFUSED, USAGE, SETTINGS, DOWN = 1, 2, 3, 4

#: the beginning of a private reason -> what to try
TRY: tuple[tuple[str, str], ...] = (
    ("people.not_found", "`admit users list` shows who there is; name them by id, e-mail address or username"),
    ("people.last_admin", "make another administrator first: `admit users grant WHO admin`"),
    ("people.role_unknown", "roles stand in [rights.roles] of admit.toml, or in your application (`admit --auth …`)"),
    ("people.role_not_held", "a service account gets roles that its owner holds: `admit users grant OWNER ROLE`"),
    (
        "rights.scope_unknown",
        "scopes stand in [rights.scopes] of admit.toml, or in your application (`admit --auth …`)",
    ),
    ("rights.scope_not_held", "a key gets scopes that its owner holds: `admit users show WHO` lists their roles"),
    ("password.", "choose another password; a few words that do not belong together are long and easy to keep"),
    ("register.username_taken", "`admit users show NAME` shows who has it"),
    ("email.taken", "`admit users show ADDRESS` shows who has it"),
    ("api_key.not_found", "`admit api-keys list` shows the keys"),
    ("api_key.owner_inactive", "`admit users enable WHO` first"),
    ("api_key.too_many", "revoke one first: `admit api-keys list WHO`, `admit api-keys revoke ID`"),
    ("session.not_found", "`admit sessions list` shows the sign-ins"),
)
_DOWN = "see that it runs and that its address in the settings is right, then again; `admit doctor` checks the set-up"
_SETTINGS = "correct what is named above in the environment, admit.env or admit.toml; `admit init` writes a new set-up"


class Failure(AdmitError):
    """A "no" of the command line itself. `mend` is what to try."""

    def __init__(self, text: str, mend: str, *, code: str = "not_found", exit_code: int = REFUSED) -> None:
        super().__init__(text)
        self.mend = mend
        self.code = code
        self.exit_code = exit_code


def ended(verb: Callable[[], object], arguments: Sequence[str]) -> int:
    """Runs `verb`; prints what went wrong, as JSON if the arguments asked for JSON, and gives the exit code."""
    as_json = "--json" in arguments
    try:
        code = verb()
    except typer.Abort:
        print("Stopped; nothing was changed.", file=sys.stderr)
        return REFUSED
    except AdmitError as error:
        return told(error, as_json=as_json)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        return _usage(error, as_json=as_json)
    return code if isinstance(code, int) else 0


def told(error: AdmitError, *, as_json: bool) -> int:
    """Prints an error of ours and gives its exit code."""
    exit_code, code, mend = _kind(error)
    detail = error.detail if isinstance(error, Refusal) else str(error)
    fields = error.fields if isinstance(error, Refusal) else {}
    if as_json:
        body = {"error": code, "detail": detail, "try": mend, **fields}
        print(json.dumps(body, default=str), file=sys.stderr)
    else:
        lines = [detail, *_more(fields, detail), f"Try: {mend}"]
        print("\n".join(lines), file=sys.stderr)
    return exit_code


def _kind(error: AdmitError) -> tuple[int, str, str]:
    if isinstance(error, Failure):
        return error.exit_code, error.code, error.mend
    if isinstance(error, Refusal):
        mend = next((text for start, text in TRY if error.reason.startswith(start)), "the verb's --help")
        down = error.reason == "request.unavailable"
        return DOWN if down else REFUSED, error.code, _DOWN if down else mend
    if isinstance(error, Unavailable):
        return DOWN, "unavailable", _DOWN
    if isinstance(error, SettingsError):
        return SETTINGS, "settings", _SETTINGS
    return REFUSED, "failed", "the verb's --help"


def _more(fields: Mapping[str, Any], detail: str) -> list[str]:
    """One line for each further thing that is wrong: fields of a form, unknown words."""
    lines = []
    for one in fields.get("errors", ()):
        text = one.get("detail") or one.get("message")
        if text and text != detail:
            lines.append(f"  {one['field']}: {text}" if "field" in one else f"  {text}")
    if unknown := fields.get("unknown"):
        lines.append(f"  not known: {', '.join(plain(word) for word in unknown)}")
    return lines


def _usage(error: Any, *, as_json: bool) -> int:
    if as_json:
        text = str(error.format_message())
        print(json.dumps({"error": "usage", "detail": text, "try": "the verb's --help"}), file=sys.stderr)
    elif sys.stderr.isatty():
        from typer.rich_utils import rich_format_error

        rich_format_error(error)
    else:
        error.show()
    return int(error.exit_code)
