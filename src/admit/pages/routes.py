"""The pages as routes under `{prefix}/ui`. Each reads a form, calls one verb, and shows what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from admit.ground.errors import Refusal, Unavailable
from admit.pages.account import AccountPage
from admit.pages.design import theme_cookie
from admit.pages.desk import Desk
from admit.pages.forms import read
from admit.pages.passwords import PasswordPages
from admit.pages.signing_in import SigningInPages
from admit.pages.view import View, local
from admit.rooms import Rooms

Handler = Callable[[Request], Awaitable[Response]]


def router(rooms: Rooms, desk: Desk) -> APIRouter:
    """Every page."""
    api, view = APIRouter(include_in_schema=False), View(rooms.settings, desk)
    signing_in, passwords = SigningInPages(rooms, desk, view), PasswordPages(rooms, desk, view)
    account = AccountPage(rooms, desk, view)
    pages: list[tuple[str, Handler, Handler]] = [
        ("login", signing_in.ask, signing_in.sign_in),
        ("register", signing_in.ask_register, signing_in.register),
        ("forgot", passwords.ask_forgot, passwords.forgot),
        ("reset", passwords.ask_reset, passwords.reset),
        ("verify", passwords.ask_verify, passwords.verify),
    ]
    for name, show, act in pages:
        _add(api, view, f"/ui/{name}", "GET", show)
        _add(api, view, f"/ui/{name}", "POST", act)
    _add(api, view, "/ui/account", "GET", account.show)
    _add(api, view, "/ui/account/end", "POST", account.end)
    _add(api, view, "/ui/logout", "POST", account.sign_out)
    _add(api, view, "/ui/theme", "POST", _theme(desk, view))
    return api


def _add(api: APIRouter, view: View, path: str, method: str, handler: Handler) -> None:
    async def page(request: Request) -> Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return view.refused(request, refusal)
        except Unavailable as error:
            return view.refused(
                request, Refusal("request.unavailable", private=error.part, retry_after=error.retry_after)
            )

    api.add_api_route(path, page, methods=[method], response_model=None)


def _theme(desk: Desk, view: View) -> Handler:
    async def choose(request: Request) -> Response:
        desk.parts.check_sets_cookies(request)
        form = await read(request)
        response = RedirectResponse(local(form.line("back"), view.base(request) + "/login"), 303)
        if (cookie := theme_cookie(form.line("theme"))) is not None:
            response.headers.append("set-cookie", cookie)
        return response

    return choose
