"""The mounts of the flow tests: FastAPI, Starlette, bare ASGI, and /a/b behind nginx, prefix stripped and kept."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager as Opening
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from admit import Admit
from admit.crypto.sealing import generate
from admit.testing.clock import ManualClock
from tests.flows.stand import RIGHTS, Mailbox, Stand, behind_proxy, in_process
from tests.parts.nginx import Nginx
from tests.parts.ports import free_port

ISSUER = "http://127.0.0.1:8000"
NEAR = ("fastapi", "starlette", "asgi")
BEHIND = tuple(pytest.param(name, marks=pytest.mark.nginx) for name in ("stripped", "kept"))
Open = Callable[..., Opening[Stand]]


class Proxy(NamedTuple):
    """One nginx with a door for each way of forwarding; both lead to the application's port."""

    stripped: int
    kept: int
    application: int


@pytest.fixture(scope="session")
def proxy() -> Iterator[Proxy]:
    """nginx, which keeps running; each test serves its application where nginx looks for it."""
    ports = Proxy(free_port(), free_port(), free_port())
    forward = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"
    to = f"http://127.0.0.1:{ports.application}"
    server = Nginx(
        f"server {{ listen 127.0.0.1:{ports.stripped}; location /a/b/ {{ proxy_pass {to}/; {forward} }} }}\n"
        f"server {{ listen 127.0.0.1:{ports.kept}; location /a/b/ {{ proxy_pass {to}; {forward} }} }}\n",
        ports.stripped,
        ports.kept,
    )
    server.start()
    try:
        yield ports
    finally:
        server.stop()


@pytest.fixture
def clock() -> ManualClock:
    """Time that moves when a test says so."""
    return ManualClock()


@pytest.fixture
def admit(clock: ManualClock, tmp_path: Path) -> Callable[..., Admit]:
    """Makes an Admit on a database in memory; options as `Admit` takes them."""

    def make(**options: Any) -> Admit:
        given: dict[str, Any] = {
            "database": "sqlite://", "passwords": {"hash": "cheap"}, "clock": clock, "issuer": ISSUER,
            "run_directory": tmp_path, **RIGHTS,
        }  # fmt: skip
        if not options.get("issuer", ISSUER).startswith("http://127."):
            # outside loopback there is no default for these
            given |= {"secret": generate(), "mailer": Mailbox()}
        return Admit(**{**given, **options})

    return make


@pytest.fixture
def opened(request: pytest.FixtureRequest, admit: Callable[..., Admit], clock: ManualClock) -> Open:
    """`async with opened("fastapi", …options)`: an application in one of the five mounts."""

    def start(mount: str, *, cors_own: bool = False, **options: Any) -> Opening[Stand]:
        if mount in NEAR:
            return in_process(mount, admit(**options), clock, cors=cors_own)
        proxy: Proxy = request.getfixturevalue("proxy")
        issuer = f"http://127.0.0.1:{getattr(proxy, mount)}/a/b"
        auth = admit(**{"issuer": issuer, "trusted_proxies": ("127.0.0.1",), **options})
        return behind_proxy("fastapi", auth, clock, proxy.application, mounted="/a/b" if mount == "kept" else "")

    return start


@pytest.fixture(params=[*NEAR, *BEHIND])
def mount(request: pytest.FixtureRequest) -> str:
    """Each of the five mounts."""
    return str(request.param)


@pytest.fixture
async def stand(mount: str, opened: Open) -> AsyncIterator[Stand]:
    """The application in each mount, with default settings."""
    async with contextlib.AsyncExitStack() as stack:
        yield await stack.enter_async_context(opened(mount))


@pytest.fixture
async def house(opened: Open) -> AsyncIterator[Stand]:
    """The application in FastAPI alone, for what has nothing to do with the mount."""
    async with contextlib.AsyncExitStack() as stack:
        yield await stack.enter_async_context(opened("fastapi"))
