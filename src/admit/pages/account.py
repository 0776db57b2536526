"""The account of whoever is signed in: who they are, where they are signed in, and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response

from admit.credentials.grants import GrantRow
from admit.credentials.sessions import SessionRow
from admit.ground.clock import iso
from admit.ground.errors import Refusal
from admit.ground.ids import read, show
from admit.ground.principal import Facts
from admit.pages import forms
from admit.pages.desk import Desk
from admit.pages.view import View
from admit.rooms import Rooms


@dataclass(frozen=True, slots=True)
class AccountPage:
    """Needs a person; nobody is sent to the sign-in page and back."""

    rooms: Rooms
    desk: Desk
    view: View

    async def show(self, request: Request) -> Response:
        """The account and its sign-ins."""
        facts = (await self.desk.parts.resolve(request)).facts
        if facts is None or facts.credential.kind == "api_key":
            here = quote(f"{self.view.base(request)}/account")
            return self.view.go(request, f"login?next={here}")
        account = await self.rooms.account.me(facts.owner)
        rows = await self.rooms.delivery.live(facts.owner)
        return self.view.show(
            request, "account", account=account, csrf=self.desk.parts.csrf.issue(facts.binding),
            sign_ins=[_sign_in(row, facts.credential_id) for row in rows],
        )  # fmt: skip

    async def end(self, request: Request) -> Response:
        """Ends another sign-in of the same person."""
        facts, form = await self._person(request)
        text, via = form.line("id"), self.desk.parts.via(request)
        identifier = read("ses", text) or read("grt", text)
        delivery = self.rooms.delivery
        ended = identifier is not None and await self.rooms.kit.work.write(
            lambda tx: delivery.end(tx, facts.owner, identifier, via)
        )
        if not ended:
            raise Refusal("session.not_found")
        return self.view.go(request, "account")

    async def sign_out(self, request: Request) -> Response:
        """Ends this sign-in and removes its cookies."""
        facts, _ = await self._person(request)
        via, delivery = self.desk.parts.via(request), self.rooms.delivery
        await self.rooms.kit.work.write(lambda tx: delivery.end(tx, facts.owner, facts.credential_id, via))
        response = self.view.go(request, "login")
        response.raw_headers += self.desk.answers.signed_out()
        return response

    async def _person(self, request: Request) -> tuple[Facts, forms.Form]:
        """Who sent the form. Its token goes where the resolver looks for it: a form cannot set a header."""
        form = await forms.read(request)
        token = form.values.get("csrf", "").encode("latin-1", "replace")
        scope = request.scope
        scope["headers"] = [
            *(pair for pair in scope["headers"] if pair[0] != b"x-csrf-token"),
            (b"x-csrf-token", token),
        ]
        facts = (await self.desk.parts.resolve(request)).facts
        if facts is None:
            raise Refusal("resolver.none")
        if facts.credential.kind == "api_key":
            raise Refusal("rights.credential_kind", private="a page")
        return facts, form


def _sign_in(row: SessionRow | GrantRow, current: bytes) -> dict[str, Any]:
    grant = isinstance(row, GrantRow)
    return {
        "id": show("grt" if grant else "ses", row.id),
        "kind": row.deliver if isinstance(row, GrantRow) else "session",
        "created_at": iso(row.created_at),
        "address": row.address,
        "agent": row.agent,
        "current": row.id == current,
    }
