"""Who is on the other end: address, scheme and host; forwarding headers are believed from named proxies only."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.types import Scope

from admit.settings import Settings
from admit.settings.settings import is_loopback

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: where Starlette's TestClient says it is. The port too: uvicorn believes `X-Forwarded-For: testclient` from loopback
TEST_CLIENT = ("testclient", 50000)
LOOPBACK = "127.0.0.1"
_LONGEST_HOST = 255 + len(":65535")


class Peer:
    """Reads address, scheme and host of a request."""

    def __init__(self, settings: Settings) -> None:
        self._proxies: tuple[Network, ...] = tuple(
            ipaddress.ip_network(network, strict=False) for network in settings.trusted_proxies
        )
        issuer = urlsplit(settings.issuer)
        self._hosts = frozenset(host.lower() for host in (issuer.hostname or "", *settings.hosts))
        self._issuer_origin = f"{issuer.scheme}://{issuer.netloc}"
        self._needs_https = settings.secure
        self._trusts = lru_cache(4096)(self._is_proxy)
        self._serves = lru_cache(4096)(self._is_served)

    def address(self, scope: Scope) -> str:
        """The caller's address: the socket's, or the nearest one in X-Forwarded-For that is no proxy of ours."""
        address = _socket(scope)
        if not self._proxies or not self._trusts(address):
            return address
        for hop in reversed(_list(scope, b"x-forwarded-for")):
            if not _is_address(hop):
                return address
            address = hop
            if not self._trusts(hop):
                break
        return address

    def scheme(self, scope: Scope) -> str:
        """`https` or `http`; `ws` and `wss` count as theirs."""
        if self._proxies and self._from_proxy(scope):
            forwarded = _list(scope, b"x-forwarded-proto")
            if forwarded and forwarded[-1] in ("http", "https"):
                return forwarded[-1]
        return "https" if scope.get("scheme") in ("https", "wss") else "http"

    def secure_enough(self, scope: Scope) -> bool:
        """Whether a credential may be accepted on this connection (https outside loopback)."""
        return not self._needs_https or self.scheme(scope) == "https"

    def may_carry(self, scope: Scope, host: bytes | None) -> bool:
        """`secure_enough` and `knows_host` for a request with one Host header."""
        if self._needs_https and self.scheme(scope) != "https":
            return False
        return (host is not None and len(host) <= _LONGEST_HOST and self._serves(host)) or self.knows_host(scope)

    def knows_host(self, scope: Scope) -> bool:
        """Whether the Host header names the issuer, a further configured host, or loopback."""
        values = [value for name, value in scope["headers"] if name == b"host"]
        client = scope.get("client")
        if client is not None and tuple(client) == TEST_CLIENT:
            return True
        # the length first: what is asked is remembered, and must not be a memory of kilobytes each
        return len(values) == 1 and len(values[0]) <= _LONGEST_HOST and self._serves(values[0])

    def _is_served(self, host: bytes) -> bool:
        name = _host_name(host.decode("latin-1"))
        return name is not None and (name in self._hosts or is_loopback(name))

    def own_origin(self, scope: Scope, origin: str) -> bool:
        """Whether `origin` is this site: the issuer's origin, or the one the request was sent to."""
        if origin == self._issuer_origin:
            return True
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        return self.knows_host(scope) and origin == f"{self.scheme(scope)}://{host}"

    def _from_proxy(self, scope: Scope) -> bool:
        return self._trusts(_socket(scope))

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._proxies)


def _socket(scope: Scope) -> str:
    """The address at the other end. A Unix socket has none: whoever is there is on this machine, as on loopback.

    Never nothing: what has no address is counted by no limit of an address.
    """
    client = scope.get("client")
    return (client[0] if client else "") or LOOPBACK


def _list(scope: Scope, header: bytes) -> list[str]:
    values = (value.decode("latin-1") for name, value in scope["headers"] if name == header)
    return [item.strip() for value in values for item in value.split(",")]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _host_name(host: str) -> str | None:
    """The name in a Host header, without port; None for anything that is not exactly name[:port]."""
    if any(letter in host for letter in "/?#@\\ \t,%") or not host.isascii():
        return None
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname


def origins(values: Iterable[str]) -> frozenset[str]:
    """An exact allow-list of origins."""
    return frozenset(value.rstrip("/") for value in values)
