"""Is this credential alive, and what may it do? The truth read, the cache in front of it, and the feed that voids."""

from admit.credentials.live.cache import Verified
from admit.credentials.live.feed import Feed
from admit.credentials.live.live import Live
from admit.credentials.live.truth import Truth

__all__ = ["Feed", "Live", "Truth", "Verified"]
