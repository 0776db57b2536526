"""Swagger's Authorize works with each way in: a token, an API key, a session with its CSRF token."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from admit.demo.accounts import Cast, load
from admit.demo.home import Home
from tests.parts.servers import Servers

if TYPE_CHECKING:
    from playwright.async_api import Page


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Cast]]:
    folder = tmp_path_factory.mktemp("demo")
    servers = Servers(folder)
    try:
        server = servers.admit(verb="demo", cwd=folder)
        yield f"http://127.0.0.1:{server.port}", load(Home(Path(folder) / ".admit"))
    finally:
        servers.close()


async def authorize(page: Page, **values: str) -> None:
    """Fills in the schemes of the Authorize dialog and closes it."""
    await page.get_by_role("button", name="Authorize").first.click()
    for scheme, value in values.items():
        box = page.locator(".auth-container", has=page.locator("h4").filter(has_text=re.compile(rf"^{scheme}\b")))
        await box.locator("input[type=text], input[type=password]").first.fill(value)
        await box.get_by_role("button", name="Apply credentials").click()
    await page.locator(".close-modal").click()


async def execute(page: Page, operation: str, **parameters: Any) -> str:
    """Runs an operation through the page; the status that Swagger shows."""
    block = page.locator(f"#operations-{operation}")
    await block.locator(".opblock-summary").click()
    await block.get_by_role("button", name="Try it out").click()
    for name, value in parameters.items():
        await block.locator(f"tr[data-param-name={name}] input").fill(str(value))
    await block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table .response-col_status").last
    await status.wait_for()
    return (await status.inner_text()).split()[0]


def token_of(url: str, cast: Cast) -> str:
    body = {"identifier": "editor", "password": cast.password("editor")}
    return str(httpx2.post(f"{url}/auth/login", json=body).json()["access_token"])


async def test_a_token_authorizes(page: Page, demo: tuple[str, Cast]) -> None:
    url, cast = demo
    await page.goto(f"{url}/docs")
    await authorize(page, bearer=token_of(url, cast))
    assert await execute(page, "default-delete_post_posts__post_id__delete", post_id=999_999) == "404"


async def test_an_api_key_authorizes(page: Page, demo: tuple[str, Cast]) -> None:
    url, cast = demo
    headers = {"Authorization": f"Bearer {token_of(url, cast)}"}
    body = {"name": "Swagger", "scopes": ["delete:posts"]}
    key = httpx2.post(f"{url}/auth/api-keys", json=body, headers=headers).json()["key"]
    await page.goto(f"{url}/docs")
    await authorize(page, apiKey=key)
    assert await execute(page, "default-delete_post_posts__post_id__delete", post_id=999_999) == "404"


async def test_a_session_with_its_csrf_token_authorizes(page: Page, demo: tuple[str, Cast]) -> None:
    url, cast = demo
    await page.goto(f"{url}/docs")
    csrf = await page.evaluate(
        """async ([identifier, password]) => (await (await fetch("/auth/login", {method: "POST",
           headers: {"content-type": "application/json"},
           body: JSON.stringify({identifier, password, deliver: "session"})})).json()).csrf_token""",
        ["editor", cast.password("editor")],
    )
    await page.goto(f"{url}/docs")
    assert await execute(page, "default-delete_post_posts__post_id__delete", post_id=999_999) == "403"
    await page.goto(f"{url}/docs")
    await authorize(page, csrf=csrf)
    assert await execute(page, "default-delete_post_posts__post_id__delete", post_id=999_999) == "404"


async def test_nobody_gets_401_and_nothing_is_loaded_from_elsewhere(page: Page, demo: tuple[str, Cast]) -> None:
    url, _ = demo
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{url}/docs")
    assert await execute(page, "default-delete_post_posts__post_id__delete", post_id=1) == "401"
    assert all(one.startswith((url, "data:", "blob:")) for one in asked), asked
