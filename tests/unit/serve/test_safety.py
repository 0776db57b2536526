"""What stops a production start, each alone; and that a machine of one's own is not bothered."""

from __future__ import annotations

from typing import Any

import pytest

from admit.crypto.sealing import generate
from admit.serve.safety import check
from admit.settings import Settings

SAFE: dict[str, Any] = {"issuer": "https://id.example.com", "secret": generate()}


def test_a_safe_set_up_starts() -> None:
    assert check(Settings(**SAFE), "0.0.0.0") == []


@pytest.mark.proof("ASVS-12.2.1", "ASVS-13.3.1")
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"issuer": "http://id.example.com"}, "issuer is http:"),
        ({"secret": None}, "ADMIT_SECRET"),
        ({"passwords": {"hash": "cheap"}}, "passwords.hash"),
        ({"passwords": {"hash": "cheap-bcrypt"}}, "passwords.hash"),
        ({"database": "sqlite://"}, "database is in memory:"),
        ({"cors": {"origins": ("*",)}}, "cors.origins holds *"),
        ({"cors": {"origins": ("https://*.example.com",)}}, "cors.origins"),
        ({"cors": {"origins": ("null",)}}, "cors.origins"),
        ({"cors": {"origins": ("http://app.example.com",)}}, "cors.origins"),
        ({"trusted_proxies": ("0.0.0.0/0",)}, "trusted_proxies"),
        ({"hosts": ("*.example.com",)}, "hosts"),
        ({"mail": {"host": "mail.example.com", "tls": "none"}}, "mail.tls"),
    ],
)
def test_each_unsafe_setting_is_named_alone_with_its_mend(change: dict[str, Any], named: str) -> None:
    (problem,) = check(Settings(**{**SAFE, **change}), "127.0.0.1")
    assert named in problem
    assert any(word in problem for word in ("Set ", "Name ", "Use ", "Make "))


def test_a_loopback_issuer_behind_an_open_address_is_production() -> None:
    settings = Settings(secret=generate())  # type: ignore[arg-type]
    assert check(settings, "127.0.0.1") == check(settings, "::1") == check(settings, "localhost") == []
    (problem,) = check(settings, "0.0.0.0")
    assert "listens on 0.0.0.0" in problem


def test_anything_goes_on_ones_own_machine() -> None:
    assert check(Settings(passwords={"hash": "cheap"}, database="sqlite://")) == []  # type: ignore[arg-type]
