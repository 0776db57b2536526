"""Mail: the value, and two ways to let go of it, through an SMTP server or into the outbox table.

Errors carry a kind and the server's status codes, never its words: those often repeat the recipient.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from ipaddress import ip_address
from typing import TYPE_CHECKING, Literal, Protocol
from unicodedata import normalize
from urllib.parse import urlsplit

from admit.ground.clock import SECOND
from admit.ground.errors import AdmitError, SettingsError, Unavailable
from admit.ground.kit import Kit
from admit.ground.work import Work
from admit.settings import MailSettings, Settings
from admit.settings.settings import is_loopback
from admit.stores.sql import outbox

if TYPE_CHECKING:
    import aiosmtplib

Kind = Literal["connection", "tls", "login", "server", "address"]
_LONGEST_ADDRESS = 254  # RFC 5321 4.5.3.1.3, without the angle brackets
_LONGEST_LOCAL = 64  # RFC 5321 4.5.3.1.1
_LONGEST_SUBJECT = 200
_LONGEST_LINE = 998  # RFC 5322 2.1.1
_LOCAL = re.compile(r"[^\x00-\x20\x7f-\xa0()<>\[\]:;@\\,.\"]+(\.[^\x00-\x20\x7f-\xa0()<>\[\]:;@\\,.\"]+)*")
_DOMAIN = re.compile(r"[^\W_]([\w-]{0,61}[^\W_])?(\.[^\W_]([\w-]{0,61}[^\W_])?)*")
# how an encoded word begins (RFC 2047 section 2). Python's email library decodes it wherever it stands and writes what
# comes out: =?utf-8?q?=0ABcc=3A_v=40x.test?=@x.test would be an address that brings a header of its own
_ENCODED = "=?"
_NAMED = re.compile(r'"?([^"<>@,;:]*?)"? *<([^<>]*)>')
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}\b")
_RETRY_AFTER = timedelta(minutes=1)
_TOTAL = timedelta(seconds=30)
_GOODBYE = 1.0  # seconds to wait for the answer to QUIT
_LOGIN_WANTED = frozenset({530, 534, 535, 538})  # RFC 4954 section 6
_ABOUT_THE_MAIL = frozenset({"server", "address"})


class MailInvalid(AdmitError, ValueError):
    """A mail that cannot be written: its address, subject or text could become a header or a second recipient."""


class MailDelayed(Unavailable):
    """Not handed over now, worth another try: no connection, no TLS, login refused, or a status of the 400s.

    `kind` says where it broke; `status` is the server's reply code with its enhanced one ("451 4.3.0") or empty.
    """

    def __init__(self, kind: Kind, status: str = "") -> None:
        super().__init__("mail", retry_after=_RETRY_AFTER)
        self.kind: Kind = kind
        self.status = status

    def __str__(self) -> str:
        return f"mail is not available: {self.kind} {self.status}".rstrip()


class MailRejected(AdmitError):
    """Refused for good (a status of the 500s): the same mail to the same server will be refused again."""

    def __init__(self, kind: Kind, status: str = "") -> None:
        super().__init__(f"mail rejected: {kind} {status}".rstrip())
        self.kind: Kind = kind
        self.status = status


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one person, in plain text. `MailInvalid` when a field could break out of its place.

    The text may hold a link that opens an account, and the address is personal: repr shows the subject only.
    """

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)

    def __post_init__(self) -> None:
        if not is_address(self.to):
            raise MailInvalid("a mail goes to exactly one plain address")
        # str.isprintable is false for every line break that any mail program knows, U+2028 and U+0085 included
        one_line = self.subject.isprintable() and _ENCODED not in self.subject
        if not self.subject.strip() or not one_line or len(self.subject) > _LONGEST_SUBJECT:
            raise MailInvalid("a subject is one short line")
        if any(not (letter.isprintable() or letter in "\n\t") for letter in self.text):
            raise MailInvalid("the text of a mail holds printable characters and line feeds")


def is_address(text: str) -> bool:
    """Whether `text` is one address as `local@domain`: no display name, no quoting, no comment, no list, no space."""
    local, at, domain = text.rpartition("@")
    if not at or len(text) > _LONGEST_ADDRESS or len(local) > _LONGEST_LOCAL or not text.isprintable():
        return False
    if _ENCODED in text or normalize("NFKC", text) != text:
        # a full-width @ or comma is none here, and becomes one after the next server
        return False
    return bool(_LOCAL.fullmatch(local) and _DOMAIN.fullmatch(domain))


class Mailer(Protocol):
    """Hands mails over. Idempotence is the caller's business: a mail that is sent twice arrives twice."""

    async def send(self, mail: Mail) -> None:
        """Raises `MailDelayed` (try again later) or `MailRejected` (do not)."""
        ...


