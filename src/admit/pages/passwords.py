"""What mailed links lead to: a new password, and the proof that an address is one's own."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request, Response

from admit.ground.errors import Refusal
from admit.pages import forms
from admit.pages.desk import Desk
from admit.pages.forms import Form
from admit.pages.view import View
from admit.rooms import Rooms

_TICKETS = frozenset({"ticket_invalid", "ticket_expired"})


@dataclass(frozen=True, slots=True)
class PasswordPages:
    """A link that is opened only shows a form: mail scanners open every link, and must not use it up."""

    rooms: Rooms
    desk: Desk
    view: View

    async def ask_forgot(self, request: Request) -> Response:
        """Which account?"""
        return self.view.form(request, "forgot", Form())

    async def forgot(self, request: Request) -> Response:
        """Has the link mailed; says the same whether there is such an account or not."""
        form = await forms.read(request)
        try:
            self.view.check(request, form)
            await self.rooms.passwords.forgot(form.required("identifier"), self.desk.parts.via(request))
        except Refusal as refusal:
            self.view.record(request, refusal)
            return self.view.form(request, "forgot", forms.refused(form, refusal), status=refusal.status)
        return self.view.said(request, "forgot.done.heading", "forgot.done", ("login", "back.login"))

    async def ask_reset(self, request: Request) -> Response:
        """The form behind a mailed link."""
        return self._with_ticket(request, "reset")

    async def reset(self, request: Request) -> Response:
        """Sets the new password; the link then no longer works."""
        form = await forms.read(request)
        try:
            self.view.check(request, form)
            new, ticket = form.secret("password"), form.secret("ticket")
            await self.rooms.passwords.reset(ticket, new, self.desk.parts.via(request))
        except Refusal as refusal:
            if refusal.code in _TICKETS:
                raise
            self.view.record(request, refusal)
            return self.view.form(request, "reset", forms.refused(form, refusal), status=refusal.status)
        return self.view.said(request, "reset.done.heading", "reset.done", ("login", "login.do"))

    async def ask_verify(self, request: Request) -> Response:
        """One button: see the class."""
        return self._with_ticket(request, "verify")

    async def verify(self, request: Request) -> Response:
        """Marks the address as proved; signs nobody in."""
        form = await forms.read(request)
        self.view.check(request, form)
        await self.rooms.email.verify(form.secret("ticket"), self.desk.parts.via(request))
        return self.view.said(request, "verify.done.heading", "verify.done", ("account", "account.open"))

    def _with_ticket(self, request: Request, page: str) -> Response:
        ticket = request.query_params.get("ticket", "")
        return self.view.form(request, page, Form({"ticket": ticket[:500]}))
