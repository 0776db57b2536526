"""Mail against a real SMTP server on loopback, and the outbox."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from functools import partial
from typing import Any

import hypothesis
import pytest
from aiosmtpd.smtp import SMTP
from hypothesis import strategies as st

from admit.ground.errors import AdmitError, SettingsError, Unavailable
from admit.ground.kit import Kit
from admit.outbound.mail import (
    Mail,
    MailDelayed,
    MailInvalid,
    MailRejected,
    OutboxMailer,
    SmtpMailer,
    is_address,
    open_mailer,
)
from admit.settings import MailSettings, Settings
from admit.stores.sql import outbox
from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock
from tests.parts.certificates import Authority
from tests.parts.ports import free_port
from tests.parts.smtp import Mail as Arrived
from tests.parts.smtp import SmtpSink

HEADERS = [
    "Auto-Submitted", "Content-Transfer-Encoding", "Content-Type", "Date", "From", "MIME-Version", "Message-ID",
    "Subject", "To",
]  # fmt: skip
HELLO = Mail("ann@example.org", "Hello", "One line\nand another\n")
PASSWORD = "hush-smtp-password"


class NoWork:
    """For mailers that have nothing to do with a store."""

    async def write(self, body: Any) -> Any:
        raise AssertionError("no store here")

    read = write


def kit(work: Any = None) -> Kit:
    return Kit(work or NoWork(), ManualClock(), secrets.token_bytes)


def settings(port: int, issuer: str = "https://auth.example.org", **mail: Any) -> Settings:
    given = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "no-reply@example.org", **mail}
    return Settings(issuer=issuer, mail=MailSettings(**given))


def text_of(arrived: Arrived) -> str:
    """The text with plain line feeds; on the wire they are CRLF (RFC 5321 section 2.3.8)."""
    return arrived.text.replace("\r\n", "\n")


async def failure(mailer: SmtpMailer, mail: Mail = HELLO) -> MailDelayed | MailRejected:
    with pytest.raises(AdmitError) as caught:
        await mailer.send(mail)
    error = caught.value
    assert isinstance(error, MailDelayed | MailRejected)
    # neither the server's words nor the recipient: both end up in logs
    assert error.__cause__ is None
    assert error.__context__ is None
    assert mail.to not in f"{error} {error!r} {vars(error)}"
    return error


@pytest.fixture
def secured(authority: Authority) -> Iterator[SmtpSink]:
    sink = SmtpSink(tls=authority.server_context("127.0.0.1"), login=("admit", PASSWORD)).start()
    yield sink
    sink.stop()


async def test_a_mail_arrives_as_it_was_written(smtp: SmtpSink) -> None:
    await SmtpMailer(settings(smtp.port, sender="Example <no-reply@example.org>"), kit()).send(HELLO)
    (got,) = smtp.wait_for(1)
    assert (got.sender, got.recipients) == ("no-reply@example.org", ("ann@example.org",))
    assert text_of(got) == "One line\nand another\n"
    assert (got.subject, str(got.message["To"])) == ("Hello", "ann@example.org")
    assert str(got.message["From"]) == "Example <no-reply@example.org>"
    assert re.fullmatch(r"<[0-9a-f]{32}@auth\.example\.org>", str(got.message["Message-ID"]))


async def test_headers_are_exactly_these(smtp: SmtpSink) -> None:
    await SmtpMailer(settings(smtp.port), kit()).send(HELLO)
    (got,) = smtp.wait_for(1)
    ours = [name for name in got.message if not name.lower().startswith("x-")]
    assert sorted(ours) == HEADERS
    assert got.message["Date"].datetime.isoformat() == "2027-01-15T08:00:00+00:00"
    assert got.message["Auto-Submitted"] == "auto-generated"


async def test_message_ids_differ(smtp: SmtpSink) -> None:
    mailer = SmtpMailer(settings(smtp.port), kit())
    await mailer.send(HELLO)
    await mailer.send(HELLO)
    assert len({str(mail.message["Message-ID"]) for mail in smtp.wait_for(2)}) == 2


@pytest.mark.parametrize(
    ("issuer", "domain"),
    [
        ("http://127.0.0.1:8000", "[127.0.0.1]"),
        ("http://[::1]:8000", "[IPv6:::1]"),
        ("https://münchen.example/x", "xn--mnchen-3ya.example"),
    ],
)
async def test_the_issuer_names_us(smtp: SmtpSink, issuer: str, domain: str) -> None:
    await SmtpMailer(settings(smtp.port, issuer), kit()).send(HELLO)
    assert str(smtp.wait_for(1)[0].message["Message-ID"]).endswith(f"@{domain}>")


async def test_letters_outside_ascii_survive(smtp: SmtpSink) -> None:
    subject = "Bestätige deine Adresse · 確認 " + "ä" * 100
    text = "Grüße\n\nhttps://auth.example.org/auth/ui/verify?ticket=" + "x" * 200 + "\n"
    await SmtpMailer(settings(smtp.port), kit()).send(Mail("jörg@münchen.example", subject, text))
    (got,) = smtp.wait_for(1)
    assert (got.subject, text_of(got), got.recipients) == (subject, text, ("jörg@münchen.example",))


async def test_a_long_link_stays_in_one_piece(smtp: SmtpSink) -> None:
    link = "https://auth.example.org/auth/ui/verify?ticket=" + "x" * 300
    await SmtpMailer(settings(smtp.port), kit()).send(Mail("ann@example.org", "Link", f"Here:\n\n{link}\n"))
    assert link in smtp.wait_for(1)[0].message.as_string()


async def test_a_line_that_is_too_long_for_smtp_is_folded(smtp: SmtpSink) -> None:
    text = "x" * 5000 + "\n.\nQUIT\n"
    await SmtpMailer(settings(smtp.port), kit()).send(Mail("ann@example.org", "Long", text))
    assert text_of(smtp.wait_for(1)[0]) == text


async def test_starttls_and_login(secured: SmtpSink, authority: Authority) -> None:
    with_login = settings(secured.port, tls="starttls", username="admit", password=PASSWORD)
    await SmtpMailer(with_login, kit(), tls=authority.client_context()).send(HELLO)
    assert secured.wait_for(1)[0].recipients == ("ann@example.org",)


async def test_a_refused_login_is_retried_later(secured: SmtpSink, authority: Authority) -> None:
    wrong = settings(secured.port, tls="starttls", username="admit", password="hush-wrong")
    error = await failure(SmtpMailer(wrong, kit(), tls=authority.client_context()))
    assert isinstance(error, MailDelayed)
    assert (error.kind, error.status) == ("login", "535 5.7.8")
    missing = settings(secured.port, tls="starttls")
    error = await failure(SmtpMailer(missing, kit(), tls=authority.client_context()))
    assert isinstance(error, MailDelayed)
    assert error.kind == "login"


@pytest.mark.proof("ASVS-12.3.2")
async def test_an_unknown_authority_is_refused(secured: SmtpSink) -> None:
    error = await failure(
        SmtpMailer(settings(secured.port, tls="starttls", username="admit", password=PASSWORD), kit())
    )
    assert isinstance(error, MailDelayed)
    assert error.kind == "tls"


@pytest.mark.proof("ASVS-12.3.2")
async def test_a_certificate_of_another_host_is_refused(authority: Authority) -> None:
    sink = SmtpSink(tls=authority.server_context("mail.other.example")).start()
    try:
        error = await failure(SmtpMailer(settings(sink.port, tls="starttls"), kit(), tls=authority.client_context()))
    finally:
        sink.stop()
    assert (type(error), error.kind) == (MailDelayed, "tls")
    assert sink.mails == []


@pytest.mark.rfc("RFC 3207 6")
async def test_a_server_without_starttls_gets_nothing(smtp: SmtpSink) -> None:
    error = await failure(SmtpMailer(settings(smtp.port, tls="starttls"), kit()))
    assert (type(error), error.kind) == (MailDelayed, "tls")
    assert smtp.mails == []


class Bare:
    """A mail server that speaks TLS from the first byte."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.messages.append(message_from_bytes(envelope.original_content, policy=policy.default))
        return "250 taken"


