"""Where outgoing calls may go: the shape of the URL first, then each address its name leads to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import Literal, get_args

import httpx2

from admit.ground.errors import AdmitError
from admit.outbound.addresses import Address, Network, inner_form, is_public, networks

OutboundReason = Literal[
    "url", "scheme", "userinfo", "host", "port", "address", "redirect", "encoding", "too_large", "request"
]
OUTBOUND_REASONS: frozenset[str] = frozenset(get_args(OutboundReason))
_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST_URL = 4096


class OutboundRefused(AdmitError):
    """An outgoing call that is not made, or whose answer is not taken.

    `reason` is one of `OUTBOUND_REASONS`. The text says no more: which address a name led to, or what
    answered there, would make this a scanner of our own network.
    """

    def __init__(self, reason: OutboundReason) -> None:
        super().__init__(f"outgoing call refused: {reason}")
        self.reason: OutboundReason = reason


@dataclass(frozen=True, slots=True)
class AllowPrivate:
    """A weakening: `origin` (such as `https://idp.corp.example:8443`) may lie in `network` (`10.0.0.0/8`).

    Bound to one origin, so that no other name can be led there. `ValueError` when either cannot be read.
    """

    origin: str
    network: str
    scheme: str = field(init=False, repr=False)
    host: str = field(init=False, repr=False)
    port: int = field(init=False, repr=False)
    inside: Network = field(init=False, repr=False)

    def __post_init__(self) -> None:
        url = httpx2.URL(self.origin)
        if url.scheme not in _PORTS or not url.host or url.userinfo or url.raw_path != b"/":
            raise ValueError(f"{self.origin!r} is not an origin such as https://name:8443")
        object.__setattr__(self, "scheme", url.scheme)
        object.__setattr__(self, "host", _host(url))
        object.__setattr__(self, "port", url.port or _PORTS[url.scheme])
        object.__setattr__(self, "inside", next(iter(networks(self.network))))


@dataclass(frozen=True, slots=True)
class Rules:
    """What an outgoing call may reach and how much it may cost.

    `hosts`: exact names that may be called, None for any public one (ASVS 13.2.4). `refuse`: further networks
    that are somebody's inside, such as a NAT64 prefix of your own. `body`: the longest answer in bytes.
    `connect`: for one address; `total`: for the whole call, redirects and body included.
    """

    hosts: frozenset[str] | None = None
    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] = frozenset({80, 443})
    allow_private: frozenset[AllowPrivate] = frozenset()
    refuse: frozenset[Network] = frozenset()
    body: int = 1 << 20
    connect: timedelta = timedelta(seconds=3)
    total: timedelta = timedelta(seconds=10)

    def __post_init__(self) -> None:
        if unknown := self.schemes - _PORTS.keys():
            raise ValueError(f"schemes: http and https only, not {', '.join(sorted(unknown))}")

    def check(self, url: str | httpx2.URL) -> httpx2.URL:
        """The parsed `url`, once its shape may be called; `OutboundRefused` otherwise.

        Asks no resolver, so it is for the moment when somebody registers a URL. The addresses behind the name
        are checked at each connection, since a name may change what it means at any time.
        """
        parsed = _parse(url)
        if parsed.userinfo:  # https://trusted.example@evil.example reads as the wrong host
            raise OutboundRefused("userinfo")
        if parsed.scheme not in _PORTS:
            raise OutboundRefused("scheme")
        host = _host(parsed)
        port = _PORTS[parsed.scheme] if parsed.port is None else parsed.port
        literal = _literal(host)
        if literal is None and not _is_name(host):
            raise OutboundRefused("host")
        if not self._allowed(parsed.scheme, host, port):
            self._check_open(parsed.scheme, host, port)
        if literal is not None:
            self.check_address(literal, host, port)
        return parsed

    def check_address(self, address: Address, host: str, port: int) -> Address:
        """The address to dial for `host`; `OutboundRefused` when it is neither public nor allowed."""
        inner = inner_form(address)
        # a mapped address is plain IPv4; a NAT64 one is dialled as it is: that network has no IPv4 of its own
        dialled = address if getattr(address, "ipv4_mapped", None) is None else inner
        for allowed in self.allow_private:
            if (allowed.host, allowed.port) == (host.rstrip("."), port) and inner in allowed.inside:
                return dialled
        if not is_public(address) or any(address in block or inner in block for block in self.refuse):
            raise OutboundRefused("address")
        return dialled

    def _allowed(self, scheme: str, host: str, port: int) -> bool:
        return any((a.scheme, a.host, a.port) == (scheme, host, port) for a in self.allow_private)

    def _check_open(self, scheme: str, host: str, port: int) -> None:
        if scheme not in self.schemes:
            raise OutboundRefused("scheme")
        if port not in self.ports:
            raise OutboundRefused("port")
        if self.hosts is not None and host not in self.hosts:
            raise OutboundRefused("host")
        if host == "localhost" or host.endswith(".localhost"):  # RFC 6761 6.3: always loopback
            raise OutboundRefused("address")


def _parse(url: str | httpx2.URL) -> httpx2.URL:
    text = str(url)
    # a backslash, a space or a control character is where two parsers of one URL begin to disagree
    if len(text) > _LONGEST_URL or any(c <= " " or c in "\\\x7f" for c in text):
        raise OutboundRefused("url")
    try:
        parsed = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        parsed = None
    if parsed is None or (parsed.scheme in _PORTS and not parsed.raw_host):
        raise OutboundRefused("url")
    return parsed


def _host(url: httpx2.URL) -> str:
    return url.raw_host.decode("ascii").lower().rstrip(".")


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_name(host: str) -> bool:
    labels = host.split(".")
    # 2130706433, 0x7f.1 and 127.1 are 127.0.0.1 for the resolver: a last label that is a number is no name
    return len(host) <= 253 and all(map(_LABEL.fullmatch, labels)) and not _NUMBER.fullmatch(labels[-1])
