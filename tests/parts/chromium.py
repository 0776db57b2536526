"""The real browser, without a window, that reaches nothing but loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from tests.parts.missing import PartMissing

if TYPE_CHECKING:
    from playwright.async_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
# *.test names lead to this machine; every other name is unknown, so that no test can need the outside
_RESOLVE = "MAP *.test 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the sandbox cannot start as root, nor in most containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules={_RESOLVE}",
)


def find_binary() -> str:
    """ADMIT_TEST_CHROMIUM, or the first of its names on the path."""
    if named := os.environ.get("ADMIT_TEST_CHROMIUM"):
        return named
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    raise PartMissing("Chromium", "no chromium on the path")


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """One running browser; give each test a context of its own."""
    binary = find_binary()
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=binary, args=list(_FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
