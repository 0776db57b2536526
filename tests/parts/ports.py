"""Loopback ports that nobody else uses."""

from __future__ import annotations

import random
import socket

# below the range from which the system takes ports for outgoing connections: such a port could be taken between
# our look and the server's bind. SystemRandom, since Hypothesis seeds the global generator alike in every process.
_RANGE = range(12_000, 32_000)
_random = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """A TCP port on 127.0.0.1 on which nothing listens, never the same one twice in this process."""
    for _ in range(1000):
        port = _random.choice(_RANGE)
        if port not in _given and _can_bind(port):
            _given.add(port)
            return port
    raise RuntimeError("no free loopback port found")


def is_open(port: int) -> bool:
    """Whether something accepts connections on this port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
