"""The shape of URLs that may be called, without any resolver."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from admit.outbound.addresses import networks
from admit.outbound.rules import OUTBOUND_REASONS, AllowPrivate, OutboundRefused, Rules

ANY = Rules(schemes=frozenset({"http", "https"}))


def reason(rules: Rules, url: str) -> str:
    with pytest.raises(OutboundRefused) as caught:
        rules.check(url)
    return caught.value.reason


def test_the_reasons_are_pinned() -> None:
    assert sorted(OUTBOUND_REASONS) == [
        "address", "encoding", "host", "port", "redirect", "request", "scheme", "too_large", "url", "userinfo",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org:443/a?b=c",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
        "https://münchen.example/",
    ],
)
def test_a_public_url_passes(url: str) -> None:
    assert Rules().check(url).scheme == "https"


@pytest.mark.proof("ASVS-1.3.6")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1/", "address"),
        ("http://127.0.0.1./", "address"),
        ("http://0.0.0.0/", "address"),
        ("http://169.254.169.254/latest/meta-data/", "address"),
        ("http://[::1]/", "address"),
        ("http://[::]/", "address"),
        ("http://[::ffff:127.0.0.1]/", "address"),
        ("http://[::ffff:7f00:1]/", "address"),
        ("http://[64:ff9b::7f00:1]/", "address"),
        ("http://[fe80::1%25eth0]/", "address"),
        ("http://localhost/", "address"),
        ("http://LOCALHOST./", "address"),
        ("http://db.localhost/", "address"),
        ("http://2130706433/", "host"),
        ("http://0x7f000001/", "host"),
        ("http://0x7f.1/", "host"),
        ("http://127.1/", "host"),
        ("http://0177.0.0.1/", "url"),
        ("http://①②⑦.⓪.⓪.①/", "url"),
        ("http://127。0。0。1/", "address"),
        ("http://%31%32%37.0.0.1/", "host"),
        ("http://a..b/", "host"),
        ("http://-a.example/", "host"),
        ("http://" + "a." * 127 + "example/", "host"),
        ("http://trusted.example@evil.example/", "userinfo"),
        ("http://trusted.example:p@evil.example/", "userinfo"),
        ("http://evil.example\\@trusted.example/", "url"),
        ("http://trusted.example/\r\nHost: evil", "url"),
        ("http://trusted.example /", "url"),
        (" http://trusted.example/", "url"),
        ("http://trusted.example/\x00", "url"),
        ("http://trusted.example/" + "a" * 5000, "url"),
        ("http:///path", "url"),
        ("https:trusted.example", "url"),
        ("http://trusted.example:x/", "url"),
        ("//trusted.example/", "scheme"),
        ("trusted.example", "scheme"),
        ("", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://trusted.example/", "scheme"),
        ("gopher://127.0.0.1:6379/_", "scheme"),
        ("ws://trusted.example/", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("http://trusted.example:22/", "port"),
        ("http://trusted.example:0/", "port"),
        ("http://trusted.example:6379/", "port"),
        ("http://trusted.example:70000/", "port"),
    ],
)
def test_a_url_that_could_lead_inside_is_refused(url: str, expected: str) -> None:
    assert reason(ANY, url) == expected


def test_http_is_refused_unless_named() -> None:
    assert reason(Rules(), "http://example.org/") == "scheme"
    with pytest.raises(ValueError, match="ftp"):
        Rules(schemes=frozenset({"https", "ftp"}))


@pytest.mark.proof("ASVS-13.2.4")
def test_with_a_list_of_hosts_no_other_is_called() -> None:
    rules = Rules(hosts=frozenset({"idp.example"}))
    assert rules.check("https://IDP.example/jwks").host == "idp.example"
    for other in (
        "https://other.example/",
        "https://idp.example.evil.example/",
        "https://xidp.example/",
        "https://8.8.8.8/",
    ):
        assert reason(rules, other) == "host"


def test_an_allowance_is_bound_to_its_origin_and_network() -> None:
    rules = Rules(allow_private=frozenset({AllowPrivate("https://idp.corp.example:8443", "10.0.0.0/8")}))
    rules.check("https://idp.corp.example:8443/jwks")
    assert reason(rules, "http://idp.corp.example:8443/jwks") == "scheme"
    assert reason(rules, "https://idp.corp.example:8444/jwks") == "port"
    assert reason(rules, "https://other.corp.example:8443/jwks") == "port"

    ten = ip_address("10.1.2.3")
    assert rules.check_address(ten, "idp.corp.example", 8443) == ten
    assert rules.check_address(ip_address("::ffff:10.1.2.3"), "idp.corp.example", 8443) == ten
    for address, host, port in [
        ("10.1.2.3", "other.example", 8443),
        ("10.1.2.3", "idp.corp.example", 443),
        ("127.0.0.1", "idp.corp.example", 8443),
    ]:
        with pytest.raises(OutboundRefused):
            rules.check_address(ip_address(address), host, port)


def test_networks_of_the_operator_are_refused_too() -> None:
    rules = Rules(refuse=networks("2a00:1:64::/96", "9.9.9.0/24"))
    for text in ("9.9.9.9", "::ffff:9.9.9.9", "64:ff9b::9.9.9.9", "2a00:1:64::a00:1"):
        with pytest.raises(OutboundRefused):
            rules.check_address(ip_address(text), "x.example", 443)
    nat64 = ip_address("64:ff9b::8.8.8.8")
    assert rules.check_address(nat64, "x.example", 443) == nat64


@pytest.mark.parametrize(
    "origin",
    [
        "idp.example",
        "ftp://idp.example",
        "https://u@idp.example",
        "https://idp.example/x",
        "https://idp.example?x",
    ],
)
def test_an_allowance_needs_an_origin(origin: str) -> None:
    with pytest.raises(ValueError, match="not an origin"):
        AllowPrivate(origin, "10.0.0.0/8")


def test_a_refusal_says_nothing_but_its_reason() -> None:
    with pytest.raises(OutboundRefused) as caught:
        ANY.check("http://10.11.12.13/secret?token=abc")
    assert str(caught.value) == "outgoing call refused: address"
