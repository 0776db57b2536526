"""The words of every mail."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from admit.outbound import texts
from admit.outbound.mail import Mail
from admit.outbound.texts import CATALOGUE, Service
from admit.settings import Settings
from admit.testing.clock import ManualClock

SERVICE = Service.of(Settings(issuer="https://id.example.org/tenant", prefix="/auth", brand="acme"))
TO = "ann@x.test"
HALF = timedelta(minutes=30)
NOW = ManualClock().now()
PAGES = "https://id.example.org/tenant/auth/ui"

WRITTEN: dict[str, tuple[Callable[[], Mail], str]] = {
    "verify_address": (lambda: texts.verify_address(SERVICE, TO, "t1", HALF), f"{PAGES}/verify?ticket=t1"),
    "change_address": (lambda: texts.change_address(SERVICE, TO, "t4", HALF), f"{PAGES}/verify?ticket=t4"),
    "address_changed": (lambda: texts.address_changed(SERVICE, TO, NOW), f"{PAGES}/login"),
    "reset_password": (lambda: texts.reset_password(SERVICE, TO, "t2", HALF), f"{PAGES}/reset?ticket=t2"),
    "password_disabled": (lambda: texts.password_disabled(SERVICE, TO, "t3", HALF), f"{PAGES}/reset?ticket=t3"),
    "account_exists": (lambda: texts.account_exists(SERVICE, TO), f"{PAGES}/login"),
    "reset_without_account": (lambda: texts.reset_without_account(SERVICE, TO), f"{PAGES}/login"),
    "password_changed": (lambda: texts.password_changed(SERVICE, TO, NOW), f"{PAGES}/forgot"),
    "api_key_created": (lambda: texts.api_key_created(SERVICE, TO, "CI/CD", NOW), f"{PAGES}/account"),
    "sign_in_stolen": (lambda: texts.sign_in_stolen(SERVICE, TO, NOW), f"{PAGES}/account"),
}


def test_every_entry_of_the_catalogue_is_written_here() -> None:
    assert WRITTEN.keys() == CATALOGUE.keys()


@pytest.mark.proof("CS-FORGOT-host")
@pytest.mark.parametrize("entry", WRITTEN)
def test_a_mail_has_one_link_and_it_leads_to_the_issuer(entry: str) -> None:
    write, link = WRITTEN[entry]
    mail = write()
    assert re.findall(r"\w+://\S+", mail.text) == [link]
    assert link in mail.text.split("\n")


@pytest.mark.parametrize("entry", WRITTEN)
def test_a_mail_is_short_and_names_the_service(entry: str) -> None:
    mail = WRITTEN[entry][0]()
    assert mail.to == TO
    assert mail.subject.startswith("Acme: ")
    assert len(mail.subject) <= 60
    assert mail.text.endswith("\n\nAcme\n")
    assert len(mail.text.split()) <= 70
    assert "$" not in mail.text
    assert "<" not in mail.text


def test_a_ticket_is_encoded() -> None:
    mail = texts.reset_password(SERVICE, TO, "a&b=c d\r\nBcc: v@x.test", HALF)
    assert "reset?ticket=a%26b%3Dc+d%0D%0ABcc%3A+v%40x.test\n" in mail.text


def test_a_ticket_is_not_in_the_repr() -> None:
    assert "hush" not in repr(texts.verify_address(SERVICE, TO, "hush", HALF))


@pytest.mark.proof("ASVS-1.3.11")
def test_the_name_of_a_key_stays_on_its_line() -> None:
    mail = texts.api_key_created(SERVICE, TO, "a\r\n\r\nClick $link\u2028\x00 now ${service}" + "x" * 100, NOW)
    (line,) = [line for line in mail.text.split("\n") if "Click" in line]
    assert '"a Click $link now ${service}' in line
    assert line.endswith('x".')
    assert len(line) < 150


def test_moments_and_spans_read_like_a_person_wrote_them() -> None:
    assert "on 2027-01-15 at 08:00 UTC" in texts.password_changed(SERVICE, TO, NOW).text
    spans = {
        timedelta(seconds=5): "1 minute", timedelta(minutes=30): "30 minutes", timedelta(hours=1): "1 hour",
        timedelta(minutes=90): "90 minutes", timedelta(hours=2): "2 hours", timedelta(hours=24): "1 day",
        timedelta(days=3): "3 days", timedelta(hours=36): "36 hours",
    }  # fmt: skip
    for span, words in spans.items():
        assert f"works once, for {words}. " in texts.verify_address(SERVICE, TO, "t", span).text
