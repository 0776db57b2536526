"""The page at `/`: try each strategy, see what was sent, what came back and why. All of it works without scripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from markupsafe import Markup, escape
from starlette.responses import RedirectResponse

from admit.auth import Admit
from admit.demo import accounts
from admit.demo.accounts import SERVICE, Cast
from admit.demo.exchange import Exchange, Visitor
from admit.demo.home import Home
from admit.demo.trials import STRATEGIES, Try
from admit.ground.clock import iso
from admit.ground.errors import Refusal
from admit.pages import forms
from admit.pages.design import Design, theme_cookie
from admit.pages.view import local
from admit.stores.sql import outbox
from admit.web.csrf import Csrf
from admit.web.peer import Peer

_SCRIPT = Path(__file__).parent / "page.js"
_STYLE = Path(__file__).parent / "page.css"
_LINK = re.compile(r"https?://[^\s<>\"]+")
_FIRST_MAILS = 8


def add_page(app: FastAPI, auth: Admit, home: Home) -> None:
    """Puts the page into the demo's application."""
    page = Page(app, auth, home)
    app.add_api_route("/", page.show, methods=["GET"], include_in_schema=False, response_model=None)
    app.add_api_route("/try/{what}", page.try_it, methods=["POST"], include_in_schema=False, response_model=None)
    app.add_api_route("/try/{what}", page.home, methods=["GET"], include_in_schema=False, response_model=None)
    app.add_api_route("/theme", page.theme, methods=["POST"], include_in_schema=False, response_model=None)


class Page:
    """The page shows passwords, so it answers this machine only, under its own names."""

    def __init__(self, app: FastAPI, auth: Admit, home: Home) -> None:
        self._app = app
        self._auth = auth
        self._home = home
        self._peer = Peer(auth.settings)
        self._csrf = Csrf((), lambda size: b"", self._peer, frozenset())
        self._design = Design("Admit demo", "admit.demo")

    async def show(self, request: Request) -> Response:
        """The page before anything was tried."""
        return await self._page(request, None, dict.fromkeys(("what", "who", "trial"), ""), ())

    async def home(self, request: Request) -> Response:
        """Someone opened the address of a form: back to the page."""
        del request
        return RedirectResponse("/", 303)

    async def try_it(self, request: Request, what: str) -> Response:
        """Runs what was chosen, in real requests to this very application, and shows each of them."""
        self._check(request)
        form = await forms.read(request)
        cast = accounts.load(self._home)
        client = request.client
        visitor = Visitor(self._app, self._auth, request.headers["host"], client.host if client else "127.0.0.1")
        chosen = {"what": what, "who": form.line("who"), "trial": form.line("trial")}
        if what == "limited":
            for _ in range(6 if chosen["trial"] == "six" else 1):
                await visitor.send("GET", "/limited")
        else:
            await self._run(what, chosen, Try(visitor, cast, chosen["who"]))
        return await self._page(request, cast, chosen, tuple(visitor.exchanges))

    async def theme(self, request: Request) -> Response:
        """Light or dark."""
        self._check(request)
        form = await forms.read(request)
        response = RedirectResponse(local(form.line("back"), "/"), 303)
        if (cookie := theme_cookie(form.line("theme"))) is not None:
            response.headers.append("set-cookie", cookie)
        return response

    async def _run(self, what: str, chosen: dict[str, str], one: Try) -> None:
        strategy = next((found for found in STRATEGIES if found.id == what), None)
        known = {person.username for person in one.cast.people}
        if strategy is None or chosen["trial"] not in strategy.trials:
            raise Refusal("request.not_found")
        if strategy.people and one.who not in known:
            raise Refusal("request.invalid", fields={"errors": [{"field": "who", "message": "Not in this demo"}]})
        await strategy.trials[chosen["trial"]][1](one)

    async def _page(
        self, request: Request, cast: Cast | None, chosen: dict[str, str], exchanges: tuple[Exchange, ...]
    ) -> Response:  # fmt: skip
        # another site's name that leads here must not get to read the passwords (DNS rebinding)
        if not self._peer.knows_host(request.scope):
            raise Refusal("request.host")
        mails = await self._auth.rooms.kit.work.read(lambda tx: outbox.list_outbox(tx, limit=_FIRST_MAILS))
        response = self._design.page(
            request, "page.html", script=_SCRIPT.read_text("utf-8"), own_css=Markup(_STYLE.read_text("utf-8")),  # noqa: S704
            cast=cast or accounts.load(self._home), service=SERVICE, strategies=STRATEGIES, chosen=chosen,
            exchanges=exchanges, mails=[_mail(mail) for mail in mails], stories=self._home.stories_file,
            ui=f"{self._auth.settings.prefix}/ui", back="/",
        )  # fmt: skip
        # not no-referrer: a form of such a page is sent with Origin: null, which nobody can tell from another site
        response.headers.update({"referrer-policy": "same-origin", "x-content-type-options": "nosniff"})
        return response

    def _check(self, request: Request) -> None:
        if not self._peer.knows_host(request.scope):
            raise Refusal("request.host")
        self._csrf.check_origin(request.scope)


def _mail(mail: outbox.Kept) -> dict[str, Any]:
    """A mail whose links can be followed."""
    text, end = Markup(), 0
    for found in _LINK.finditer(mail.text):
        text += escape(mail.text[end : found.start()]) + Markup('<a href="{0}">{0}</a>').format(found[0])
        end = found.end()
    shown = text + escape(mail.text[end:])
    return {"to": mail.recipient, "subject": mail.subject, "text": shown, "at": iso(mail.at)}
