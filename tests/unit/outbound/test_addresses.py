"""Which addresses count as public."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from admit.outbound.addresses import inner_form, is_public, networks

INNER = [
    "0.0.0.0", "0.255.255.255", "10.0.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "127.0.0.1", "127.8.8.8",
    "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.250",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::10.1.2.3", "64:ff9b:1::8.8.8.8", "100::1",
    "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::1", "3fff::1",
    "2606:4700::5efe:127.0.0.1", "2606:4700::200:5efe:10.0.0.1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0",
    "fec0::1", "ff02::1", "4000::1", "5f00::1", "2606:4700::1%eth0",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
    "192.0.1.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
    "2606:4700:4700::1111", "2001:4860:4860::8888", "2003::1",
]  # fmt: skip


@pytest.mark.proof("ASVS-1.3.6")
@pytest.mark.parametrize("text", INNER)
def test_an_inner_address_is_not_public(text: str) -> None:
    assert not is_public(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_a_public_address_is_public(text: str) -> None:
    assert is_public(ip_address(text))


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("64:ff9b::10.0.0.1", "10.0.0.1"),
        ("2003::1", "2003::1"),
        ("1.1.1.1", "1.1.1.1"),
    ],
)
def test_inner_form_unwraps_what_hides_ipv4(text: str, inner: str) -> None:
    assert inner_form(ip_address(text)) == ip_address(inner)


def test_networks_refuses_what_is_no_network() -> None:
    with pytest.raises(ValueError, match="host bits"):
        networks("10.0.0.1/8")
