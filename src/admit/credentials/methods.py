"""How someone proved who they are, as one text column: `pwd@1800000000000000 otp@1800000000000001`."""

from __future__ import annotations

from collections.abc import Iterable

from admit.ground.principal import Method


def write(methods: Iterable[Method]) -> str:
    """The text form."""
    return " ".join(f"{method.name}@{method.at}" for method in methods)


def read(text: str) -> tuple[Method, ...]:
    """The methods in a text that `write` made."""
    pairs = (word.rpartition("@") for word in text.split())
    return tuple(Method(name, int(at)) for name, _, at in pairs)


def renewed(methods: Iterable[Method], newest: Method) -> tuple[Method, ...]:
    """`methods` with `newest` in place of an older proof of the same kind."""
    return (*(method for method in methods if method.name != newest.name), newest)
