"""Log lines of the server: JSON where a program reads them, one readable line each at a terminal."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
from typing import Any

from admit.ground.logs import JsonLines

_LEVELS = {"debug": "2", "info": "36", "warning": "33", "error": "31", "critical": "31;1"}  # terminal colours


class ReadableLines(JsonLines):
    """The same lines with the same masks, for eyes: time, level, what, and the fields that are set."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        try:
            fields: dict[str, Any] = json.loads(line)
        except ValueError:
            return line
        level = str(fields.pop("level", "info"))
        at, name, event = (str(fields.pop(key, "")) for key in ("time", "logger", "event"))
        trace = fields.pop("exception", None)
        shown = "  ".join(f"{key}={_shown(value)}" for key, value in fields.items() if value is not None)
        coloured = f"\x1b[{_LEVELS.get(level, '0')}m{level:<8}\x1b[0m"
        head = f"{at[11:19]} {coloured} {name.removeprefix('admit.')}: {_text(event)}"
        return "\n".join(part for part in (f"{head}  {shown}".rstrip(), trace and _lines(trace)) if part)


def _shown(value: Any) -> str:
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    # what came from outside must not move the cursor or forge a second line
    return text if text.isprintable() else json.dumps(text)


def _lines(trace: str) -> str:
    return "\n".join(line if line.isprintable() else json.dumps(line) for line in str(trace).splitlines())


def formatter() -> logging.Formatter:
    """What fits standard error now."""
    return ReadableLines() if sys.stderr.isatty() else JsonLines()


def config(level: str = "INFO") -> dict[str, Any]:
    """For `logging.config.dictConfig` and for Granian's workers: everybody's lines in one shape, on standard error."""
    ours = {"handlers": [], "level": level, "propagate": True}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": "admit.serve.logs.formatter"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "lines", "stream": "ext://sys.stderr"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "_granian": dict(ours),
            "granian.access": dict(ours),
            "alembic": {"level": "WARNING"},
        },
    }


def configure(level: str = "INFO") -> None:
    """Sends every line of this process to standard error in the server's shape."""
    logging.config.dictConfig(config(level))
