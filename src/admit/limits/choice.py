"""Which store of limits the settings ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from admit.ground.clock import Clock
from admit.ground.errors import SettingsError
from admit.ground.work import Work
from admit.limits.memory import LOCK, MemoryLimits, RunLock
from admit.limits.sql import SqlLimits
from admit.limits.store import LimitStore
from admit.limits.valkey import ValkeyLimits
from admit.stores.valkey import Valkey

if TYPE_CHECKING:
    from admit.settings import Settings


def open_limits(settings: Settings, work: Work, clock: Clock, *, valkey: Valkey | None = None) -> LimitStore:
    """The store of `limits.store`; `auto` is Valkey where there is one, else the database.

    `valkey` is a client to share, which stays open; without it one is opened from the settings. Raises
    `SettingsError` when memory is asked for and another process counts there, or Valkey and there is no URL.
    """
    # auto never means memory: the process that got the lock would count there and its neighbours in the database,
    # and two processes on two hosts would both get theirs
    chosen = settings.limits.store
    if chosen == "auto":
        chosen = "valkey" if valkey is not None or settings.valkey else "sql"
    if chosen == "sql":
        return SqlLimits(work)
    if chosen == "memory":
        return _in_memory(settings, clock)
    if valkey is not None:
        return ValkeyLimits(valkey, clock)
    if settings.valkey is None:
        raise SettingsError("limits.store is valkey, but no valkey URL is set")
    return ValkeyLimits(Valkey(settings.valkey), clock, owned=True)


def _in_memory(settings: Settings, clock: Clock) -> MemoryLimits:
    if (lock := RunLock.take(settings.run_directory)) is None:
        raise SettingsError(
            f"limits.store is memory, but another process holds {LOCK} in the run directory: each would allow the "
            "whole limit. Use one worker, or limits.store = sql"
        )
    return MemoryLimits(clock, lock)
