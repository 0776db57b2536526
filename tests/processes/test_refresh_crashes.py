"""kill -9 between any two statements of a refresh loses nobody their login."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from admit.testing.credential_rooms import rooms_on
from admit.testing.refresh_suite import exchanged, told
from tests.parts.postgres import TempPostgres
from tests.parts.stores import migrate

ROOT = Path(__file__).parents[2]
MANY = 60


@pytest.fixture(scope="session")
def pg_template(postgres: TempPostgres) -> str:
    return postgres.template("migrated_crashes", migrate)


class KilledAtEveryStep:
    @pytest.mark.proof("ASVS-2.3.3", "ASVS-16.5.3")
    async def test_the_same_token_gets_in_afterwards(self, url: str) -> None:
        kills = repeats = 0
        async with rooms_on(url) as rooms:
            person = await rooms.add_person()
            with _crashing(url) as crash:
                for at in range(1, MANY):
                    token = (await rooms.sign_in(person)).refresh_token
                    before = await told(rooms)
                    got = _order(crash, {"token": token, "at": at})
                    # the client, who has had no answer, tries again with what it has
                    successor = await exchanged(rooms, token)
                    await exchanged(rooms, successor.refresh_token)
                    after = await told(rooms)
                    assert after["refresh.reused"] == 0
                    if "killed" not in got:
                        break
                    assert got == {"killed": signal.SIGKILL}
                    kills += 1
                    repeats += after["refresh.repeated"] - before["refresh.repeated"]
                assert crash.stdin is not None
                crash.stdin.close()
        # the loop ended because the process came through, with the token that everybody got
        assert got["token"] == successor.refresh_token
        assert kills == got["steps"] >= 6
        # killed before the commit: the first exchange; killed after it: the same answer again
        assert 0 < repeats < kills


def _crashing(url: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.processes.crash", url]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _order(process: subprocess.Popen[str], order: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(order) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


class TestSQLite(KilledAtEveryStep):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        url = f"sqlite:///{tmp_path / 'admit.sqlite3'}"
        migrate(url)
        return url


class TestPostgreSQL(KilledAtEveryStep):
    @pytest.fixture
    def url(self, pg_database: str) -> str:
        return pg_database
