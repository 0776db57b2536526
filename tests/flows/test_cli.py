"""The command line on a set-up of its own: every verb, as people and as programs call it."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from admit.cli.verbs import run

PASSWORD = "Correct Horse 1 Battery!"
TOML = """
run_directory = "run"
database = "sqlite:///admit.db"
[passwords]
hash = "cheap"
[rights]
default_roles = ["member"]
[rights.scopes]
"read:posts" = "Read posts"
"write:posts" = "Write posts"
[rights.roles]
member = ["read:posts"]
editor = ["read:posts", "write:posts"]
"""


class Result(NamedTuple):
    """What one call gave."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err.splitlines()[-1])


Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """`cli("users", "list", stdin="…")` in a folder with an admit.toml; the environment is put back."""
    before = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("ADMIT_")]:
        del os.environ[name]
    monkeypatch.chdir(tmp_path)
    Path("admit.toml").write_text(TOML)

    def call(*arguments: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = run(arguments)
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    yield call
    os.environ.clear()
    os.environ.update(before)


def person(cli: Cli, name: str, *more: str) -> str:
    made = cli(
        "users", "create", "--username", name, "--email", f"{name}@x.test", "--password-stdin", "--json", *more,
        stdin=PASSWORD + "\n",
    )  # fmt: skip
    assert made.code == 0, made.err
    return str(made.data["id"])


def test_people_from_first_to_last(cli: Cli) -> None:
    root = person(cli, "root", "--admin")
    ann = person(cli, "ann", "--role", "editor")
    shown = cli("users", "show", "ann@x.test", "--json").data
    assert (shown["id"], shown["roles"], shown["email_verified"]) == (ann, ["editor", "member"], True)
    assert cli("users", "revoke", ann, "editor", "--json").data["roles"] == ["member"]
    assert cli("users", "grant", "ann", "editor", "--json").data["roles"] == ["editor", "member"]
    assert cli("users", "disable", "ann", "--json").data["disabled"] is True
    assert cli("users", "enable", "ann", "--json").data["disabled"] is False
    listed = cli("users", "list", "--json").data
    assert [one["id"] for one in listed["users"]] == [ann, root]
    first = cli("users", "list", "--limit", "1", "--json").data
    rest = cli("users", "list", "--limit", "1", "--after", first["next"], "--json").data
    assert [one["id"] for one in (*first["users"], *rest["users"])] == [ann, root]
    # nobody looks: tab-separated, one line each
    lines = cli("users", "list").out.splitlines()
    assert [line.split("\t")[1] for line in lines] == ["username", "ann", "root"]
    assert cli("users", "delete", "ann", "--json").data == {"id": ann, "deleted": True}
    assert cli("users", "show", "ann").code == 1


@pytest.mark.proof("ASVS-6.2.1", "ASVS-6.2.4")
def test_refusals_say_why_and_what_to_try(cli: Cli) -> None:
    person(cli, "root", "--admin")
    weak = cli("users", "create", "--username", "bob", "--password-stdin", "--json", stdin="short")
    assert (weak.code, weak.error["error"]) == (1, "password_too_short")
    assert {"password_no_upper", "password_no_digit"} <= {one["code"] for one in weak.error["errors"]}
    again = cli("users", "create", "--username", "ROOT", "--password-stdin", "--json", stdin=PASSWORD)
    assert (again.code, again.error["error"]) == (1, "username_taken")
    mail = cli("users", "create", "--email", "Root@x.test", "--password-stdin", "--json", stdin=PASSWORD)
    assert (mail.code, mail.error["error"]) == (1, "conflict")
    assert cli("users", "create", "--email", "not an address", "--password-stdin", stdin=PASSWORD).code == 1
    role = cli("users", "grant", "root", "nope", "--json")
    assert (role.code, role.error["unknown"]) == (1, ["nope"])
    last = cli("users", "revoke", "root", "admin")
    assert last.code == 1
    assert last.err.splitlines()[-1] == "Try: make another administrator first: `admit users grant WHO admin`"
    for usage in (
        ["users", "create", "--password-stdin"],
        ["users", "create", "--username", "x"],
        ["users", "list", "--after", "x"],
    ):
        assert cli(*usage).code == 2


@pytest.mark.proof("ASVS-13.3.1")
def test_a_password_is_never_an_argument_and_never_printed(cli: Cli) -> None:
    person(cli, "ann")
    assert cli("users", "create", "--username", "bob", "--password", PASSWORD).code == 2
    spoken = [cli("users", "show", "ann"), cli("audit", "list"), cli("users", "list", "--json")]
    assert not any(PASSWORD in result.out + result.err for result in spoken)


def test_api_keys_are_shown_once_and_bounded_by_their_owner(cli: Cli) -> None:
    ann = person(cli, "ann")
    made = cli(
        "api-keys", "create", "--owner", "ann", "--name", "CI/CD", "--scope", "read:posts", "--expires", "90d", "--json"
    ).data
    assert made["key"].startswith("admit_plive_")
    assert made["expires_at"] is not None
    more = cli("api-keys", "create", "--owner", "ann", "--name", "X", "--scope", "write:posts", "--json")
    assert (more.code, more.error["error"]) == (1, "insufficient_scope")
    rotated = cli("api-keys", "rotate", made["id"], "--overlap", "1h", "--json").data
    assert rotated["id"] == made["id"]
    assert rotated["key"] != made["key"]
    assert rotated["old_until"] is not None
    for listing in (cli("api-keys", "list", "--json"), cli("api-keys", "list", "ann")):
        assert made["id"] in listing.out
        assert made["key"] not in listing.out
        assert rotated["key"] not in listing.out
    assert cli("api-keys", "revoke", made["id"], "--json").data["revoked_at"] is not None
    assert cli("api-keys", "revoke", made["id"]).code == 1
    assert cli("api-keys", "list", ann, "--json").data["api_keys"] == []
    assert len(cli("api-keys", "list", ann, "--revoked", "--json").data["api_keys"]) == 1
    assert cli("api-keys", "revoke", "key_nonsense").code == 1
    assert cli("api-keys", "create", "--owner", "ann", "--name", "X", "--expires", "soon").code == 2


def test_service_accounts_hold_at_most_what_their_owner_holds(cli: Cli) -> None:
    ann = person(cli, "ann")
    made = cli("service-accounts", "create", "--owner", "ann", "--name", "Export", "--role", "member", "--json").data
    assert (made["owner"], made["roles"]) == (ann, ["member"])
    assert cli("service-accounts", "create", "--owner", "ann", "--name", "X", "--role", "admin").code == 1
    assert [one["id"] for one in cli("service-accounts", "list", "--json").data["service_accounts"]] == [made["id"]]
    key = cli("api-keys", "create", "--owner", made["id"], "--name", "n", "--scope", "read:posts", "--json").data
    assert key["key"].startswith("admit_slive_")


def test_signing_keys_and_the_fence(cli: Cli) -> None:
    (first,) = cli("signing-keys", "list", "--json").data["signing_keys"]
    assert first["state"] == "active"
    announced = cli("signing-keys", "rotate", "--json").data
    assert announced["state"] == "next"
    at_once = cli("signing-keys", "rotate", "--now", "--json").data
    assert at_once["state"] == "active"
    gone = cli("signing-keys", "revoke", at_once["kid"], "--json").data
    assert gone["active"] != at_once["kid"]
    missing = cli("signing-keys", "revoke", "nope", "--json")
    assert (missing.code, missing.error["error"]) == (1, "not_found")
    fenced = cli("fence", "--json").data
    states = {one["kid"]: one["state"] for one in cli("signing-keys", "list", "--json").data["signing_keys"]}
    assert states.pop(fenced["signing_keys"]["active"]) == "active"
    assert set(states.values()) == {"revoked"}
    assert "fence.raised" in cli("audit", "list", "--type", "operations").out + cli("audit", "list").out


@pytest.mark.proof("ASVS-16.2.1", "ASVS-16.4.2")
def test_the_log_names_the_operator_and_shows_what_was_changed(cli: Cli, tmp_path: Path) -> None:
    person(cli, "ann")
    (event,) = cli("audit", "list", "--type", "account.", "--json").data["events"]
    assert event["type"] == "account.imported"
    assert event["actor"].startswith("cli:")
    assert cli("audit", "checkpoint", "--to", "anchor.txt").code == 0
    sound = cli("audit", "verify", "--checkpoint", "anchor.txt", "--json")
    assert (sound.code, sound.data["ok"], sound.data["problems"]) == (0, True, [])
    import sqlite3

    database = sqlite3.connect(tmp_path / "admit.db")
    database.execute("UPDATE admit_events SET type = 'account.enabled' WHERE type = 'account.imported'")
    database.commit()
    database.close()
    forged = cli("audit", "verify")
    assert forged.code == 1
    assert "this event was changed after it was sealed" in forged.out
    assert cli("audit", "explain", "nope").code == 1
    assert cli("audit", "findings", "--json").data == {"findings": []}
    assert cli("audit", "findings", "--close", "fnd_nope").code == 1
    assert cli("audit", "list", "--after", "x").code == 2


def test_sessions_end_by_id_and_by_person(cli: Cli) -> None:
    person(cli, "ann")
    sign_in(2)
    (one, two) = cli("sessions", "list", "--json").data["sessions"]
    assert cli("sessions", "end", one["id"], "--json").data == {"ended": 1}
    assert cli("sessions", "end", one["id"]).code == 1
    assert [left["id"] for left in cli("sessions", "list", "ann", "--json").data["sessions"]] == [two["id"]]
    assert cli("sessions", "end", "--all-of", "ann", "--json").data == {"ended": 1}
    assert cli("sessions", "end").code == 2


def sign_in(times: int) -> None:
    """Ann signs in, in the same store."""
    from admit.cli.opening import within
    from admit.ground.events import Via
    from admit.rooms import Rooms

    async def work(rooms: Rooms) -> None:
        for deliver in ("session", "tokens")[:times]:
            await rooms.login.login("ann", PASSWORD, deliver, Via(), None)  # type: ignore[arg-type]

    within(work)


def test_clients_and_migrate(cli: Cli) -> None:
    assert [one["client_id"] for one in cli("clients", "list", "--json").data["clients"]] == ["admit"]
    done = cli("migrate", "--json").data
    assert done["before"] == done["after"] == done["newest"]


@pytest.mark.proof("ASVS-13.3.1")
def test_init_writes_secrets_for_ones_own_eyes_and_overwrites_nothing(cli: Cli, tmp_path: Path) -> None:
    made = cli("init", "--directory", "new", "--algorithm", "RS256", "--database", "sqlite:///new.db", "--json")
    assert made.code == 0, made.err
    assert made.data["signing_key"]  # RSA keys take too long to make at the first request
    secrets, config = tmp_path / "new/admit.env", tmp_path / "new/admit.toml"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    value = secrets.read_text().strip().removeprefix("ADMIT_SECRET=")
    assert len(value) == 43
    assert value not in made.out + made.err + config.read_text()
    kept = secrets.read_bytes(), config.read_bytes()
    again = cli("init", "--directory", "new", "--json")
    assert (again.code, again.error["error"]) == (1, "conflict")
    assert (secrets.read_bytes(), config.read_bytes()) == kept
    os.environ |= {"ADMIT_CONFIG": str(config), "ADMIT_ENV_FILE": str(secrets)}
    (key,) = cli("signing-keys", "list", "--json").data["signing_keys"]
    assert (key["kid"], key["alg"]) == (made.data["signing_key"], "RS256")
    secrets.chmod(0o644)
    assert cli("users", "list").code == 3


def test_init_leaves_nothing_behind_when_the_settings_cannot_be(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", "--directory", "new", "--issuer", "ftp://x").code == 3
    assert list((tmp_path / "new").iterdir()) == []
    assert cli("init", "--directory", "new", "--algorithm", "none").code == 2
    assert cli("init", "--env", "--algorithm", "HS256").out.count("\n") == 5


def test_secrets_are_new_each_time(cli: Cli) -> None:
    assert len({cli("secret").out for _ in range(3)}) == 3


def test_settings_and_stores_that_are_not_there(cli: Cli) -> None:
    Path("admit.toml").write_text("issuer = [")
    assert cli("users", "list").code == 3
    Path("admit.toml").write_text("isuer = 'http://x'")
    wrong = cli("users", "list", "--json")
    assert (wrong.code, wrong.error["error"]) == (3, "settings")
    assert "isuer" in wrong.error["detail"]
    Path("admit.toml").unlink()
    os.environ["ADMIT_RIGHTS"] = "{unreadable hunter2"
    unreadable = cli("users", "list")
    assert (unreadable.code, "hunter2" in unreadable.err) == (3, False)
    del os.environ["ADMIT_RIGHTS"]
    os.environ["ADMIT_DATABASE"] = "postgresql://nobody:hunter2@127.0.0.1:1/none"
    down = cli("users", "list", "--json")
    assert (down.code, down.error["error"]) == (4, "unavailable")
    assert "hunter2" not in down.err


def test_the_demos_store_is_meant_in_a_clone_with_nothing_else_said(cli: Cli) -> None:
    Path("admit.toml").unlink()
    Path(".admit").mkdir()
    Path(".admit/demo.toml").write_text(TOML.replace("admit.db", "demo.db"))
    person(cli, "ann", "--role", "editor")
    assert Path("demo.db").exists()
    del os.environ["ADMIT_CONFIG"]
    os.environ["ADMIT_DATABASE"] = "sqlite:///own.db"
    assert cli("users", "list", "--json").data["users"] == []


def test_the_application_knows_its_own_roles(cli: Cli, tmp_path: Path) -> None:
    Path("my_application.py").write_text(
        "from admit import Admit\n"
        "auth = Admit(database='sqlite:///admit.db', run_directory='run', scopes={'fly': 'Fly'},"
        " roles={'pilot': ('fly',)}, default_roles=('pilot',), passwords={'hash': 'cheap'})\n"
    )
    Path("admit.toml").unlink()
    made = cli(
        "--auth",
        "my_application:auth",
        "users",
        "create",
        "--username",
        "amy",
        "--password-stdin",
        "--json",
        stdin=PASSWORD,
    )
    assert made.data["roles"] == ["pilot"]
    assert cli("--auth", "my_application:nothing", "users", "list").code == 3
    assert str(tmp_path) in sys.path
    sys.path.remove(str(tmp_path))
    sys.modules.pop("my_application")