class OutboxMailer:
    """Keeps mails in the table `admit_outbox` instead of sending them: for the demo and for development."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def send(self, mail: Mail) -> None:
        """Writes the mail; raises `Unavailable("database")` when the store is down."""
        await self._work.write(lambda tx: outbox.insert(tx, mail.to, mail.subject, mail.text))


class SmtpMailer:
    """Sends through the server of `settings.mail`, one connection a mail.

    `tls` stands for the system's certificate store. Raises `SettingsError` when the settings cannot work: no host, a
    sender that is no address, a password that would travel in clear, or the extra `admit[mail]` not installed.
    """

    def __init__(
        self, settings: Settings, kit: Kit, *, tls: ssl.SSLContext | None = None, total: timedelta = _TOTAL
    ) -> None:
        self._server = _checked(settings.mail)
        self._sender = _sender(settings.mail.sender)
        self._host = _domain(settings.issuer)
        self._kit, self._tls = kit, tls
        self._total = total.total_seconds()

    def __repr__(self) -> str:
        return f"SmtpMailer({self._server.host}:{self._server.port}, {self._server.tls})"

    async def send(self, mail: Mail) -> None:
        """Hands `mail` over; raises `MailDelayed` or `MailRejected`."""
        import aiosmtplib

        message, client = self._message(mail), self._client()
        progress = _Progress()
        failure: AdmitError | None = None
        try:
            async with asyncio.timeout(self._total):
                await self._deliver(client, message, mail.to, progress)
        except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
            failure = _failure(progress.kind, error)
        finally:
            await _hang_up(client, goodbye=progress.taken)
        # raised outside the handler: the library's error, with the server's words, must not hang on as its context
        if failure is not None:
            raise failure

    async def _deliver(self, client: aiosmtplib.SMTP, message: EmailMessage, to: str, progress: _Progress) -> None:
        server = self._server
        await client.connect()
        if server.tls == "starttls":
            progress.kind = "tls"
            # demanded, not "if offered": whoever sits in between could take the offer away (RFC 3207 section 6)
            await client.starttls()
        if server.username is not None and server.password is not None:
            progress.kind = "login"
            await client.login(server.username, server.password.get_secret_value())
        progress.kind = "server"
        await client.send_message(message, sender=self._sender.addr_spec, recipients=[to])
        progress.taken = True

    def _client(self) -> aiosmtplib.SMTP:
        import aiosmtplib

        return aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            use_tls=self._server.tls == "tls",
            start_tls=False,
            tls_context=self._tls,
            local_hostname=self._host,
            timeout=self._total,
        )

    def _message(self, mail: Mail) -> EmailMessage:
        message = EmailMessage(SMTP)
        local, _, domain = mail.to.rpartition("@")
        message["From"] = self._sender
        message["To"] = Address(username=local, domain=domain)
        message["Subject"] = mail.subject
        message["Date"] = datetime.fromtimestamp(self._kit.clock.now() // SECOND, UTC)
        message["Message-ID"] = f"<{self._kit.random(16).hex()}@{self._host}>"
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: no out-of-office answers to us
        plain = mail.text.isascii() and all(len(line) <= _LONGEST_LINE for line in mail.text.split("\n"))
        # as it stands where that is possible: quoted-printable cuts a long link in two for readers of the raw text
        message.set_content(mail.text, cte="7bit" if plain else "quoted-printable")
        return message


def open_mailer(settings: Settings, kit: Kit) -> Mailer:
    """The mailer that the settings ask for: SMTP with `mail.host`, the outbox table without.

    Raises `SettingsError` in production without `mail.host`: reset links would lie readable in a table, and nobody
    would get them.
    """
    if settings.mail.host is not None:
        return SmtpMailer(settings, kit)
    if settings.production and "email" in settings.identifiers:
        raise SettingsError(
            "mail.host is not set, so nobody would get the mails that prove an address or reset a password. "
            "Set ADMIT_MAIL__HOST, or pass a mailer of your own"
        )
    return OutboxMailer(kit.work)


@dataclass(slots=True)
class _Progress:
    kind: Kind = "connection"
    taken: bool = False


async def _hang_up(client: aiosmtplib.SMTP, *, goodbye: bool) -> None:
    import aiosmtplib

    transport = client.transport
    if goodbye:
        # the mail has been taken: whatever goes wrong from here must not make anyone send it again
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await client.quit(timeout=_GOODBYE)
    client.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()  # a close would wait for the other side's goodbye in TLS, perhaps for ever
        # the loop closes the socket in its next turns; TLS lies on TCP, so two of them
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def _failure(kind: Kind, error: Exception) -> AdmitError:
    import aiosmtplib

    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        kind, error = "address", error.recipients[0]
    if isinstance(error, aiosmtplib.SMTPNotSupported):  # an address outside ASCII, and a server without SMTPUTF8
        return MailRejected("address")
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return MailDelayed("tls")
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        return MailDelayed("connection" if kind in ("server", "address") else kind)
    status = " ".join([str(error.code), *_STATUS.findall(error.message)[:1]])
    if error.code in _LOGIN_WANTED:
        return MailDelayed("login", status)
    # before the mail itself was offered, a refusal says nothing about it: mend the settings, and it goes out
    return MailDelayed(kind, status) if error.code < 500 or kind not in _ABOUT_THE_MAIL else MailRejected(kind, status)


def _checked(server: MailSettings) -> MailSettings:
    try:
        import aiosmtplib  # noqa: F401 (only asked whether it is there)
    except ImportError:
        raise SettingsError("mail.host is set, but mail needs an extra: pip install 'admit[mail]'") from None
    if not server.host:
        raise SettingsError("mail.host: name the mail server")
    if (server.username is None) != (server.password is None):
        raise SettingsError("mail.username and mail.password: set both or neither")
    if server.password is not None and server.tls == "none" and not is_loopback(server.host):
        raise SettingsError("mail.tls is none: the password would travel in clear; use starttls or tls")
    return server


def _sender(text: str) -> Address:
    named = _NAMED.fullmatch(text)
    name, address = (named[1], named[2]) if named else ("", text)
    if not is_address(address) or not name.isprintable() or _ENCODED in name:
        raise SettingsError("mail.sender: one address, such as no-reply@example.org or Example <no-reply@example.org>")
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def _domain(issuer: str) -> str:
    """The issuer's host as mail writes it: addresses in brackets (RFC 5321 section 4.1.3)."""
    host = urlsplit(issuer).hostname or "localhost"
    try:
        address = ip_address(host)
    except ValueError:
        return host.encode("idna").decode("ascii")
    return f"[{address}]" if address.version == 4 else f"[IPv6:{address}]"
