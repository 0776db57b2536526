"""Which store the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from admit.ground.errors import SettingsError
from admit.ground.work import Tx
from admit.limits import LimitStore, MemoryLimits, SqlLimits, ValkeyLimits, open_limits
from admit.settings import LimitSettings, Settings
from admit.stores.valkey import Valkey
from admit.testing.clock import ManualClock

T = TypeVar("T")
URL = "redis://127.0.0.1:1/0"


class _Untouched:
    """Opening must not ask the database anything."""

    async def write(self, body: Callable[[Tx], T]) -> T:
        raise AssertionError(body)

    read = write


def _open(directory: Path, store: str, url: str | None, valkey: Valkey | None = None) -> LimitStore:
    limits = LimitSettings.model_validate({"store": store})
    settings = Settings(limits=limits, valkey=url, run_directory=directory)
    return open_limits(settings, _Untouched(), ManualClock(), valkey=valkey)


@pytest.mark.parametrize(
    ("store", "url", "kind"),
    [
        ("auto", None, SqlLimits),
        ("auto", URL, ValkeyLimits),
        ("sql", URL, SqlLimits),
        ("valkey", URL, ValkeyLimits),
        ("memory", URL, MemoryLimits),
    ],
)
async def test_each_setting_opens_its_store(store: str, url: str | None, kind: type, tmp_path: Path) -> None:
    opened = _open(tmp_path, store, url)
    assert type(opened) is kind
    await opened.close()


async def test_memory_for_a_second_process_stops_the_start(tmp_path: Path) -> None:
    first = _open(tmp_path, "memory", None)
    with pytest.raises(SettingsError, match=r"limits\.store"):
        _open(tmp_path, "memory", None)
    await first.close()
    await _open(tmp_path, "memory", None).close()


async def test_auto_is_never_memory_so_that_neighbours_count_in_one_place(tmp_path: Path) -> None:
    assert [type(_open(tmp_path, "auto", None)) for _ in range(2)] == [SqlLimits, SqlLimits]


def test_valkey_without_a_url_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="valkey"):
        _open(tmp_path, "valkey", None)


async def test_a_shared_client_is_used_and_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Valkey(URL)

    async def close() -> None:
        raise AssertionError("the client belongs to somebody else")

    monkeypatch.setattr(client, "close", close)
    for store in ("auto", "valkey"):
        opened = _open(tmp_path, store, None, client)
        assert type(opened) is ValkeyLimits
        await opened.close()


@pytest.mark.parametrize("url", ["", "127.0.0.1:6379", "http://127.0.0.1:6379", "redis://:hidden-word@host:port/0"])
def test_a_url_that_cannot_be_used_stops_the_start_and_is_not_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ADMIT_VALKEY") as caught:
        _open(tmp_path, "valkey", url) if url else Valkey(url)
    assert "hidden-word" not in str(caught.value)
    assert caught.value.__cause__ is None
