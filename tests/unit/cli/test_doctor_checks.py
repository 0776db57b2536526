"""The doctor's judgements, one by one: forms of stored passwords, leaking claims, how findings become a status."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from admit.cli.doctor import api, passwords, tokens
from admit.cli.doctor.answers import Answer
from admit.cli.doctor.examine import Report
from admit.cli.doctor.passwords import form_of
from admit.cli.doctor.report import summary, tell
from admit.cli.doctor.verdicts import Found, Kept, Line, Setup, outcome
from admit.cli.doctor.visit import Patient, Seen
from admit.crypto.sealing import generate
from admit.people.passwords import PROFILES, Hasher
from admit.serve.checklist import config_files, unsafe, weakenings
from admit.serve.safety import check
from admit.settings import Settings, load
from admit.stores.sql.survey import Behind, StoredKey

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "password_hashes.json").read_text())


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No admit.toml of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)


def setup(**fields: Any) -> Setup:
    """A set-up with default settings."""
    return Setup(load(), (), **fields)


def kept(*hashes: str, **fields: Any) -> Kept:
    """A store with these passwords."""
    given: dict[str, Any] = {"keys": (), "behind": Behind(0, None), "now": 10**15}
    return Kept(tuple((f"usr_{at}", stored) for at, stored in enumerate(hashes)), **{**given, **fields})


def statuses(found: Iterator[Found]) -> list[str]:
    return [one.status for one in found]


# -- stored passwords ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["argon2id", "argon2id-46", "argon2id-12", "bcrypt", "cheap", "cheap-bcrypt"])
def test_our_own_hashes(name: str) -> None:
    stored = Hasher(PROFILES[name]).hash("Correct Horse 1 Battery!")
    assert form_of(stored) == ("cheap" if "cheap" in name else "good")


@pytest.mark.parametrize(
    ("stored", "form"),
    [
        ("pbkdf2_sha256$600000$salt$" + base64.b64encode(b"x" * 32).decode(), "older"),
        ("5f4dcc3b5aa765d61d8327deb882cf99", "fast"),
        (hashlib.sha256(b"x").hexdigest(), "fast"),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "fast"),
        ("$1$salt$qJH7.N4xYta3aEG/dfqo/0", "fast"),
        ("sha1$salt$0a1b", "fast"),
        ("hunter2", "plain"),
        ("Correct Horse 1 Battery!", "plain"),
        ("$2b$12$tooshort", "plain"),
        ("", "none"),
        ("!disabled", "none"),
    ],
)
def test_hashes_of_elsewhere(stored: str, form: str) -> None:
    assert form_of(stored) == form


@pytest.mark.parametrize("vector", VECTORS["vectors"], ids=lambda one: one["hash"][:24])
def test_no_hash_that_we_can_verify_counts_as_plain_text(vector: dict[str, Any]) -> None:
    assert form_of(vector["hash"]) in ("cheap", "older")


def test_quick_hashes_break_p1_and_imported_ones_only_deserve_a_look() -> None:
    fast, older = "5f4dcc3b5aa765d61d8327deb882cf99", "pbkdf2_sha256$600000$s$" + base64.b64encode(b"x" * 32).decode()
    assert statuses(passwords.slow_hash(setup(kept=kept(fast)))) == ["fail"]
    assert statuses(passwords.slow_hash(setup(kept=kept(older)))) == ["warn"]
    assert statuses(passwords.never_plain(setup(kept=kept(fast, older)))) == []
    assert statuses(passwords.never_plain(setup(kept=kept(passwords_in=("admit_events.data",))))) == ["fail"]


# -- claims --------------------------------------------------------------------------------------------------------


def visited(claims: dict[str, Any]) -> Setup:
    """A visit that got an access token with these claims."""
    parts = ({"alg": "none"}, {"iat": 1, "exp": 901, **claims})
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + ".x"
    seen = Seen("http://127.0.0.1", sign_ins={"tokens": Answer(200, (), json.dumps({"access_token": token}))})
    return setup(seen=seen, patient=Patient("doctor-1", "pass-word-1"))


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "x"},
        {"contact": "alice@example.test"},
        {"who": {"Phone_Number": "1"}},
        {"cards": ["4111 1111 1111 1111"]},
        {"pem": "-----BEGIN CERTIFICATE-----"},
        {"upstream": "eyJhIjoxfQ.eyJhIjoxfQ.x"},
        {"key": "admit_plive_x"},
        {"login": "doctor-1"},
        {"note": "pass-word-1"},
    ],
)
def test_claims_that_leak(claims: dict[str, Any]) -> None:
    (found,) = tokens.payload(visited(claims))
    assert found.status == "fail"
    assert next(iter(claims)) in found.why
    assert "alice@example" not in found.why


@pytest.mark.parametrize(
    "claims", [{}, {"plan": "gold", "seats": 12}, {"sub": "a@b.test"}, {"order": "1234567890123"}, {"tags": ["a", "b"]}]
)
def test_claims_that_do_not(claims: dict[str, Any]) -> None:
    assert list(tokens.payload(visited(claims))) == []


def test_the_life_of_tokens_as_the_server_issues_them() -> None:
    assert list(tokens.expiry(visited({}))) == []
    assert statuses(tokens.expiry(visited({"exp": 1800}))) == ["warn"]
    assert statuses(tokens.expiry(visited({"exp": 86400}))) == ["fail"]
    assert statuses(tokens.expiry(visited({"exp": None}))) == ["fail"]


# -- keys and the watch --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "statuses_"),
    [
        (StoredKey(b"", hashlib.sha256(b"x").digest(), "admit_plive_…abcd", "CI"), []),
        (StoredKey(b"", b"short", "admit_plive_…abcd", "CI"), ["fail"]),
        (StoredKey(b"", b"admit_plive_0123456789abcdefghij", "admit_plive_…abcd", "CI"), ["fail"]),
        (StoredKey(b"", hashlib.sha256(b"x").digest(), "admit_plive_" + "x" * 80, "CI"), ["fail"]),
    ],
)
def test_stored_keys(key: StoredKey, statuses_: list[str]) -> None:
    assert statuses(tokens.hashed_keys(setup(kept=kept(keys=(key,))))) == statuses_


def test_an_unwatched_log() -> None:
    now = 10**15
    fresh, late = Behind(1, now - 1), Behind(9, now - 600_000_000)
    assert statuses(api.watched(setup(kept=kept(behind=fresh)))) == []
    assert statuses(api.watched(setup(kept=kept(behind=late)))) == ["warn"]
    assert statuses(api.watched(setup(kept=kept(behind=fresh), seen=Seen("http://x")))) == ["fail"]


# -- from findings to a status -------------------------------------------------------------------------------------


def judged(
    *found: Found, places: tuple[Any, ...] = ("settings", "server"), together: bool = False, **fields: Any
) -> Any:
    """The outcome of a line with these findings."""
    line = Line("T9", "Tokens", "A line", "high", places, lambda _: found, together)
    return outcome(line, setup(absent={"server": "no server"}, **fields))


def test_the_worst_finding_decides() -> None:
    both = judged(Found("warn", "a", "x", "critical"), Found("fail", "b", "y", "low"))
    assert (both.status, both.risk, both.why[:2], both.mend) == ("fail", "low", ("a", "b"), "x y")
    assert judged(Found("warn", "a", "x")).status == "warn"
    assert judged().status == "pass"
    assert judged().why == ("not looked at: no server",)


def test_what_was_not_looked_at_does_not_pass() -> None:
    assert judged(places=("server",)).status == "not-checked"
    assert judged(Found("not-checked", "why"), places=("server",), seen=Seen("http://x")).status == "not-checked"
    assert judged(Found("not-checked", "why"), seen=Seen("http://x")).status == "pass"
    assert judged(Found("not-checked", "why"), seen=Seen("http://x"), together=True).status == "not-checked"


def test_the_report_for_people_tells_marks_and_mends(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    report = Report([judged(Found("fail", "It is [red]open[/red].", "Close it.")), judged()], weakenings(load()))
    assert summary(report) == "1 of 2 lines hold, 1 do not (T9)."
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    tell(report)
    out = capsys.readouterr().out
    for words in ("✗ fail", "✓ pass", "[red]open[/red]", "→ Close it.", "Weaker choices in use"):
        assert words in out


# -- settings ------------------------------------------------------------------------------------------------------


def rows(settings: Settings) -> list[tuple[str, bool]]:
    return [(one.row, one.fails) for one in unsafe(settings)]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, []),
        ({"tokens": {"access_for": "PT20M"}}, [("T2", False)]),
        ({"tokens": {"refresh_idle": "P60D", "refresh_for": "P90D"}}, [("T2", True)]),
        ({"tokens": {"leeway": "PT1H"}}, [("T2", True)]),
        ({"trusted_proxies": ("10.0.0.0/8",)}, [("T1", True)]),
        ({"trusted_proxies": ("10.0.0.0/24",)}, []),
        ({"passwords": {"disable_after": 1000}}, [("P5", False)]),
        ({"limits": {"forgot": 1000}}, [("A2", True)]),
        ({"api_keys": {"limit": 1_000_000}}, [("A2", True)]),
        ({"cors": {"origins": ("https://*.example.com",)}}, [("A3", True)]),
        ({"cors": {"origins": ("https://app.example.com", "http://localhost:5173")}}, []),
    ],
)
def test_the_settings_list(options: dict[str, Any], found: list[tuple[str, bool]]) -> None:
    assert rows(load(**options)) == found


def test_a_secret_that_others_can_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(generate())
    (tmp_path / "secret").chmod(0o640)
    assert rows(load(run_directory=tmp_path)) == [("T3", True)]
    (tmp_path / "secret").chmod(0o600)
    assert rows(load(run_directory=tmp_path)) == []


@pytest.mark.proof("ASVS-13.3.1")
def test_secrets_in_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = generate()
    file = tmp_path / "other.toml"
    file.write_text(
        f'issuer = "https://id.example.com"\nsecret = "{secret}"\ndatabase = "postgresql://u:pw@db/x"\n'
        f'[mail]\npassword = "pw"\n[tokens]\nhs256_secret = "{secret}"\n'
    )
    monkeypatch.setenv("ADMIT_CONFIG", str(file))
    found = unsafe(load(), config_files({"ADMIT_CONFIG": str(file)}))
    named = [one.setting for one in found if one.row == "T3"]
    assert named == ["secret", "tokens.hs256_secret", "mail.password", "database"]
    assert secret not in str(found)
    assert len(check(load())) == 4
    assert "ADMIT_TOKENS__HS256_SECRET" in check(load())[1]
