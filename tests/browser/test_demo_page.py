"""The demo's page and the pages behind mailed links in a real browser, with scripts and without."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from admit.demo.accounts import Cast, load
from admit.demo.home import Home
from tests.parts.servers import Servers

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

NEW_PASSWORD = "Wholly Different 2 Words?"


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Cast]]:
    """A running demo: where it is, and who is in it."""
    folder = tmp_path_factory.mktemp("demo")
    servers = Servers(folder)
    try:
        server = servers.admit(verb="demo", cwd=folder)
        yield f"http://127.0.0.1:{server.port}", load(Home(Path(folder) / ".admit"))
    finally:
        servers.close()


@pytest_asyncio.fixture(loop_scope="session")
async def plain(browser: Browser) -> AsyncIterator[Page]:
    """A page in a browser that runs no scripts."""
    context = await browser.new_context(java_script_enabled=False)
    try:
        yield await context.new_page()
    finally:
        await context.close()


@pytest.fixture(params=["scripts", "no scripts"])
def surfer(request: pytest.FixtureRequest, page: Page, plain: Page) -> Page:
    """A page with scripts, and one without."""
    return page if request.param == "scripts" else plain


async def choose(page: Page, way: str, trial: str, who: str | None = None) -> None:
    """Sends one of the forms, and waits until what happened is shown."""
    form = page.locator(f"form[action^='/try/{way}']")
    await form.locator("[name=trial]").select_option(label=trial)
    if who is not None:
        await form.locator("[name=who]").select_option(label=who)
    await form.locator("button").click()
    await page.locator(f"form.way.on[action^='/try/{way}']").wait_for()


async def statuses(page: Page) -> list[str]:
    return await page.locator("#result .exchange > summary .tag").all_inner_texts()


async def test_each_way_in_is_tried_and_explained(surfer: Page, demo: tuple[str, Cast]) -> None:
    url, _ = demo
    await surfer.goto(url)
    assert await surfer.locator("#result").inner_text() != ""
    await choose(surfer, "jwt", "Write a post", "editor")
    assert await statuses(surfer) == ["200 OK", "201 Created"]
    await choose(surfer, "session", "Write without the CSRF token", "editor")
    assert await statuses(surfer) == ["200 OK", "403 Forbidden"]
    assert "csrf_missing" in await surfer.locator("#result .why li.no-row").inner_text()
    await choose(surfer, "key", "Read the posts")
    assert await statuses(surfer) == ["200 OK"]
    assert "Production Server" in await surfer.locator("#result").inner_text()
    await choose(surfer, "spa", "Load the page again, then read", "member")
    assert await statuses(surfer) == ["200 OK"] * 3
    await choose(surfer, "limited", "Six requests in a row")
    assert (await statuses(surfer))[-1] == "429 Too Many Requests"


async def test_from_sign_up_to_the_account_through_the_outbox(surfer: Page, demo: tuple[str, Cast]) -> None:
    url, _ = demo
    name = f"new{id(surfer) % 1_000_000}"
    await surfer.goto(f"{url}/auth/ui/register")
    await surfer.fill("[name=username]", name)
    await surfer.fill("[name=email]", f"{name}@demo.test")
    await surfer.fill("[name=password]", "short")
    await surfer.click("text=Create account")
    assert "at least 12 characters" in await surfer.locator("#password-note .error").inner_text()
    assert await surfer.input_value("[name=username]") == name
    await surfer.fill("[name=password]", NEW_PASSWORD)
    await surfer.click("text=Create account")
    await surfer.locator("h1:text('Look into your mail')").wait_for()
    await open_mail(surfer, url, name)
    await surfer.click("text=Confirm address")
    await surfer.click("text=Go to your account")
    await surfer.fill("[name=identifier]", name)
    await surfer.fill("[name=password]", NEW_PASSWORD)
    await surfer.click("button:text('Sign in')")
    await surfer.locator("h1:text('Your account')").wait_for()
    assert "confirmed" in await surfer.locator("dl").inner_text()
    cookies = {cookie["name"]: cookie for cookie in await surfer.context.cookies()}
    assert cookies["admit-session"]["httpOnly"]
    await surfer.click("button:text('Sign out')")
    await surfer.locator("h1:text('Sign in')").wait_for()


async def open_mail(page: Page, url: str, name: str) -> None:
    """Follows the link of the newest mail to someone; mails are written a moment after they were asked for."""
    for _ in range(100):
        await page.goto(url)
        mail = page.locator("details.mail", has_text=f"{name}@demo.test").first
        if await mail.count():
            link = await mail.locator("a").first.get_attribute("href")
            assert link is not None
            assert link.startswith(url)
            await page.goto(link)
            return
    raise AssertionError(f"no mail to {name}")


async def test_with_scripts_only_the_result_changes(page: Page, demo: tuple[str, Cast]) -> None:
    url, _ = demo
    await page.goto(url)
    await page.evaluate("window.stayed = true")
    await choose(page, "key", "Read the posts")
    assert await page.evaluate("window.stayed") is True
    assert await page.evaluate("document.activeElement.id") == "result"
    assert await page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_nothing_is_refused_by_the_policy_and_nothing_comes_from_elsewhere(
    page: Page, demo: tuple[str, Cast]
) -> None:  # fmt: skip
    url, _ = demo
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/auth/ui/login", "/auth/ui/register", "/auth/ui/forgot", "/auth/ui/reset?ticket=x"):
        await page.goto(url + path)
    await page.goto(url)
    await choose(page, "jwt", "Read the posts", "member")
    assert said == []
    assert all(address.startswith((url, "data:")) for address in asked), asked


async def test_it_fits_a_phone_and_works_by_keyboard(page: Page, demo: tuple[str, Cast]) -> None:
    url, cast = demo
    await page.set_viewport_size({"width": 360, "height": 740})
    for path in ("/", "/auth/ui/login", "/auth/ui/register"):
        await page.goto(url + path)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, path
    await page.goto(url)
    await choose(page, "jwt", "Delete the newest post", "member")
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await page.goto(f"{url}/auth/ui/login")
    await page.keyboard.type("member")
    await page.keyboard.press("Tab")
    await page.keyboard.type(cast.password("member"))
    await page.keyboard.press("Enter")
    await page.locator("h1:text('Your account')").wait_for()


async def test_a_password_can_be_shown_and_pasted(page: Page, demo: tuple[str, Cast]) -> None:
    url, _ = demo
    await page.goto(f"{url}/auth/ui/login")
    field = page.locator("[name=password]")
    await field.evaluate(
        "field => { const data = new DataTransfer(); data.setData('text', 'x'); "
        "if (!field.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data, cancelable: true}))) "
        "throw new Error('pasting is blocked') }"
    )
    await page.click("button:text('Show')")
    assert await field.get_attribute("type") == "text"
    await page.click("button:text('Hide')")
    assert await field.get_attribute("type") == "password"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_theme_follows_the_system_until_someone_chooses(
    browser: Browser, demo: tuple[str, Cast], scheme: str
) -> None:  # fmt: skip
    url, _ = demo
    other = {"light": "dark", "dark": "light"}[scheme]
    context = await browser.new_context(color_scheme=scheme)
    try:
        page = await context.new_page()
        await page.goto(url)
        before = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        await page.click(f"button.to-{other}")
        await page.locator(f"html[data-theme={other}]").wait_for()
        assert await page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    finally:
        await context.close()
