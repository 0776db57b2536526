"""Settings that contradict each other, or promise what is not there, stop the start."""

from __future__ import annotations

from typing import Any

import pytest

from admit import SettingsError
from admit.settings import load


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sessions": {"store": "valkey"}}, "no valkey URL is set"),
        ({"identifiers": frozenset({"phone"})}, "identifiers: username, email, or both"),
        ({"rights": {"roles": {"editor": ("write:posts",)}}}, "names unknown scopes: write:posts"),
        ({"rights": {"default_roles": ("nobody",)}}, "names unknown roles: nobody"),
        ({"tokens": {"algorithm": "HS256", "audience": ("a", "b")}}, "HS256 is for one audience"),
        ({"tokens": {"acces_for": 900}}, "tokens.acces_for"),
        ({"issuer": "ftp://login.example"}, "issuer: "),
        ({"prefix": "auth/"}, "prefix: "),
    ],
)
def test_the_text_names_the_setting(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load(**wrong)


def test_nothing_secret_is_in_the_text() -> None:
    with pytest.raises(SettingsError) as refused:
        load(secret="correct horse battery staple", nonsense=1)
    assert "correct horse" not in str(refused.value)
