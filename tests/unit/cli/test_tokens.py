"""`admit tokens inspect`: every kind of credential, alive and dead in every way, without a letter of it in the output."""

from __future__ import annotations

import io
import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import jwt as pyjwt
import pytest

from admit import Admit
from admit.cli import opening
from admit.cli.inspection import STEPS, Inspection, inspect, parts_of_jwt
from admit.cli.verbs import run
from admit.credentials.api_key_terms import By, Terms
from admit.credentials.api_keys import Created
from admit.ground.codes import REASONS
from admit.ground.events import Via
from admit.people.account import Account, NewAccount
from admit.people.identifiers import parse
from admit.testing.clock import ManualClock

PASSWORD = "Correct Horse 1 Battery!"


class House:
    """An open Admit with one account, alice."""

    def __init__(self, auth: Admit, clock: ManualClock) -> None:
        self.auth, self.clock, self.rooms = auth, clock, auth.rooms
        self.alice = b""

    async def move_in(self) -> None:
        new = NewAccount((parse("username", "alice"),), await self.rooms.pool.hash(PASSWORD))
        made = await self.rooms.kit.work.write(lambda tx: self.rooms.accounts.create(tx, new, Via()))
        assert isinstance(made, Account)
        self.alice = made.id

    async def sign_in(self, deliver: str = "tokens") -> Any:
        return (await self.rooms.login.login("alice", PASSWORD, cast("Any", deliver), Via())).delivered

    async def key(self, **terms: Any) -> Created:
        made = await self.rooms.kit.work.write(
            lambda tx: self.rooms.api_keys.create(tx, self.alice, Terms("CI/CD", frozenset(), **terms), By(frozenset()))
        )
        assert isinstance(made, Created)
        return made

    async def look(self, text: str) -> Inspection:
        found = await inspect(self.rooms, text)
        assert text not in json.dumps(found.json())
        return found

    async def disable(self) -> None:
        await self.rooms.kit.work.write(lambda tx: self.rooms.accounts.disable(tx, self.alice, Via()))


@pytest.fixture
async def house(tmp_path: Path) -> Any:
    clock = ManualClock()
    auth = Admit(
        database="sqlite://", passwords={"hash": "cheap"}, clock=clock, run_directory=tmp_path,
        issuer="http://127.0.0.1:8000",
    )  # fmt: skip
    async with auth.lifespan():
        house = House(auth, clock)
        await house.move_in()
        yield house


def results(found: Inspection) -> dict[str, str]:
    return {step.name: step.result for step in found.steps}


async def test_a_good_access_token(house: House) -> None:
    found = await house.look((await house.sign_in()).access_token)
    assert (found.what, found.accepted, found.reason) == ("access token", True, None)
    assert set(results(found).values()) == {"passed"}
    assert found.header["alg"] == "ES256"
    assert found.facts["owner"] == found.claims["sub"]
    assert "2" in found.claims["exp"]
    assert "accepted" in found.verdict


async def test_an_expired_token_whose_grant_was_ended_says_both(house: House) -> None:
    delivered = await house.sign_in()
    house.clock.advance(timedelta(minutes=16))
    await house.rooms.refresh.end(delivered.refresh_token, Via())
    found = await house.look(delivered.access_token)
    assert (found.reason, found.code) == ("jwt.expired", "token_expired")
    assert results(found)["type"] == "passed"
    assert results(found)["expiry"] == "failed"
    assert results(found)["grant"] == "not reached"
    assert "grant was ended" in found.also[0]


@pytest.mark.parametrize(("how", "reason"), [("end", "access.grant_ended"), ("disable", "access.subject_disabled")])
async def test_a_token_that_is_sound_but_revoked(house: House, how: str, reason: str) -> None:
    delivered = await house.sign_in()
    if how == "end":
        await house.rooms.refresh.end(delivered.refresh_token, Via())
    else:
        await house.disable()
    found = await house.look(delivered.access_token)
    assert (found.accepted, found.reason) == (False, reason)
    assert results(found)["signature"] == "passed"
    assert found.mend


async def test_a_token_of_a_revoked_signing_key(house: House) -> None:
    token = (await house.sign_in()).access_token
    house.clock.advance(timedelta(seconds=1))
    await house.rooms.signing_keys.revoke(str(cast("Any", parts_of_jwt(token)).header["kid"]), Via())
    found = await house.look(token)
    assert found.reason == "jwt.key_revoked"
    assert results(found)["signing key"] == "failed"


async def test_tokens_that_are_not_ours(house: House) -> None:
    token = (await house.sign_in()).access_token
    head, payload, _ = token.split(".")
    forged = await house.look(f"{head}.{payload}.{'A' * 86}")
    assert forged.reason == "jwt.signature"
    assert forged.also == ()  # what nobody proved must not open what the store knows
    foreign = await house.look(pyjwt.encode({"sub": "x", "iss": "https://else.example"}, "k" * 32, "HS256"))
    assert (foreign.what, foreign.reason) == ("foreign JWT", "jwt.algorithm")
    assert foreign.claims["iss"] == "https://else.example"
    extra = await house.look(pyjwt.encode({"sub": "x"}, secrets.token_bytes(32), "HS256", headers={"jku": "x"}))
    assert extra.reason == "jwt.header"


