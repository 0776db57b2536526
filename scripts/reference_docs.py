"""Writes docs/reference.md from the code: settings, routes, codes and reasons, events, detectors.

`python -m scripts.reference_docs` writes it; with `--check` it only says whether it is stale (exit code 1). The same is
a test.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from admit import Admit
from admit.audit.detectors import DETECTORS, Thresholds
from admit.audit.reasons import REASON_HELP
from admit.ground.codes import CODES, REASONS
from admit.ground.events import EVENTS
from admit.people.passwords.profiles import PROFILES
from admit.settings import Settings
from admit.web.demand import Demand
from admit.web.require import Require

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "reference.md"
KINDS = {"session": "session", "access_token": "access token", "api_key": "API key"}
SOURCES = (
    "From arguments of `Admit(...)`, the environment, `admit.env` (secrets; mode 0600) and `admit.toml`, each before "
    "those after it. A duration is ISO 8601 (`PT15M`) or a number of seconds; lists and tables in the environment are "
    "JSON. A name that does not exist is an error."
)
HEAD = """# Reference

Written by `scripts/reference_docs.py` from the code; a test fails when it is stale. Do not edit it by hand.
"""


def table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; a bar inside a cell is escaped."""
    titles = list(titles)
    lines = [titles, ["---"] * len(titles), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


# -- settings ----------------------------------------------------------------------------------------------------------


def settings() -> str:
    """Every setting with its place in the environment and in admit.toml."""
    sections = {name: section for name, info in Settings.model_fields.items() if (section := _section(info))}
    alone = {name: info for name, info in Settings.model_fields.items() if name not in sections}
    parts = [
        "## Settings",
        SOURCES,
        _fields("", Settings, alone),
    ]
    for name, section in sections.items():
        about = _plain(inspect.getdoc(section))
        parts += [f"### `[{name}]`", about, _fields(f"{name}.", section, section.model_fields)]
    return "\n\n".join(parts)


def _section(info: FieldInfo) -> type[BaseModel] | None:
    kind = info.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _fields(prefix: str, model: type[BaseModel], chosen: dict[str, FieldInfo]) -> str:
    notes = _notes(model)
    rows = []
    for name, info in chosen.items():
        shown = f"{prefix}{info.alias or name}"
        env = "ADMIT_" + shown.replace(".", "__").upper()
        rows.append([f"`{shown}`", f"`{env}`", _type(info), _default(info), notes.get(name, "")])
    return table(["setting", "environment", "type", "default", "note"], rows)


def _notes(model: type[BaseModel]) -> dict[str, str]:
    """The comment behind each field."""
    found = re.findall(r"^    (\w+): .*?  # (?!noqa|type:)(.*)$", inspect.getsource(model), re.M)
    return {name: _plain(note) for name, note in found}


def _plain(text: str | None) -> str:
    """The first paragraph, on one line, without the numbers of our own plan."""
    first = (text or "").split("\n\n")[0].replace("\n", " ")
    return re.sub(r"mission [\w, ]+; ", "", re.sub(r" ?\(mission [^);]*\)", "", first))


def _type(info: FieldInfo) -> str:
    kind = info.annotation
    if kind is timedelta or timedelta in get_args(kind):
        return "duration"
    if kind is SecretStr or SecretStr in get_args(kind):
        return "secret"
    choices = [one for one in get_args(kind) if isinstance(one, str)]
    if choices:
        return ", ".join(f"`{one}`" for one in choices)
    if kind in (str, int, bool, Path):
        return {str: "text", int: "number", bool: "yes or no", Path: "path"}[kind]  # type: ignore[index]
    text = str(kind)
    if text.startswith("dict"):
        return "table"
    return "list of text" if text.startswith(("tuple", "frozenset")) else "text"


def _default(info: FieldInfo) -> str:
    value = info.get_default(call_default_factory=True)
    if isinstance(value, timedelta):
        return duration(value)
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return ", ".join(f"`{one}`" for one in sorted(value))
    return f"`{value}`"


def duration(value: timedelta) -> str:
    """In the largest unit that gives a whole number."""
    seconds = int(value.total_seconds())
    for unit, size in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError(value)


# -- routes ------------------------------------------------------------------------------------------------------------


def routes() -> str:
    """Every route of ours: who may call it, and what it does."""
    auth = Admit(Settings(database="sqlite://"))
    rows = []
    for route in iter_route_contexts(auth.site().app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            about = _plain(inspect.getdoc(route.endpoint))
            rows += [[f"`{one}`", f"`{route.path}`", _who(route), about] for one in sorted(route.methods or ())]
    about = (
        "Under the default prefix `/auth`. *anyone* means without a credential. A browser's cookie also needs its CSRF "
        "token for everything but GET. What somebody else owns is 404, whoever asks."
    )
    return f"## Routes\n\n{about}\n\n" + table(["", "path", "who may", "what"], rows)


def _who(route: RouteContext) -> str:
    demands = list(_demands(route.dependant))
    if not demands:
        return "anyone"
    scopes = [scope for demand in demands for scope in demand.scopes]
    kinds = [kind for demand in demands for kind in demand.credentials or ()]
    who = f"scope `{'`, `'.join(scopes)}`" if scopes else "anyone signed in"
    return f"{who}, by {' or '.join(sorted(KINDS[kind] for kind in kinds))}" if kinds else who


def _demands(dependant: Dependant) -> Iterator[Demand]:
    if isinstance(dependant.call, Require):
        yield dependant.call.demand
    for below in dependant.dependencies:
        yield from _demands(below)


# -- codes, events, detectors ------------------------------------------------------------------------------------------


def codes() -> str:
    """What callers see."""
    rows = [[f"`{name}`", str(code.status), code.detail] for name, code in CODES.items()]
    about = (
        "Every refusal outside a browser page is `application/problem+json` with `type`, `title`, `status`, `code`, "
        "`detail` and `request_id`. Codes never change their meaning."
    )
    return f"## Codes\n\n{about}\n\n" + table(["code", "status", "text"], rows)


def reasons() -> str:
    """What operators see."""
    rows = [[f"`{name}`", f"`{code}`", *REASON_HELP.get(name, ("", ""))] for name, code in REASONS.items()]
    about = (
        "The reason is in the log and in the event, never in the answer. `admit audit explain REQUEST_ID` finds it by "
        "the request id that the caller was given."
    )
    return f"## Reasons\n\n{about}\n\n" + table(["reason", "code", "meaning", "mend"], rows)


def events() -> str:
    """What is logged."""
    rows = [[f"`{name}`", kind, meaning] for name, (kind, meaning) in EVENTS.items()]
    return "## Events\n\n" + table(["type", "class", "meaning"], rows)


def detectors() -> str:
    """What is watched for."""
    limits = Thresholds()
    rows = []
    for detector in DETECTORS:
        about = _plain(inspect.getdoc(detector.make))
        window = detector.window(limits)
        rows.append([f"`{detector.name}`", duration(window) if window else "one event", about])
    values = [[f"`{field.name}`", _value(getattr(limits, field.name))] for field in fields(Thresholds)]
    return "\n\n".join(
        [
            "## Detectors",
            table(["finding", "window", "what it sees"], rows),
            table(["threshold", "value"], values),
        ]
    )


def _value(value: Any) -> str:
    return duration(value) if isinstance(value, timedelta) else str(value)


def hashes() -> str:
    """How dear a password hash is."""
    rows = []
    for profile in PROFILES.values():
        if not profile.for_tests:
            cost = (
                f"2^{profile.cost} rounds"
                if profile.scheme == "bcrypt"
                else f"{profile.memory} KiB, {profile.passes} passes, {profile.lanes} lanes"
            )
            rows.append([f"`{profile.name}`", profile.scheme, cost])
    return "## Password hashes\n\n" + table(["`passwords.hash`", "scheme", "cost"], rows)


def page() -> str:
    """The whole page."""
    parts = [HEAD.rstrip(), settings(), hashes(), routes(), codes(), reasons(), events(), detectors()]
    return "\n\n".join(parts) + "\n"


def main(arguments: list[str]) -> int:
    """Writes or checks the page."""
    for name in [name for name in os.environ if name.startswith("ADMIT_")]:
        del os.environ[name]
    wanted = page()
    if arguments == ["--check"]:
        stale = not PAGE.exists() or PAGE.read_text("utf-8") != wanted
        print(f"{PAGE.relative_to(ROOT)} is {'stale: python -m scripts.reference_docs' if stale else 'up to date'}")
        return int(stale)
    PAGE.write_text(wanted, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
