"""Rendering: one frame, one style sheet, one content security policy with a nonce for each answer."""

from __future__ import annotations

import secrets
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from admit.pages.messages import text

STATIC = Path(__file__).parent / "static"
THEME = "admit-theme"
_THEMES = frozenset({"light", "dark"})


class Design:
    """Templates of `packages`, the first that has a name wins, then ours; `brand` is the name that people see."""

    def __init__(self, brand: str, *packages: str) -> None:
        loaders = [PackageLoader(package, "templates") for package in (*packages, "admit.pages")]
        self._environment = Environment(
            loader=ChoiceLoader(loaders), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._environment.globals.update(t=text, brand=brand)

    def page(
        self, request: Request, template: str, *, status: int = 200, script: str = "", **values: Any
    ) -> HTMLResponse:
        """An answer that no cache keeps. `script` is our own source text, sent with the page under its nonce."""
        nonce = secrets.token_urlsafe(16)
        html = self._environment.get_template(template).render(
            nonce=nonce, css=Markup(style()), script=Markup(script), theme=theme(request), **values  # noqa: S704
        )  # fmt: skip
        return HTMLResponse(html, status, headers=_headers(nonce))


def theme(request: Request) -> str | None:
    """The theme that this browser chose; None: whatever its system prefers."""
    chosen = request.cookies.get(THEME)
    return chosen if chosen in _THEMES else None


def theme_cookie(chosen: str | None) -> str | None:
    """The Set-Cookie value for a choice; None for what is no theme."""
    return f"{THEME}={chosen}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax" if chosen in _THEMES else None


@cache
def style() -> str:
    """The style sheet, which travels inside each page: one request paints everything."""
    return (STATIC / "admit.css").read_text("utf-8")


@cache
def script() -> str:
    """What the pages enhance themselves with."""
    return (STATIC / "pages.js").read_text("utf-8")


def _headers(nonce: str) -> dict[str, str]:
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src 'self' data:; "
        "connect-src 'self'; object-src 'none'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "content-security-policy": policy,
        "cache-control": "no-store",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }
