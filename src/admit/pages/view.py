"""What every page has in common: the form's cookie and token, refusals in words, where to go on."""

from __future__ import annotations

import base64
import hashlib
import math
from typing import Any
from urllib.parse import urlsplit

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from admit.ground.errors import Refusal
from admit.pages.design import Design, script
from admit.pages.desk import Desk
from admit.pages.forms import Form
from admit.pages.messages import of_code, text
from admit.settings import Settings

_FORM_LIVES = 24 * 3600  # seconds a form may stay open
_LOCAL_LONGEST = 500
_OPEN = frozenset({"login", "register", "forgot"})  # pages that need nothing but their address


class View:
    """Shows pages. A form is bound to a cookie of its own, since before a sign-in there is no session to bind it to."""

    def __init__(self, settings: Settings, desk: Desk) -> None:
        self._desk = desk
        self._design = Design(settings.brand.capitalize())
        self._prefix = f"{settings.prefix}/ui"
        self._path = urlsplit(settings.issuer).path
        kinds = settings.identifiers
        self._values = {
            "kinds": kinds, "policy": settings.passwords.policy, "registration": settings.registration,
            "identifiers": "both" if len(kinds) > 1 else next(iter(kinds)),
        }  # fmt: skip

    def base(self, request: Request) -> str:
        """The path of the pages as a browser asks for it: a proxy may have taken the issuer's path off before."""
        return f"{self._path or request.scope.get('root_path', '')}{self._prefix}"

    def form(self, request: Request, page: str, form: Form, *, status: int = 200, **values: Any) -> Response:
        """A page with a form that belongs to nobody yet."""
        desk = self._desk
        cookie = desk.cookie(request.scope["headers"], desk.answers.cookies.form)
        fresh = cookie is None
        cookie = cookie or base64.urlsafe_b64encode(desk.random(18)).decode()
        response = self.show(
            request, page, status=status, form=form, csrf=desk.parts.csrf.issue(_binding(cookie)), **values
        )
        if fresh:
            response.raw_headers.append(desk.answers.cookies.set(desk.answers.cookies.form, cookie, lives=_FORM_LIVES))
        return response

    def check(self, request: Request, form: Form) -> None:
        """Refuses a form that another site sent, or that was not made for this browser."""
        desk = self._desk
        desk.parts.check_sets_cookies(request)
        cookie = desk.cookie(request.scope["headers"], desk.answers.cookies.form)
        token = form.values.get("csrf")
        if cookie is None or not token:
            raise Refusal("csrf.missing")
        desk.parts.csrf.check_token(token, _binding(cookie))

    def record(self, request: Request, refusal: Refusal) -> str:
        """Writes the event of a refusal; gives the request's id."""
        return self._desk.record(request, refusal)

    def show(self, request: Request, page: str, *, status: int = 200, **values: Any) -> Response:
        """A page by the name of its template."""
        given = {"heading": text(f"{page}.heading")} if "heading" not in values else {}
        base = self.base(request)
        given |= {"ui": base, "back": _back(request, base, page)}
        return self._design.page(
            request, f"{page}.html", status=status, script=script(), **self._values, **given, **values
        )

    def said(self, request: Request, heading: str, words: str, link: tuple[str, str]) -> Response:
        """A page that says that something is done; `link` is (page, text id)."""
        page, link_text = link
        return self.show(
            request, "said", heading=text(heading), text=text(words), link=f"{self.base(request)}/{page}",
            link_text=text(link_text), good=True, request_id="",
        )  # fmt: skip

    def refused(self, request: Request, refusal: Refusal) -> Response:
        """A refusal that belongs to no field: what happened, and where to go on."""
        request_id = self.record(request, refusal)
        again = refusal.code.startswith("ticket_")
        link, link_text = ("forgot", "ticket.again") if again else ("login", "refused.login")
        response = self.show(
            request, "said", status=refusal.status, heading=text("refused.heading"),
            text=of_code(refusal.code, refusal.detail), link=f"{self.base(request)}/{link}",
            link_text=text(link_text), good=False, request_id=request_id,
        )  # fmt: skip
        if refusal.retry_after is not None:
            seconds = max(1, math.ceil(refusal.retry_after.total_seconds()))
            response.headers["retry-after"] = str(seconds)
        return response

    def go(self, request: Request, page: str) -> RedirectResponse:
        """On to another page; as GET, whatever this request was."""
        return RedirectResponse(f"{self.base(request)}/{page}", 303)


def local(path: str, otherwise: str) -> str:
    """`path` if it stays on this origin, whatever a browser makes of it, else `otherwise`.

    `//host`, `/\\host` and tabs or line breaks that browsers drop lead to another site.
    """
    fits = path.startswith("/") and len(path) <= _LOCAL_LONGEST and path.isascii() and path.isprintable()
    if not fits or path.startswith(("//", "/\\")) or "\\" in path:
        return otherwise
    return path


def _back(request: Request, base: str, page: str) -> str:
    """Where the theme switch returns to: this page, with the query that it was asked with."""
    if request.method == "GET":
        query = request.scope["query_string"].decode("latin-1")
        return local(f"{base}/{page}?{query}" if query else f"{base}/{page}", f"{base}/login")
    return f"{base}/{page if page in _OPEN else 'login'}"


def _binding(cookie: str) -> bytes:
    return hashlib.sha256(b"form" + cookie.encode()).digest()[:16]
