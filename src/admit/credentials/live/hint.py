"""Eight bytes that every process of one host shares: they move after each commit that voids something.

A hint says only "ask again"; a lost, doubled or forged one costs one query.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_WORD = struct.Struct("=Q")


class Hint(Protocol):
    """Something that moves when voids were committed."""

    def read(self) -> int:
        """The present value; any other value than before means: poll."""
        ...

    def bump(self) -> None:
        """Moves the value."""
        ...

    def close(self) -> None: ...


class LocalHint:
    """For a store that no other process can see."""

    def __init__(self) -> None:
        self._value = 0

    def read(self) -> int:
        return self._value

    def bump(self) -> None:
        # nobody else needs to hear of it: the committing process applies its own voids
        return

    def close(self) -> None:
        return


class SharedHint:
    """The eight bytes in a file of the run directory, mapped into every process of this host."""

    def __init__(self, path: Path, random: Callable[[int], bytes]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            if file.tell() < _WORD.size:
                file.write(bytes(_WORD.size))
                file.flush()
            self._map = mmap.mmap(file.fileno(), _WORD.size)
        self._random = random

    def read(self) -> int:
        # closed: -1 is no value of the word, so nothing is fresh any more
        return -1 if self._map.closed else int(_WORD.unpack_from(self._map)[0])

    def bump(self) -> None:
        if self._map.closed:
            return
        # a fresh random value instead of value + 1: two processes that add at once would lose one step
        self._map[:] = self._random(_WORD.size)

    def close(self) -> None:
        self._map.close()
