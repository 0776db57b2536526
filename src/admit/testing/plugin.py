"""The pytest plugin: a fixture that lets an application's tests act as any caller."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from admit.ground.principal import Credential, Method, Principal, Subject


@pytest.fixture
def make_principal() -> Callable[..., Principal]:
    """Makes a `Principal` for `auth.acting_as(...)`: `make_principal("read:posts", subject="usr_alice")`."""
    return principal


def principal(
    *scopes: str, subject: str = "usr_test", kind: str = "session", methods: Iterable[Method] = ()
) -> Principal:
    """A caller with these scopes, known by a session (or another kind of credential)."""
    return Principal(
        Subject("user", subject),
        Credential(kind, "ses_test"),  # type: ignore[arg-type]
        frozenset(scopes),
        methods=tuple(methods),
        ambient=kind == "session",
    )
