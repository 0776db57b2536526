"""Registration: the same answer and the same work for a new and a known address."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import sqlalchemy as sa
from pydantic import BaseModel

from admit.flows.register import RegistrationRequest
from admit.ground.errors import Refusal
from admit.stores.sql import schema
from tests.house import PASSWORD, House

Build = Callable[..., Awaitable[House]]
WIDE = {"register": 1000}


class Person(BaseModel):
    city: str


async def refused(attempt: Awaitable[Any]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await attempt
    return caught.value


async def test_a_new_account_has_the_default_roles_and_a_mail_to_prove_its_address(house: House) -> None:
    await house.register(username="Ann", email="Ann@x.test")
    account = await house.database.read(lambda tx: house.accounts.named(tx, "username", "ann"))
    assert account is not None
    assert (account.roles, account.email_verified, account.username) == (("member",), False, "Ann")
    (password,) = await house.rows(schema.passwords)
    assert password["hash"].startswith("$argon2id$")
    assert PASSWORD not in str(await house.rows(schema.passwords))
    (mail,) = await house.mails()
    assert mail["recipient"] == "Ann@x.test"
    assert "/auth/ui/verify?ticket=" in mail["text"]
    (event,) = await house.events("account.registered")
    assert event["subject"] == account.shown
    assert (await house.login()).user == account.id


async def test_no_session_no_token_and_no_device_come_from_registering(house: House) -> None:
    assert await house.register(username="ann") is None
    for table in (schema.sessions, schema.grants, schema.devices, schema.tickets):
        assert await house.rows(table) == []


@pytest.mark.proof("ASVS-6.3.8")
async def test_a_known_address_is_answered_alike_and_its_owner_told(house: House) -> None:
    owner = await house.person("owner", "ann@x.test")
    assert await house.register(email="ANN@x.test") is None
    assert len(await house.rows(schema.users)) == 1
    jobs = await house.rows(schema.jobs)
    assert [(job["kind"], job["data"]) for job in jobs] == [("mail", {"template": "exists", "user": owner.shown})]
    (mail,) = await house.mails()
    assert (mail["recipient"], "?ticket=" in mail["text"]) == ("ann@x.test", False)
    (event,) = await house.events("account.register_repeated")
    assert (event["subject"], event["outcome"]) == (owner.shown, "refused")
    assert (await house.login("owner")).user == owner.id  # the old password still is the password


async def test_mail_goes_to_the_stored_address_never_to_the_typed_one(house: House) -> None:
    await house.person(None, "Ann.Stored@x.test")
    await house.register(email="aNN.sTORED@X.TEST")
    await house.passwords.forgot("ANN.STORED@x.test", house.via())
    assert {mail["recipient"] for mail in await house.mails()} == {"Ann.Stored@x.test"}


@pytest.mark.proof("ASVS-6.3.8")
@pytest.mark.parametrize("known", [True, False])
async def test_one_hash_and_one_job_whether_or_not_the_address_is_known(house: House, known: bool) -> None:
    if known:
        await house.person("owner", "ann@x.test")
    hashed: list[str] = []
    plain = house.pool.hash

    async def count(password: str) -> str:
        hashed.append(password)
        return await plain(password)

    house.pool.hash = count  # type: ignore[method-assign]
    await house.register(email="ann@x.test")
    assert hashed == [PASSWORD]
    assert len(await house.rows(schema.jobs)) == 1


@pytest.mark.proof("ASVS-6.3.8")
async def test_known_and_unknown_run_the_same_statements(build: Build) -> None:
    house = await build(limits=WIDE)
    await house.person("owner", "known@x.test")
    ran: list[str] = []

    def listen(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "SAVEPOINT" not in statement:
            ran.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        seen = []
        for address in ("warm-up@x.test", "known@x.test", "unknown@x.test"):
            ran.clear()
            await house.register(email=address)
            seen.append(list(ran))
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    assert seen[1] == seen[2]


async def test_usernames_are_public(house: House) -> None:
    await house.person("ann", "ann@x.test")
    refusal = await refused(house.register(username="ANN", email="new@x.test"))
    assert (refusal.reason, refusal.code, refusal.status) == ("register.username_taken", "username_taken", 409)
    both = await refused(house.register(username="ann", email="ann@x.test"))
    assert both.reason == "register.username_taken"
    assert len(await house.rows(schema.users)) == 1
    assert await house.mails() == []


async def test_all_errors_of_a_form_come_at_once(house: House) -> None:
    refusal = await refused(house.register(username="a b", email="x@@y"))
    assert (refusal.reason, refusal.status) == ("register.identifier", 422)
    assert [error["field"] for error in refusal.fields["errors"]] == ["username", "email"]


@pytest.mark.parametrize(
    ("overrides", "fields", "field", "message"),
    [
        ({}, {}, "email", "Required"),
        ({"identifiers": {"username"}}, {}, "username", "Required"),
        ({"identifiers": {"username"}}, {"email": "a@x.test", "username": "ann"}, "email", "Not in use here"),
        ({"identifiers": {"email"}}, {"email": "a@x.test", "username": "ann"}, "username", "Not in use here"),
        ({"require_verified": True}, {"username": "ann"}, "email", "Required"),
    ],
)
async def test_which_names_an_account_needs(
    build: Build, overrides: dict[str, Any], fields: dict[str, Any], field: str, message: str
) -> None:
    house = await build(**overrides)
    refusal = await refused(house.register(**fields))
    assert refusal.fields["errors"] == [{"field": field, "message": message}]
    assert await house.rows(schema.users) == []


@pytest.mark.proof("ASVS-6.2.1", "ASVS-6.2.11", "NIST-3.1.1.2-block")
async def test_every_reason_against_a_password_comes_at_once(build: Build) -> None:
    house = await build(limits=WIDE)
    refusal = await refused(house.register(username="marguerite", password="marguerite"))
    assert refusal.code == refusal.fields["errors"][0]["code"]
    codes = {error["code"] for error in refusal.fields["errors"]}
    assert codes >= {
        "password_too_short", "password_no_upper", "password_no_digit", "password_no_symbol", "password_like_username",
    }  # fmt: skip
    assert all(error["detail"] for error in refusal.fields["errors"])
    assert {"code": "password_too_short", "detail": "The password needs at least 12 characters"} in refusal.fields[
        "errors"
    ]
    local = await refused(house.register(email="marguerite@x.test", password="Marguerite 2026!"))
    assert "password_like_username" in {error["code"] for error in local.fields["errors"]}
    assert await house.rows(schema.users) == []


@pytest.mark.proof("ASVS-6.1.2")
async def test_words_of_the_place_are_refused_in_passwords(build: Build) -> None:
    house = await build(passwords={"context_words": ("acme",)}, limits=WIDE)
    refusal = await refused(house.register(username="ann", password="Acme-Acme-Acme-2026"))
    assert refusal.code == "password_context"
    plain = await build(limits=WIDE)
    await plain.register(username="ann", password="Acme-Acme-Acme-2026")


@pytest.mark.proof("ASVS-6.2.9", "NIST-3.1.1.2-max")
@pytest.mark.parametrize("length", [64, 128])
async def test_long_passwords_register_and_sign_in(house: House, length: int) -> None:
    password = ("Aé1 " * 64)[: length - 8] + "unlikely"
    await house.register(username="ann", password=password)
    assert (await house.login("ann", password)).user
    assert (await refused(house.login("ann", password[:-1]))).code == "login_failed"


@pytest.mark.proof("NIST-3.1.1.2-nfc")
async def test_composed_and_combined_letters_are_one_password(house: House) -> None:
    await house.register(username="ann", password="Caf\u00e9 au lait 1 matin!")
    assert (await house.login("ann", "Cafe\u0301 au lait 1 matin!")).user


async def test_a_closed_door(build: Build) -> None:
    house = await build(registration=False)
    refusal = await refused(house.register(username="ann"))
    assert (refusal.reason, refusal.code, refusal.status) == ("register.closed", "registration_refused", 403)


async def test_registrations_of_an_address_are_limited(build: Build) -> None:
    house = await build(limits={"register": 2})
    await house.register(username="one")
    await house.register(username="two")
    assert (await refused(house.register(username="three"))).reason == "register.limited"
    await house.register(house.via("192.0.2.77"), username="three")


async def test_the_application_decides_who_may_register(build: Build) -> None:
    asked: list[RegistrationRequest] = []

    def may(request: RegistrationRequest) -> bool | str:
        asked.append(request)
        return request.email == "ann@x.test" or "Staff only"

    house = await build(parts={"may_register": may, "profile": Person}, limits=WIDE)
    await house.register(username="Ann", email="Ann@x.test", profile={"city": "Ulm"})
    refusal = await refused(house.register(username="bob", profile={"city": "Rom"}))
    assert (refusal.reason, refusal.detail) == ("register.refused", "Staff only")
    assert [(one.username, one.email, one.profile) for one in asked] == [
        ("ann", "ann@x.test", {"city": "Ulm"}), ("bob", None, {"city": "Rom"}),
    ]  # fmt: skip
    assert PASSWORD not in repr(asked)
    assert len(await house.rows(schema.users)) == 1


@pytest.mark.parametrize("answer", [False, "", None, 0])
async def test_anything_but_yes_is_no(build: Build, answer: Any) -> None:
    async def may(_: RegistrationRequest) -> Any:
        return answer

    house = await build(parts={"may_register": may})
    refusal = await refused(house.register(username="ann"))
    assert (refusal.reason, refusal.detail) == ("register.refused", "This account cannot be created here")


async def test_the_profile_is_typed_by_the_application(build: Build) -> None:
    house = await build(parts={"profile": Person}, limits=WIDE)
    for wrong in ({}, {"city": 1}, {"city": "Ulm", "roles": ["admin"]}):
        assert (await refused(house.register(username="ann", profile=wrong))).reason == "people.profile"
    await house.register(username="ann", profile={"city": "Ulm"})
    (row,) = await house.rows(schema.users)
    assert (row["profile"], row["roles"]) == ({"city": "Ulm"}, "member")
