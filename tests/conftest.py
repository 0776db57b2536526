"""Real parts as fixtures. A part that is missing skips the test on a desk, and fails it in CI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from scripts.proof import requirements
from tests.parts import chromium as chromium_part
from tests.parts import nginx as nginx_part
from tests.parts import postgres as postgres_part
from tests.parts import valkey as valkey_part
from tests.parts.certificates import Authority
from tests.parts.missing import PartMissing, without
from tests.parts.servers import Servers
from tests.parts.smtp import SmtpSink

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

#: marker -> what looks for the part, and the fixtures that need it
_FINDERS: dict[str, Callable[[], object]] = {
    "postgres": postgres_part.find_binaries,
    "valkey": valkey_part.find_binary,
    "browser": chromium_part.find_binary,
    "nginx": nginx_part.find_binary,
}
_REQUIREMENTS = frozenset(requirements())
_FIXTURES = {"postgres": "postgres", "valkey": "valkey", "browser": "browser", "nginx": "nginx"}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark each test by the parts its fixtures need: `-m "not browser"` then leaves out exactly those."""
    names = getattr(item, "fixturenames", ())
    for fixture, marker in _FIXTURES.items():
        if fixture in names:
            item.add_marker(marker)
    # one browser serves the whole run, and its objects live on the event loop that made them
    if "browser" in names:
        item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: do the requirements exist that the markers name, and are the parts there?"""
    for marker in item.iter_markers("proof"):
        if wrong := [name for name in marker.args if name not in _REQUIREMENTS]:
            pytest.fail(f"docs/security/requirements.tsv has no {', '.join(wrong)}", pytrace=False)
    for part, find in _FINDERS.items():
        if item.get_closest_marker(part):
            try:
                find()
            except PartMissing as missing:
                without(missing)


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgres_part.TempPostgres]:
    """The PostgreSQL server of this test process. To take it down in a test, start a TempPostgres of your own."""
    server = postgres_part.TempPostgres()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture(scope="session")
def pg_template() -> str:
    """The template of each test's database; empty here. Override it with `postgres.template(name, fill)`."""
    return postgres_part.EMPTY


@pytest.fixture
def pg_database(postgres: postgres_part.TempPostgres, pg_template: str) -> Iterator[str]:
    """The URL of a fresh database, a copy of `pg_template`."""
    with postgres.database(pg_template) as url:
        yield url


@pytest.fixture
def pg_empty(postgres: postgres_part.TempPostgres) -> Iterator[str]:
    """The URL of a fresh, empty database, whatever `pg_template` is."""
    with postgres.database() as url:
        yield url


@pytest.fixture(scope="session")
def valkey() -> Iterator[valkey_part.TempValkey]:
    """The Valkey server of this test process. To take it down in a test, start a TempValkey of your own."""
    server = valkey_part.TempValkey()
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def valkey_url(valkey: valkey_part.TempValkey) -> str:
    """`redis://…` of an empty Valkey."""
    valkey.flush()
    return valkey.url


@pytest.fixture
def smtp() -> Iterator[SmtpSink]:
    """A listening mail server: `.host`, `.port`, `.mails`, `.wait_for(n)`, `.refuse(line)`, `.stop()`, `.start()`."""
    sink = SmtpSink().start()
    try:
        yield sink
    finally:
        sink.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The certificate authority that the parts of this run trust."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def nginx() -> Iterator[Callable[..., nginx_part.Nginx]]:
    """`nginx(servers, *ports)` runs one with these server blocks; ended after the test."""
    running: list[nginx_part.Nginx] = []

    def start(servers: str, *ports: int) -> nginx_part.Nginx:
        proxy = nginx_part.Nginx(servers, *ports)
        running.append(proxy)
        return proxy.start()

    yield start
    for proxy in running:
        proxy.stop()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Starts servers under test as real processes; all ended after the test."""
    started = Servers(tmp_path)
    try:
        yield started
    finally:
        started.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The one Chromium of this test process."""
    async with chromium_part.chromium() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page in a fresh context (no cookies); an uncaught script error on it fails the test."""
    context = await browser.new_context()
    opened = await context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    try:
        yield opened
    finally:
        await context.close()
    assert not errors, f"script errors on the page: {errors}"
