"""Valkey (or Redis 7 and later): what may be lost at any moment. Truth never stands here."""

from admit.stores.valkey.client import Valkey

__all__ = ["Valkey"]
