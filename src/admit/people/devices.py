"""Known devices: a random secret in a cookie of a browser where an account has signed in, its digest in the store.

A known device is spared the limit that strangers can use up for an identifier: guessing locks nobody out at home.
It proves nothing else, and it is known for one account only: planted in another's browser it is replaced.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from datetime import timedelta

from admit.crypto.opaque import sha256
from admit.ground.clock import micros
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.stores.sql import passwords as rows

KNOWN_FOR = timedelta(days=180)  # since the last sign-in there
_TEXT = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_NONE = bytes(32)


def digest(text: str | None) -> bytes:
    """What is stored of a device's secret; of anything that is none, a digest that no device has."""
    return sha256(text.encode()) if text is not None and _TEXT.fullmatch(text) else _NONE


def remember(kit: Kit, tx: Tx, user: bytes, presented: str | None, via: Via) -> str:
    """Makes the browser known for `user` and returns what its cookie holds.

    `presented` is its cookie if that is known for this user already; else there is a new secret, so that nobody who
    put a cookie there knows it.
    """
    until = tx.now + micros(KNOWN_FOR)
    if presented is not None:
        rows.keep_device(tx, digest(presented), user, until)
        return presented
    text = urlsafe_b64encode(kit.random(32)).rstrip(b"=").decode()
    rows.add_device(tx, digest(text), user, until, via.agent)
    return text
