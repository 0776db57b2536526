"""How often: limits and growing waits as values, counted in SQL, in Valkey, or in the memory of the only process."""

from admit.limits.blocks import Blocks
from admit.limits.choice import open_limits
from admit.limits.fields import headers, seconds
from admit.limits.memory import MemoryLimits, RunLock
from admit.limits.sql import SqlLimits
from admit.limits.store import LimitStore
from admit.limits.valkey import ValkeyLimits
from admit.limits.values import Hit, Limit, Waits

__all__ = [
    "Blocks",
    "Hit",
    "Limit",
    "LimitStore",
    "MemoryLimits",
    "RunLock",
    "SqlLimits",
    "ValkeyLimits",
    "Waits",
    "headers",
    "open_limits",
    "seconds",
]
