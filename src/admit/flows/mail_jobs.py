"""Writing the mails that flows asked for. Tickets are made here, at delivery: no queue and no table holds a link."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from admit.credentials.tickets import Tickets
from admit.flows.email import VERIFY
from admit.flows.password import RESET
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
from admit.stores.sql.accounts import IdentifierRow

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
        """The mail, to the stored address as it is now; None when there is nothing to say any more."""
        account = self.accounts.load(tx, user)
        if account is None or account.address is None or account.disabled_at is not None:
            return None
        service, to = Service.of(self.settings), account.address
        match data["template"]:
            case "verify":
                return None if account.email_verified else self._verify(tx, service, account, to)
            case "reset" | "password_disabled":
                return self._reset(tx, service, account, to, disabled=data["template"] == "password_disabled")
            case "exists":
                return texts.account_exists(service, to.shown)
            case "password_changed":
                return texts.password_changed(service, to.shown, int(data["at"]))
            case unknown:
                raise ValueError(f"no mail is called {unknown!r}")

    def _verify(self, tx: Tx, service: Service, account: Account, to: IdentifierRow) -> Mail:
        ticket = self.tickets.issue(tx, VERIFY, account.id, {"email": to.value}, VERIFY_FOR)
        return texts.verify_address(service, to.shown, ticket, VERIFY_FOR)

    def _reset(
        self, tx: Tx, service: Service, account: Account, to: IdentifierRow, *, disabled: bool
    ) -> Mail | None:  # fmt: skip
        if self.settings.passwords.policy == "nist" and not account.email_verified:
            return None  # NIST SP 800-63B-4 section 4.2.1.2: recovery goes to addresses that were proved before
        lasts = self.settings.passwords.reset_for
        ticket = self.tickets.issue(tx, RESET, account.id, {"email": to.value}, lasts)
        text = texts.password_disabled if disabled else texts.reset_password
        return text(service, to.shown, ticket, lasts)


def _tell(tx: Tx, data: Mapping[str, Any], *, sent: bool) -> None:
    type_, outcome = ("mail.sent", "success") if sent else ("mail.failed", "failure")
    tx.emit(Via().event(type_, outcome=outcome, subject=data["user"], data={"template": data["template"]}))
