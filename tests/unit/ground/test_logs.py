"""Log lines: JSON, secrets masked, nothing that input could forge."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest

from admit.crypto.opaque import api_key_format, refresh_format, session_format, ticket_format
from admit.ground import logs

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c3JfMSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"


@pytest.fixture
def lines() -> Iterator[Any]:
    """All lines of the process, parsed; the root logger is put back afterwards."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(stream=stream)
    try:
        yield lambda: [json.loads(line) for line in stream.getvalue().split("\n") if line]
    finally:
        for handler in root.handlers[:]:
            root.removeHandler(handler)
        for handler in before:
            root.addHandler(handler)
        root.setLevel(level)


def tokens() -> list[str]:
    made = [
        api_key_format("acme", "p", "live"), api_key_format("admit", "s", "test"), refresh_format("a1"),
        session_format("admit"), ticket_format("admit"),
    ]  # fmt: skip
    return [one.issue(bytes(range(1, one.size + 1))) for one in made]


@pytest.mark.proof("ASVS-16.2.5")
@pytest.mark.parametrize("token", [*tokens(), JWT, JWT + ".more.parts"])
@pytest.mark.parametrize(
    "around", ["{}", "got {} here", "x={}&y", '"{}"', "Bearer {}", "https://h/p?q={}", "({})", "{}\nnext"]
)
def test_tokens_are_masked_wherever_they_stand(token: str, around: str) -> None:
    text = logs.mask(around.format(token))
    assert token[12:] not in text
    assert "***" in text
    for part in token.split("."):
        assert len(part) < 10 or part[-10:] not in text


@pytest.mark.proof("ASVS-16.2.5")
@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Basic dXNlcjpodW50ZXIy", "authorization=Bearer hunter2hunter2", "basic dXNlcjpodW50ZXIy",
        "Cookie: admit-session=hunter2; other=1", "set-cookie: a=hunter2; Path=/", "X-API-Key: hunter2", "DPoP: hunter2x",
        "{'authorization': 'Bearer hunter2hunter2'}", "postgresql://admit:hunter2@db/admit", "redis://:hunter2@valkey:6379",
        "POST /x?password=hunter2&a=1", "refresh_token=hunter2", "client_secret=hunter2 end",
        "error [SQL: INSERT] [parameters: ('hunter2', b'hunter2')]\nmore hunter2",
        "-----BEGIN PRIVATE " + "KEY-----\nhunter2\n-----END PRIVATE " + "KEY-----",
    ],
)  # fmt: skip
def test_credentials_are_masked_by_their_place(text: str) -> None:
    assert "hunter2" not in logs.mask(text)
    assert "dXNlcjpodW50ZXIy" not in logs.mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "usr_0000000000000000000001 signed in", "key_5x8TpmHk3Yp1QzVn9sWc2d revoked", "admit_users", "ses_1", "the token expired",
        "reason=jwt.expired", "eyes", "https://auth.example/path?next=/home", "code=token_invalid status=401",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert logs.mask(text) == text


@pytest.mark.proof("ASVS-16.2.5")
def test_secret_fields_are_masked_whatever_they_hold(lines: Any) -> None:
    logs.logger("admit.test").info(
        "x", password="hunter2", nested={"Authorization": "hunter2", "list": [{"cookie": "hunter2"}]}, raw=b"hunter2",
        code="token_invalid", refresh_token="", error=ValueError("token=hunter2"),
    )  # fmt: skip
    (line,) = lines()
    assert "hunter2" not in json.dumps(line)
    assert line["password"] == "***"
    assert line["raw"] == "<7 bytes>"
    assert line["code"] == "token_invalid"
    assert line["refresh_token"] == ""


@pytest.mark.proof("ASVS-16.4.1", "ASVS-16.2.4", "ASVS-16.2.2")
def test_one_event_is_one_line_of_json(lines: Any) -> None:
    evil = 'a\nadmin login ok\r\n\x1b[31m\u2028\u202e", "level": "info'
    with logs.request_lines("req-1"):
        logs.logger("admit.test").warning("login.failed", username=evil, reason="login.unknown")
        logging.getLogger("other").warning("user %s", evil)
    ours, other = lines()
    assert list(ours) == ["time", "level", "logger", "event", "request_id", "username", "reason"]
    assert (ours["level"], ours["event"], ours["username"], ours["request_id"]) == (
        "warning",
        "login.failed",
        evil,
        "req-1",
    )
    assert (other["level"], other["logger"], other["request_id"]) == ("warning", "other", "req-1")
    for line in (ours, other):
        assert line["time"].endswith("Z")


def test_the_raw_line_has_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    text = logs.render({"event": "a\nb\x1b\x07\u2028\x7f\x85", "key\n": 1})
    assert "\n" not in text
    assert text.isascii()
    assert all(ch.isprintable() for ch in text.replace("\x7f", ""))


@pytest.mark.proof("ASVS-16.3.4", "ASVS-16.2.5")
def test_a_traceback_is_in_the_line_without_its_secrets(lines: Any) -> None:
    def fail(password: str) -> None:
        raise ValueError(f"no connection to postgresql://admit:{password}@db/admit")

    secret = "hunter2"
    for name in ("admit.test", "other"):
        log = logs.logger(name) if name == "admit.test" else logging.getLogger(name)
        try:
            fail(secret)
        except ValueError:
            log.exception("failed")
    for line in lines():
        assert "ValueError" in line["exception"]
        assert "fail(" in line["exception"]
        assert "hunter2" not in json.dumps(line)


def test_long_values_are_cut(lines: Any) -> None:
    logs.logger("admit.test").info("x", value="y" * 100_000)
    assert len(lines()[0]["value"]) == logs.LONGEST + 1


def test_levels_are_those_of_the_standard_library(lines: Any) -> None:
    logs.logger("admit.test").debug("unseen")
    logs.logger("admit.test").info("seen")
    assert [line["event"] for line in lines()] == ["seen"]


def test_a_message_with_percent_signs_is_not_formatted_again(lines: Any) -> None:
    logs.logger("admit.test").info("100 % of %s", path="/%2e%2e")
    assert lines()[0]["event"] == "100 % of %s"


@pytest.mark.parametrize("unit", ["-eyJ", "-eyJaaaa", "bearer ", "://:", "_r_", "cookie ", "token=", "-----BEGIN "])
def test_no_text_makes_masking_slow(unit: str) -> None:
    # what anybody may send, in a header that every refusal notes: work must grow with the length, not with its square
    def work(length: int) -> float:
        text = (unit * length)[:length]
        times = []
        for _ in range(5):
            begun = time.process_time()
            logs.mask(text)
            times.append(time.process_time() - begun)
        return min(times)

    assert work(logs.LONGEST) < 20 * work(logs.LONGEST // 8) + 0.005
