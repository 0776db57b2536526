"""Limits in memory: threads, size, the lock, forks."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from admit.ground.errors import SettingsError, Unavailable
from admit.limits import Limit, MemoryLimits, RunLock, Waits
from admit.testing.clock import ManualClock

FIVE = Limit.parse("5/minute")
# flock itself and not our class: whoever else asks the kernel must be refused too
TAKE = """
import fcntl, sys
file = open(sys.argv[1] + "/limits.lock", "a")
try:
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("taken")
else:
    print("free")
"""


def test_threads_get_exactly_the_limit() -> None:
    limits = MemoryLimits(ManualClock())
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            hits = list(pool.map(lambda _: limits.hit_now("a", FIVE).allowed, range(4000)))
    finally:
        sys.setswitchinterval(interval)
    assert sum(hits) == 5


async def test_a_flood_of_invented_names_stays_in_bounds_and_does_not_free_the_guarded_one() -> None:
    clock = ManualClock()
    limits = MemoryLimits(clock, size=2000)
    for _ in range(5):
        await limits.hit("victim", FIVE)
    for _ in range(3):
        await limits.fail("victim", Waits())
    for number in range(10_000):
        await limits.hit(f"invented:{number}", FIVE)
        await limits.fail(f"invented:{number}", Waits())
    assert len(limits._tats) <= 2000
    assert len(limits._failures) <= 2000
    assert not (await limits.hit("victim", FIVE)).allowed
    assert [await limits.fail("victim", Waits()) for _ in range(2)] == [timedelta(0), timedelta(seconds=1)]


async def test_what_is_over_is_swept_while_others_come() -> None:
    clock = ManualClock()
    limits = MemoryLimits(clock)
    for number in range(1500):
        await limits.hit(f"early:{number}", FIVE)
    clock.advance(timedelta(minutes=1))
    for number in range(1500):
        await limits.hit(f"late:{number}", FIVE)
    assert not [key for key in limits._tats if key.startswith("early")]


async def test_a_forked_child_is_refused_rather_than_given_a_limit_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = MemoryLimits(ManualClock())
    monkeypatch.setattr(os, "getpid", lambda: -1)
    for verb in (limits.hit("a", FIVE), limits.refund("a", FIVE), limits.fail("a", Waits()), limits.waiting("a"),
                 limits.clear("a")):  # fmt: skip
        with pytest.raises(Unavailable):
            await verb


def test_only_one_process_gets_the_lock_and_the_next_when_it_lets_go(tmp_path: Path) -> None:
    lock = RunLock.take(tmp_path / "run")
    assert lock is not None
    assert _take_in_another_process(tmp_path / "run") == "taken"
    assert RunLock.take(tmp_path / "run") is None
    lock.release()
    lock.release()
    assert _take_in_another_process(tmp_path / "run") == "free"


def test_the_lock_dies_with_its_process(tmp_path: Path) -> None:
    # the child takes it and ends without letting go
    assert _take_in_another_process(tmp_path) == "free"
    lock = RunLock.take(tmp_path)
    assert lock is not None
    lock.release()


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "limits.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="run_directory"):
        RunLock.take(tmp_path)
    assert not (tmp_path / "elsewhere").exists()


async def test_close_releases_the_lock(tmp_path: Path) -> None:
    limits = MemoryLimits(ManualClock(), RunLock.take(tmp_path))
    assert RunLock.take(tmp_path) is None
    await limits.close()
    again = RunLock.take(tmp_path)
    assert again is not None
    again.release()


def _take_in_another_process(directory: Path) -> str:
    done = subprocess.run([sys.executable, "-c", TAKE, str(directory)], capture_output=True, text=True, check=True)
    return done.stdout.strip()
