"""Writing the mails that flows asked for. Tickets are made here, at delivery: no queue and no table holds a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from admit.credentials.tickets import Tickets
from admit.flows.email import RESET, VERIFY
from admit.ground.events import Via
from admit.ground.ids import read
from admit.ground.kit import Kit
from admit.ground.work import Tx
from admit.outbound import texts
from admit.outbound.mail import Mail, Mailer, MailRejected
from admit.outbound.texts import Service
from admit.people.account import Account
from admit.people.accounts import Accounts
from admit.settings import Settings

KIND = "mail"
VERIFY_FOR = timedelta(hours=24)  # NIST SP 800-63B-4 section 4.2.1.2: no longer by e-mail


@dataclass(frozen=True, slots=True)
class MailJobs:
    """The handler of jobs of kind `mail`: `{"template": …, "user": "usr_…" or null}`; null is a job that does nothing,
    so that asking for an unknown account costs what asking for a known one costs.
    """

    kit: Kit
    settings: Settings
    accounts: Accounts
    tickets: Tickets
    mailer: Mailer

    async def __call__(self, data: Mapping[str, Any]) -> None:
        """Writes and hands over one mail. Raises `MailDelayed`: try again later; a new ticket is made then."""
        user = read("usr", data["user"]) if data.get("user") else None
        if user is None:
            return
        mail = await self.kit.work.write(lambda tx: self._write(tx, user, data))
        if mail is None:
            return
        sent = True
        try:
            await self.mailer.send(mail)
        except MailRejected:
            sent = False
        await self.kit.work.write(lambda tx: _tell(tx, data, sent=sent))

    def _write(self, tx: Tx, user: bytes, data: Mapping[str, Any]) -> Mail | None:
        """The mail as things are now; None when there is nothing to say any more."""
        account = self.accounts.load(tx, user)
        if account is None or account.disabled_at is not None:
            return None
        service = Service.of(self.settings)
        match data["template"]:
            case "change":
                ticket = self._ticket(tx, account, data["to"], change=True)
                return texts.change_address(service, data["to"], ticket, VERIFY_FOR)
            case "address_changed":
                return texts.address_changed(service, data["to"], int(data["at"]))
        return self._to_stored(tx, service, account, data) if account.address is not None else None

    def _to_stored(self, tx: Tx, service: Service, account: Account, data: Mapping[str, Any]) -> Mail | None:
        """A mail to the address that is stored now, never to one that somebody typed (CVE-2019-19844)."""
        to = account.email or ""
        match data["template"]:
            case "verify":
                if account.email_verified:
                    return None
                return texts.verify_address(service, to, self._ticket(tx, account, to), VERIFY_FOR)
            case "reset" | "password_disabled":
                return self._reset(tx, service, account, disabled=data["template"] == "password_disabled")
            case "exists":
                return texts.account_exists(service, to)
            case "password_changed":
                return texts.password_changed(service, to, int(data["at"]))
        raise ValueError(f"no mail is called {data['template']!r}")

    def _ticket(self, tx: Tx, account: Account, address: str, *, change: bool = False) -> str:
        data = {"email": address, "change": True} if change else {"email": address}
        return self.tickets.issue(tx, VERIFY, account.id, data, VERIFY_FOR)

    def _reset(self, tx: Tx, service: Service, account: Account, *, disabled: bool) -> Mail | None:
        address = account.address
        if address is None or (self.settings.passwords.policy == "nist" and address.verified_at is None):
            return None  # NIST SP 800-63B-4 section 4.2.1.2: recovery goes to addresses that were proved before
        lasts = self.settings.passwords.reset_for
        ticket = self.tickets.issue(tx, RESET, account.id, {"email": address.value}, lasts)
        text = texts.password_disabled if disabled else texts.reset_password
        return text(service, address.shown, ticket, lasts)


def _tell(tx: Tx, data: Mapping[str, Any], *, sent: bool) -> None:
    type_, outcome = ("mail.sent", "success") if sent else ("mail.failed", "failure")
    tx.emit(Via().event(type_, outcome=outcome, subject=data["user"], data={"template": data["template"]}))