@asynccontextmanager
async def speaking(protocol: Callable[[], Any], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server of this protocol; every connection has ended when the block does."""
    loop, port, lost = asyncio.get_running_loop(), free_port(), []
    transports: list[asyncio.Transport] = []

    def connection() -> Any:
        one, ended = protocol(), loop.create_future()
        lost.append(ended)
        made, closed = one.connection_made, one.connection_lost

        def connection_made(transport: asyncio.Transport) -> None:
            transports.append(transport)
            made(transport)

        def connection_lost(error: Exception | None) -> None:
            closed(error)
            ended.set_result(None)

        one.connection_made, one.connection_lost = connection_made, connection_lost
        return one

    server = await loop.create_server(connection, "127.0.0.1", port, ssl=tls)
    try:
        yield port
    finally:
        server.close()
        for transport in transports:
            transport.abort()
        if len(transports) == len(lost):  # otherwise a handshake failed, and with it the connection
            await asyncio.gather(*lost)
        await server.wait_closed()


async def test_tls_from_the_first_byte(authority: Authority) -> None:
    bare = Bare()
    async with speaking(lambda: SMTP(bare), authority.server_context("127.0.0.1")) as port:
        await SmtpMailer(settings(port, tls="tls"), kit(), tls=authority.client_context()).send(HELLO)
        error = await failure(SmtpMailer(settings(port, tls="tls"), kit()))
    assert [str(message["To"]) for message in bare.messages] == ["ann@example.org"]
    assert (type(error), error.kind) == (MailDelayed, "tls")


async def test_an_address_outside_ascii_needs_smtputf8() -> None:
    async with speaking(lambda: SMTP(Bare(), enable_SMTPUTF8=False)) as port:
        error = await failure(SmtpMailer(settings(port), kit()), Mail("jörg@example.org", "Hi", "x"))
    assert (type(error), error.kind) == (MailRejected, "address")


@pytest.mark.parametrize(
    ("stage", "answer", "kind", "error_type", "status"),
    [
        ("RCPT", "550 5.1.1 <ann@example.org>: no such person", "address", MailRejected, "550 5.1.1"),
        ("RCPT", "450 4.2.0 greylisted", "address", MailDelayed, "450 4.2.0"),
        ("DATA", "554 5.7.1 spam from ann@example.org", "server", MailRejected, "554 5.7.1"),
        ("DATA", "451 4.3.0 later", "server", MailDelayed, "451 4.3.0"),
        ("DATA", "452 full", "server", MailDelayed, "452"),
        ("MAIL", "553 5.1.8 sender unknown", "server", MailRejected, "553 5.1.8"),
        ("MAIL", "530 5.7.0 log in first", "login", MailDelayed, "530 5.7.0"),
    ],
)
async def test_a_status_decides_between_later_and_never(
    smtp: SmtpSink, stage: Any, answer: str, kind: str, error_type: type[AdmitError], status: str
) -> None:
    smtp.refuse(answer, stage)
    mailer = SmtpMailer(settings(smtp.port), kit())
    error = await failure(mailer)
    assert (type(error), error.kind, error.status) == (error_type, kind, status)
    smtp.accept()
    await mailer.send(HELLO)
    assert len(smtp.wait_for(1)) == 1


@pytest.mark.proof("ASVS-16.5.2")
async def test_no_server_means_later() -> None:
    error = await failure(SmtpMailer(settings(free_port()), kit()))
    assert isinstance(error, Unavailable)
    assert (error.kind, error.part, error.retry_after) == ("connection", "mail", timedelta(minutes=1))
    assert str(error) == "mail is not available: connection"


class Script(asyncio.Protocol):
    """Answers each line with the next answer; when there are no more, it says nothing and goes on listening."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.data_received(b"")

    def data_received(self, data: bytes) -> None:
        if self.answers:
            self.transport.write(self.answers.pop(0))


@pytest.mark.parametrize(
    "line", [b"554 5.3.2 ann@example.org is blocked\r\n", b"421 4.3.2 busy\r\n", b"HTTP/1.1 400\r\n"]
)
async def test_a_server_that_turns_us_away_at_the_door_means_later(line: bytes) -> None:
    async with speaking(lambda: Script(line)) as port:
        error = await failure(SmtpMailer(settings(port), kit()))
    assert (type(error), error.kind) == (MailDelayed, "connection")


async def test_a_silent_server_means_later() -> None:
    async with speaking(Script) as port:
        error = await failure(SmtpMailer(settings(port), kit(), total=timedelta(milliseconds=50)))
    assert (type(error), error.kind) == (MailDelayed, "connection")


TAKEN = (b"220 hi\r\n", b"250 hi\r\n", b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n", b"250 taken\r\n")


async def test_a_mail_that_was_taken_counts_whatever_comes_after() -> None:
    for goodbye in ((), (b"500 what?\r\n",), (b"nonsense\r\n",)):
        async with speaking(partial(Script, *TAKEN, *goodbye)) as port:
            await SmtpMailer(settings(port), kit(), total=timedelta(milliseconds=300)).send(HELLO)


async def test_silence_instead_of_taking_it_means_later() -> None:
    async with speaking(lambda: Script(*TAKEN[:-1])) as port:
        error = await failure(SmtpMailer(settings(port), kit(), total=timedelta(milliseconds=100)))
    assert (type(error), error.kind) == (MailDelayed, "connection")


@pytest.mark.proof("ASVS-1.3.11")
@pytest.mark.parametrize(
    "address",
    [
        "a@x.test\r\nBcc: v@x.test", "a@x.test\nBcc: v@x.test", "a@x.test\r", "a@x.test,v@x.test", "a@x.test;v@x.test",
        "a@x.test v@x.test", "v@x.test,a@x.test", "Ann <a@x.test>", "<a@x.test>", "a@x.test> SIZE=1", "a@b@x.test", '"a b"@x.test',
        '"a@y.test\r\nRCPT TO:<v@x.test>"@x.test', "a(comment)@x.test", "a@x.test(comment)", "a@[127.0.0.1]", "a@", "@x.test",
        "a", "", ".a@x.test", "a.@x.test", "a..b@x.test", "a@x..test", "a@-x.test", "a@x.test.", "a\x00@x.test", "a\u2028@x.test",
        "a\u0085@x.test", "a\u202e@x.test", "a＠v.test,@x.test", "v@y.test＠x.test", "a，b@x.test", "a\t@x.test", "a@x.test\u200b",
        "a" * 65 + "@x.test", "a@" + "x." * 130 + "test", "a@x_.test", "a:b@x.test", "a\\@x.test",
        "=?utf-8?q?=0ABcc=3A_v=40x.test?=@x.test", "a=?utf-8?b?CkJjYzp2?=@x.test",
    ],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_no_recipient(address: str) -> None:
    assert not is_address(address)
    with pytest.raises(MailInvalid):
        Mail(address, "Hello", "x")


@pytest.mark.parametrize(
    "address",
    [
        "a@x.test",
        "a.b+c@x.test",
        "o'brien@x.test",
        "a@localhost",
        "jörg@münchen.example",
        "a_b-c!#$%&*/=^?`{|}~@x.test",
        "1@2.test",
    ],
)
def test_a_plain_address_is_a_recipient(address: str) -> None:
    assert is_address(address)


@pytest.mark.proof("ASVS-1.3.11")
@pytest.mark.parametrize(
    "subject",
    ["a\r\nBcc: v@x.test", "a\nb", "a\rb", "a\x0bb", "a\x0cb", "a\x1cb", "a\x85b", "a\u2028b", "a\u2029b", "a\x00b", "a\u202eb", "", "  ", "a" * 201,
     "=?utf-8?q?=0ABcc=3A_v=40x.test?=", "Hi =?utf-8?b?CkJjYzp2?="],
)  # fmt: skip
def test_a_subject_is_one_short_line(subject: str) -> None:
    with pytest.raises(MailInvalid):
        Mail("a@x.test", subject, "x")


@pytest.mark.parametrize("text", ["a\r\nb", "a\x00b", "a\x1bb", "a\u202eb", "a\x85b", "\ud800"])
def test_a_text_holds_no_control_characters(text: str) -> None:
    with pytest.raises(MailInvalid):
        Mail("a@x.test", "Hello", text)


@pytest.mark.proof("ASVS-1.3.11")
async def test_a_text_cannot_end_the_message_or_begin_a_header(smtp: SmtpSink) -> None:
    text = "Bcc: v@x.test\n\n.\nMAIL FROM:<v@x.test>\nRCPT TO:<v@x.test>\n..\n"
    await SmtpMailer(settings(smtp.port), kit()).send(Mail("a@x.test", "Hello", text))
    (got,) = smtp.wait_for(1)
    assert text_of(got) == text
    assert got.recipients == ("a@x.test",)
    assert got.message["Bcc"] is None


async def test_no_secret_in_repr_or_logs(
    secured: SmtpSink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("mail.log", "mail.debug"):  # aiosmtpd, the server, logs what it is told; ours must not
        logging.getLogger(name).propagate = False
    mailer = SmtpMailer(
        settings(secured.port, tls="starttls", username="admit", password=PASSWORD),
        kit(),
        tls=authority.client_context(),
    )
    mail = Mail("ann@example.org", "Hello", "https://x/?ticket=hush-ticket")
    await mailer.send(mail)
    secured.wait_for(1)
    secured.refuse("550 5.7.1 no hush-ticket for ann@example.org")
    error = await failure(mailer, mail)
    shown = f"{mailer!r} {mail!r} {error!r} {caplog.text}"
    assert "hush" not in shown
    assert "ann@" not in shown
    assert repr(mailer) == f"SmtpMailer(127.0.0.1:{secured.port}, starttls)"


@pytest.mark.parametrize(
    ("mail", "named"),
    [
        ({"host": None}, "mail.host"),
        ({"host": ""}, "mail.host"),
        ({"sender": "nobody"}, "mail.sender"),
        ({"sender": "a@x.test\r\nBcc: v@x.test"}, "mail.sender"),
        ({"sender": "a@x.test, b@x.test"}, "mail.sender"),
        ({"sender": "=?utf-8?q?=0ABcc=3A_v=40x.test?= <a@x.test>"}, "mail.sender"),
        ({"sender": "A\r\nBcc: v@x.test <a@x.test>"}, "mail.sender"),
        ({"username": "admit"}, "mail.username"),
        ({"password": PASSWORD}, "mail.username"),
        ({"host": "mail.example", "username": "admit", "password": PASSWORD}, "mail.tls"),
    ],
)
def test_settings_that_cannot_work_are_named(mail: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError, match=named) as caught:
        SmtpMailer(settings(25, **mail), kit())
    assert "hush" not in str(caught.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiosmtplib", None)
    with pytest.raises(SettingsError, match=r"admit\[mail\]"):
        SmtpMailer(settings(25), kit())


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    store = open_database("sqlite://", ManualClock(), secrets.token_bytes)
    await store.migrate()
    yield store
    await store.close()


async def test_the_outbox_keeps_what_would_have_been_sent(database: Database) -> None:
    mailer = OutboxMailer(database)
    for number in range(3):
        await mailer.send(Mail(f"p{number % 2}@x.test", f"Mail {number}", "hush-text"))
    kept = await database.read(outbox.list_outbox)
    assert [mail.subject for mail in kept] == ["Mail 2", "Mail 1", "Mail 0"]
    assert (kept[0].recipient, kept[0].text, kept[0].at) == ("p0@x.test", "hush-text", ManualClock().now())
    assert "hush" not in repr(kept)
    assert "p0@" not in repr(kept)
    to_one = await database.read(lambda tx: outbox.list_outbox(tx, recipient="p1@x.test"))
    assert [mail.subject for mail in to_one] == ["Mail 1"]
    assert len(await database.read(lambda tx: outbox.list_outbox(tx, limit=2))) == 2


async def test_old_mails_can_be_forgotten(database: Database) -> None:
    await OutboxMailer(database).send(HELLO)
    now = ManualClock().now()
    assert await database.write(lambda tx: outbox.forget(tx, now)) == 0
    assert await database.write(lambda tx: outbox.forget(tx, now + 1)) == 1
    assert await database.read(outbox.list_outbox) == []


async def test_the_settings_choose_the_mailer() -> None:
    assert isinstance(open_mailer(settings(25), kit()), SmtpMailer)
    assert isinstance(open_mailer(Settings(issuer="http://localhost:8000"), kit()), OutboxMailer)
    by_name = Settings(issuer="https://auth.example.org", identifiers=frozenset({"username"}))
    assert isinstance(open_mailer(by_name, kit()), OutboxMailer)
    with pytest.raises(SettingsError, match=r"mail\.host"):
        open_mailer(Settings(issuer="https://auth.example.org"), kit())


_ODD = st.text(st.one_of(st.sampled_from("=?_\"'<>@,;:\\()[] \r\n\t.%+"), st.characters()), max_size=60)


@pytest.mark.proof("ASVS-1.3.11")
@hypothesis.given(local=_ODD, subject=_ODD, text=_ODD)
@hypothesis.example("=?utf-8?q?=0ABcc=3A_v=40x.test?=", "=?utf-8?q?=0ABcc=3A_v=40x.test?=", "x")
def test_whatever_is_let_in_the_headers_stay_the_same(local: str, subject: str, text: str) -> None:
    try:
        mail = Mail(f"{local}@x.test", subject, text)
    except MailInvalid:
        return
    message = SmtpMailer(settings(25), kit())._message(mail)
    for wire in (policy.SMTP, policy.SMTPUTF8):
        raw = message.as_bytes(policy=wire)
        assert sorted(message_from_bytes(raw).keys()) == HEADERS
        assert b"\n" not in raw.replace(b"\r\n", b"")
