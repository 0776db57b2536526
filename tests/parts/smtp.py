"""A real SMTP server that keeps what it is given, and refuses when it is told to."""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Literal, Self, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.parts.ports import free_port

Stage = Literal["MAIL", "RCPT", "DATA"]


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail as it was handed over: the envelope, and the message that was in it."""

    sender: str
    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        """The decoded subject."""
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        """The plain-text body."""
        body = self.message.get_body(("plain",))
        return "" if body is None else cast("str", body.get_content())


class SmtpSink:
    """Runs on a thread of its own, so that plain tests, async tests and other processes can all send to it.

    `mails` is the list of what arrived. `refuse("451 4.3.0 later", stage="DATA")` answers so until `accept()`.
    `login` (name and password) makes it ask for AUTH, `tls` makes it offer STARTTLS (and AUTH only within it).
    """

    host = "127.0.0.1"

    def __init__(self, *, tls: ssl.SSLContext | None = None, login: tuple[str, str] | None = None) -> None:
        self.port = free_port()
        self.mails: list[Mail] = []
        self._tls, self._login = tls, login
        self._answers: dict[Stage, str] = {}
        self._arrived = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Listen; also again after `stop`, on the same port."""
        self._loop = asyncio.new_event_loop()
        listening: threading.Event = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), name="smtp", daemon=True)
        self._thread.start()
        if not listening.wait(10):
            raise RuntimeError("the SMTP sink does not listen")
        return self

    def stop(self) -> None:
        """Close the port and every connection; the mails stay."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._closing.set)
            self._thread.join(10)
            self._thread = None

    def refuse(self, answer: str, stage: Stage = "DATA") -> None:
        """Answer every mail with this status line from now on."""
        self._answers[stage] = answer

    def accept(self) -> None:
        """Take mails again."""
        self._answers.clear()

    def wait_for(self, number: int, seconds: float = 10) -> list[Mail]:
        """The mails, once at least `number` of them are there; AssertionError when they do not come."""
        with self._arrived:
            came = self._arrived.wait_for(lambda: len(self.mails) >= number, seconds)
        assert came, f"{len(self.mails)} of {number} mails came"
        return self.mails

    def _run(self, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve(listening))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()

    async def _serve(self, listening: threading.Event) -> None:
        self._closing = asyncio.Event()
        protocols: set[SMTP] = set()

        def connection() -> SMTP:
            protocol = self._protocol()
            protocols.add(protocol)
            return protocol

        server = await self._loop.create_server(connection, self.host, self.port)
        listening.set()
        await self._closing.wait()
        server.close()
        for protocol in protocols:
            if protocol.transport is not None:
                protocol.transport.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def _protocol(self) -> SMTP:
        if self._login is None:
            return SMTP(self, enable_SMTPUTF8=True, tls_context=self._tls, loop=self._loop)
        return SMTP(
            self,
            enable_SMTPUTF8=True,
            tls_context=self._tls,
            loop=self._loop,
            authenticator=self._authenticate,
            auth_required=True,
            auth_require_tls=self._tls is not None,
        )

    def _authenticate(self, *call: object) -> AuthResult:
        given = cast("LoginPassword", call[-1])
        right = self._login == (given.login.decode(), given.password.decode())
        # handled=True with a failure sends no answer at all: the client would wait for a minute
        return AuthResult(success=right, handled=False)

    async def handle_MAIL(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd's hook for MAIL FROM."""
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self._answers.get("MAIL", "250 2.1.0 ok")

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """aiosmtpd's hook for RCPT TO."""
        if "RCPT" not in self._answers:
            envelope.rcpt_tos.append(address)
            envelope.rcpt_options.extend(options)
        return self._answers.get("RCPT", "250 2.1.5 ok")

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        """aiosmtpd's hook for the message itself."""
        if "DATA" in self._answers:
            return self._answers["DATA"]
        message = message_from_bytes(cast("bytes", envelope.original_content), policy=policy.default)
        mail = Mail(envelope.mail_from or "", tuple(envelope.rcpt_tos), message)
        with self._arrived:
            self.mails.append(mail)
            self._arrived.notify_all()
        return "250 2.0.0 taken"
