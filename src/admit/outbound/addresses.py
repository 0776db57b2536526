"""Which addresses the public internet is made of; everything else belongs to somebody's inside.

Lists of our own instead of `ipaddress.is_global`: its answer for one address differs between patch releases
of Python. Sources: the IANA special-purpose address registries (RFC 6890), RFC 6052, RFC 3056, RFC 5214.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_INNER_V4 = tuple(
    IPv4Network(block)
    for block in (
        "0.0.0.0/8",  # "this network"; Linux connects 0.0.0.0 to loopback
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and the metadata address of one cloud
        "127.0.0.0/8",
        "168.63.129.16/32",  # a public address that Azure answers inside each virtual machine
        "169.254.0.0/16",  # link-local, and the metadata address of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments, and one more metadata address
        "192.0.2.0/24",
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# IPv6 is listed the other way round: global unicast is one block, and these parts of it lead elsewhere
_GLOBAL_V6 = IPv6Network("2000::/3")
_INNER_V6 = tuple(
    IPv6Network(block)
    for block in (
        "2001::/23",  # protocol assignments; Teredo hides an IPv4 address in it
        "2001:db8::/32",
        "2002::/16",  # 6to4 hides an IPv4 address in it
        "3fff::/20",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = frozenset({0x0000_5EFE, 0x0200_5EFE})


def inner_form(address: Address) -> Address:
    """`address`, or the IPv4 one it stands for: IPv4-mapped (RFC 4291 2.5.5.2) or NAT64 (RFC 6052 2.1)."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    """Whether `address` is a plain unicast address of the public internet, however it is written."""
    address = inner_form(address)
    if isinstance(address, IPv4Address):
        return not any(address in block for block in _INNER_V4)
    if address.scope_id is not None or address not in _GLOBAL_V6:
        return False
    if (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:  # RFC 5214 6.1: an IPv4 address in the interface identifier
        return False
    return not any(address in block for block in _INNER_V6)


def networks(*blocks: str) -> frozenset[Network]:
    """Networks from their text, such as `networks("10.0.0.0/8")`; `ValueError` when one is none."""
    return frozenset(ip_network(block) for block in blocks)
