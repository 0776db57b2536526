"""Sign in and sign up."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from admit.flows.register import Registration
from admit.ground.errors import Refusal
from admit.pages import forms
from admit.pages.desk import Desk
from admit.pages.forms import Form
from admit.pages.view import View, local
from admit.rooms import Rooms


@dataclass(frozen=True, slots=True)
class SigningInPages:
    """Always with delivery `session`: a page is the same-domain web application of mission S8."""

    rooms: Rooms
    desk: Desk
    view: View

    async def ask(self, request: Request) -> Response:
        """The sign-in form; `?next=` says where to go afterwards, on this origin only."""
        return self.view.form(request, "login", Form(), next=self._next(request, request.query_params.get("next", "")))

    async def sign_in(self, request: Request) -> Response:
        """Signs in, and goes on with a session cookie."""
        form = await forms.read(request)
        try:
            self.view.check(request, form)
            return await self._sign_in(request, form)
        except Refusal as refusal:
            self.view.record(request, refusal)
            shown = forms.refused(form, refusal)
            goal = self._next(request, form.values.get("next", ""))
            return self.view.form(request, "login", shown, status=refusal.status, next=goal)

    async def _sign_in(self, request: Request, form: Form) -> Response:
        identifier, password = form.required("identifier"), form.required("password", secret=True)
        answers = self.desk.answers
        device = self.desk.cookie(request.scope["headers"], answers.cookies.device)
        via = self.desk.parts.via(request)
        signed_in = await self.rooms.login.login(identifier, password, "session", via, device)
        response = RedirectResponse(self._next(request, form.values.get("next", "")), 303)
        answer = answers.signed_in(signed_in.delivered, signed_in.device, request)
        response.raw_headers += [header for header in answer.raw_headers if header[0] == b"set-cookie"]
        response.headers["cache-control"] = "no-store"
        return response

    async def ask_register(self, request: Request) -> Response:
        """The form for a new account."""
        return self.view.form(request, "register", Form())

    async def register(self, request: Request) -> Response:
        """Makes the account; says the same for a new and a known address."""
        form = await forms.read(request)
        try:
            self.view.check(request, form)
            username, email = form.line("username") or None, form.line("email") or None
            asked = Registration(form.required("password", secret=True), username, email)
            await self.rooms.register.register(asked, self.desk.parts.via(request))
        except Refusal as refusal:
            self.view.record(request, refusal)
            return self.view.form(request, "register", forms.refused(form, refusal), status=refusal.status)
        if email is None:
            heading, words = "register.done.heading.username", "register.done.username"
        else:
            heading, words = "register.done.heading", "register.done.email"
        return self.view.said(request, heading, words, ("login", "refused.login"))

    def _next(self, request: Request, asked: str) -> str:
        return local(asked, f"{self.view.base(request)}/account")