async def test_refresh_tokens_are_asked_about_without_being_used(house: House) -> None:
    first = (await house.sign_in()).refresh_token
    found = await house.look(first)
    assert (found.what, found.accepted) == ("refresh token", True)
    assert found.facts["owner"].startswith("usr_")
    second = (await house.rooms.refresh.exchange(first, found.facts["client"], Via())).refresh_token
    assert (await house.look(first)).accepted  # within the grace the same exchange is answered again
    house.clock.advance(timedelta(seconds=11))
    assert (await house.look(first)).reason == "refresh.reused"
    # being asked about is not being used: the family lives
    third = (await house.rooms.refresh.exchange(second, found.facts["client"], Via())).refresh_token
    house.clock.advance(timedelta(days=8))
    assert (await house.look(third)).reason == "refresh.idle"
    await house.disable()
    assert (await house.look(third)).reason == "refresh.subject_disabled"
    assert (await house.look(third[:-1] + ("0" if third[-1] != "0" else "1"))).reason == "refresh.malformed"


async def test_refresh_tokens_of_ended_families_and_of_nobody(house: House) -> None:
    token = (await house.sign_in()).refresh_token
    await house.rooms.refresh.end(token, Via())
    assert (await house.look(token)).reason == "refresh.family_ended"
    await house.rooms.kit.work.write(lambda tx: house.rooms.accounts.delete(tx, house.alice, Via()))
    found = await house.look(token)
    assert (found.reason, found.facts) == ("refresh.unknown", {})


async def test_session_cookies(house: House) -> None:
    token = (await house.sign_in("session")).session_token
    found = await house.look(token)
    assert (found.what, found.accepted) == ("session cookie", True)
    house.clock.advance(timedelta(hours=9))
    assert (await house.look(token)).reason == "session.idle"
    assert (await house.look(token[:-6] + "000000")).reason == "session.malformed"


async def test_api_keys(house: House) -> None:
    made = await house.key()
    found = await house.look(made.key)
    assert (found.what, found.accepted, found.facts["name"]) == ("API key", True, "CI/CD")
    await house.rooms.kit.work.write(
        lambda tx: house.rooms.api_keys.revoke(tx, house.alice, made.row.id, By(frozenset()))
    )
    assert (await house.look(made.key)).reason == "api_key.revoked"
    assert (await house.look(made.key.replace("plive", "ptest"))).reason == "api_key.checksum"
    assert (await house.look((await house.key(expires_at=house.clock.now() + 1)).key)).accepted
    house.clock.advance(timedelta(seconds=1))


async def test_tickets(house: House) -> None:
    tickets = house.rooms.tickets

    async def issue() -> str:
        return await house.rooms.kit.work.write(
            lambda tx: tickets.issue(tx, "reset", house.alice, {}, timedelta(minutes=30))
        )

    used, late = await issue(), await issue()
    found = await house.look(late)
    assert (found.what, found.accepted, found.facts["purpose"]) == ("ticket", True, "reset")
    await house.rooms.kit.work.write(lambda tx: tickets.take(tx, "reset", used))
    assert (await house.look(used)).reason == "ticket.used"
    house.clock.advance(timedelta(minutes=31))
    assert (await house.look(late)).reason == "ticket.expired"
    assert (await house.look(late[:-1])).reason == "ticket.malformed"


@pytest.mark.parametrize("text", ["hello", "a.b.c", "eyJhbGciOiJub25lIn0..", "admit_", "x" * 70_000])
async def test_what_is_nothing_of_ours(house: House, text: str) -> None:
    found = await inspect(house.rooms, text)
    assert (found.what, found.accepted, found.reason) == ("unknown", None, None)


def test_every_step_names_reasons_that_exist_and_no_reason_twice() -> None:
    named = [reason for _, reasons in STEPS for reason in reasons]
    assert len(named) == len(set(named))
    assert set(named) <= REASONS.keys()
    ours = {reason for reason in REASONS if reason.startswith(("jwt.", "access."))}
    assert ours <= set(named)


# -- the verb ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in a file with a live access token, which is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ADMIT_DATABASE", f"sqlite:///{tmp_path}/a.sqlite3")
    monkeypatch.setenv("ADMIT_PASSWORDS__HASH", "cheap")

    async def fill(rooms: Any) -> str:
        new = NewAccount((parse("username", "alice"),), await rooms.pool.hash(PASSWORD))
        await rooms.kit.work.write(lambda tx: rooms.accounts.create(tx, new, Via()))
        delivered = (await rooms.login.login("alice", PASSWORD, "tokens", Via())).delivered
        return str(delivered.access_token)

    return opening.within(cast("Callable[[Any], Awaitable[str]]", fill))


@pytest.mark.parametrize("as_json", [True, False])
def test_the_verb_takes_the_token_from_stdin_and_never_shows_it(
    stored: str, as_json: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"Bearer {stored}\n"))
    assert run(["tokens", "inspect", *(["--json"] if as_json else [])]) == 0
    out, err = capsys.readouterr()
    assert stored.split(".")[2] not in out + err
    if as_json:
        assert json.loads(out)["what"] == "access token"
    else:
        assert out.startswith("Access token: good now")
        assert "✓ signature (passed)" in out


def test_the_verb_ends_with_1_for_what_is_refused(stored: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = stored[:-20] + "A" * 20
    assert run(["tokens", "inspect", broken]) == 1
    out = capsys.readouterr().out
    assert "refused now" in out
    assert "Claims (not proved)" in out
    assert "reason jwt.signature, told to the caller as token_invalid" in out
    assert broken not in out


def test_the_verb_without_a_token(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert run(["tokens", "inspect"]) == 2
    assert "pipe it in" in capsys.readouterr().err
