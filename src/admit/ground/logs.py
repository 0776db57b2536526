"""Log lines: one JSON object each, secrets masked, no line that input could forge.

Our rooms log through `logger(name)` into the standard library's logging, whatever the application does with its own;
the server calls `configure` so that the lines of every library have the same shape. Fields are `time` (UTC), `level`,
`logger`, `event`, `request_id` where there is one, and what the caller adds.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

from admit.ground.clock import SECOND, SystemClock

LONGEST = 4000
_CLOCK = SystemClock()  # a line says when it was written by this machine
MASK = "***"

#: fields whose value is a secret, whatever it looks like
SECRET_FIELDS = frozenset(
    [
        "access_token", "api_key", "authorization", "assertion", "client_secret", "code_verifier", "cookie", "cookies",
        "credential_secret", "csrf_token", "current_password", "database_url", "id_token", "key_secret", "new_password",
        "password", "private_key", "proof", "refresh_token", "secret", "set-cookie", "set_cookie", "ticket", "token",
        "x-api-key", "x_api_key", "x-csrf-token", "x_csrf_token",
    ]
)  # fmt: skip

_PATTERNS = (
    # a header written out: everything after its name is secret, to the end of the line
    (re.compile(r"(?i)\b((?:set-)?cookie|(?:proxy-)?authorization|x-api-key|x-csrf-token|dpop)(['\"]?\s*[:=]\s*)[^\r\n]+"),
     r"\1\2" + MASK),
    (re.compile(r"(?i)\b(bearer|basic|dpop)\s+[^\s\"',;]{8,}"), r"\1 " + MASK),
    # our opaque tokens, of any brand: <brand>_<r|s|t|[ps]env>_ and at least 60 letters
    (re.compile(r"\b([a-z][a-z0-9]{0,15}_(?:[rst]|[ps][a-z][a-z0-9]{0,11})_)[0-9A-Za-z]{20,}"), r"\1" + MASK),
    # JWS and JWE: base64url of `{"` first. One look a run of letters: "-eyJ-eyJ-eyJ…" would be walked from each eyJ on
    (re.compile(r"(?<![\w-])(?>([\w-]*?)\beyJ)[\w-]{4,}+(?:\.[\w-]*){1,4}"), r"\1eyJ" + MASK),
    # user and password within a URL
    (re.compile(r"(://[^\s:/@]*:)[^\s@/]+@"), r"\1" + MASK + "@"),
    # form fields and query parameters
    (re.compile(
        r"(?i)\b((?:access_|refresh_|id_|csrf_)?token|password|client_secret|secret|ticket|code_verifier|assertion"
        r"|api_key)=[^\s&\"']+"), r"\1=" + MASK),
    # what SQLAlchemy appends to its errors
    (re.compile(r"(?s)\[parameters: .*"), "[parameters: " + MASK + "]"),
    (re.compile(r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"), MASK),
)  # fmt: skip


def mask(text: str) -> str:
    """`text` without anything that looks like a credential, cut to 4,000 characters."""
    text = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def masked(value: Any, name: str = "") -> Any:
    """A value for a log line: secrets masked by field name and by shape, bytes only as their length."""
    if name.lower() in SECRET_FIELDS:
        return MASK if value else value
    if isinstance(value, Mapping):
        return {mask(str(inner)): masked(member, str(inner)) for inner, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [masked(member) for member in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return mask(str(value))


def render(fields: Mapping[str, Any]) -> str:
    """One line of JSON. Control characters, line ends of every alphabet and escapes for terminals come out escaped."""
    return json.dumps({name: masked(value, name) for name, value in fields.items()}, ensure_ascii=True, default=str)


def stamp(at: int) -> str:
    """RFC 3339 in UTC with microseconds."""
    return datetime.fromtimestamp(at / SECOND, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


# -- our own lines -------------------------------------------------------------------------------------------------

_request: ContextVar[str | None] = ContextVar("admit_request", default=None)
_traceback = logging.Formatter().formatException


class Lines:
    """Writes our lines: an event's name and its fields. Built on the standard library alone: structlog, which would do
    the same, loads Rich wherever that is installed and takes longer than the rest of our start.
    """

    def __init__(self, name: str) -> None:
        self._log = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error with the traceback of the exception that is being handled."""
        handled = sys.exc_info()
        traceback = {"exception": _traceback(handled)} if handled[0] is not None else {}
        self._write(logging.ERROR, event, {**fields, **traceback})

    def _write(self, level: int, event: str, fields: Mapping[str, Any]) -> None:
        if not self._log.isEnabledFor(level):
            return
        head = _head(_CLOCK.now(), logging.getLevelName(level), self._log.name, event)
        # the text as an argument: a per cent sign in it must not be taken for a format
        self._log.log(level, "%s", render({**head, **fields}), extra={"admit_line": True})


def logger(name: str) -> Lines:
    """A logger of ours: `logger("admit.audit").warning("events.dropped", count=3)`."""
    return Lines(name)


@contextmanager
def request_lines(request_id: str) -> Iterator[None]:
    """Every line that is logged inside carries this request id."""
    token = _request.set(request_id)
    try:
        yield
    finally:
        _request.reset(token)


def _head(at: int, level: str, name: str, event: str) -> dict[str, Any]:
    head = {"time": stamp(at), "level": level.lower(), "logger": name, "event": event}
    request_id = _request.get()
    return head if request_id is None else {**head, "request_id": request_id}


# -- everybody's lines, in the server ------------------------------------------------------------------------------


class JsonLines(logging.Formatter):
    """Lines of other libraries in the same shape, with the same masks; ours pass as they are."""

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "admit_line", False):
            return record.getMessage()
        fields = _head(int(record.created * SECOND), record.levelname, record.name, record.getMessage())
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return render(fields)


def configure(level: int = logging.INFO, stream: TextIO | None = None) -> logging.Handler:
    """Sends all logging of the process to one stream (standard error) as JSON lines. For the server and the command
    line; a library inside an application leaves the root logger alone.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    return handler
