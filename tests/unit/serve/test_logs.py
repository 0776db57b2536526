"""Readable lines keep the masks, and nothing in them can forge a line or move the cursor."""

from __future__ import annotations

import json
import logging

import pytest

from admit.ground.logs import JsonLines
from admit.serve.logs import ReadableLines, formatter


def record(message: str, **more: object) -> logging.LogRecord:
    made = logging.LogRecord("admit.web", logging.WARNING, __file__, 1, message, None, None)
    made.__dict__.update(more)
    return made


@pytest.mark.proof("ASVS-16.4.1", "ASVS-16.2.5")
def test_a_hostile_line_stays_one_line_and_secrets_stay_masked() -> None:
    line = ReadableLines().format(record("Authorization: Bearer abcdefghijk\n12:00:00 forged \x1b[2J"))
    assert "\n" not in line
    assert "abcdefghijk" not in line
    assert "\x1b[2J" not in line


def test_our_own_lines_show_their_fields() -> None:
    fields = {"time": "2027-01-15T08:00:00.000000Z", "level": "info", "logger": "admit.web", "event": "refused"}
    ours = record(json.dumps({**fields, "reason": "jwt.kid", "private": None}), admit_line=True)
    line = ReadableLines().format(ours)
    assert line.startswith("08:00:00 ")
    assert line.endswith("web: refused  reason=jwt.kid")


def test_json_when_nobody_looks() -> None:
    assert type(formatter()) is JsonLines
