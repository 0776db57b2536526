"""Limits as callers meet them: sign-in, registration, API keys, and the application's own routes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from datetime import timedelta

import httpx2
import pytest

from tests.flows.conftest import Open
from tests.flows.stand import PASSWORD, Stand, code, login

WRONG = "Wrong Horse 9 Battery!"
NEAR = ["fastapi", "starlette", "asgi"]


def forged() -> Iterator[dict[str, str]]:
    """Another address in every forwarding header, each time."""
    names = ("X-Forwarded-For", "X-Real-IP", "CF-Connecting-IP", "True-Client-IP", "X-Client-IP")
    for number in itertools.count(1):
        address = f"198.51.{number // 250}.{number % 250 + 1}"
        yield {**dict.fromkeys(names, address), "Forwarded": f"for={address}"}


def limited(answer: httpx2.Response) -> int:
    """Seconds to wait, as a refusal says them everywhere."""
    assert code(answer) == (429, "rate_limited")
    wait = int(answer.headers["retry-after"])
    unit = "second" if wait == 1 else "seconds"
    assert answer.json()["detail"] == f"Too many requests. Try again in {wait} {unit}"
    return wait


@pytest.mark.proof("ASVS-6.3.1", "ASVS-2.4.1", "ASVS-6.1.1")
async def test_sign_in_five_a_minute(stand: Stand) -> None:
    await stand.person()
    client = stand.caller()
    for _ in range(5):
        assert code(await login(client, password=WRONG)) == (401, "login_failed")
    # also with the right password, and in another spelling of the same name
    for name in ("alice", "ALICE", "aLiCe"):
        limited(await login(client, name))
    # a known and an unknown account are limited alike
    for _ in range(5):
        assert code(await login(client, "nobody", password=WRONG)) == (401, "login_failed")
    wait = limited(await login(client, "nobody", password=WRONG))
    stand.clock.advance(timedelta(seconds=wait))
    assert code(await login(client, "nobody", password=WRONG)) == (401, "login_failed")
    stand.clock.advance(timedelta(minutes=20))
    assert (await login(client)).status_code == 200


@pytest.mark.proof("ASVS-15.3.4", "ASVS-4.1.3")
async def test_forged_forwarding_headers_change_nothing(mount: str, opened: Open) -> None:
    """CVE-2025-59152: each request with another address got a bucket of its own."""
    async with opened(mount) as stand:
        await stand.person()
        client, headers = stand.caller(), forged()
        answers = [await login(client, password=WRONG, headers=next(headers)) for _ in range(50)]
        assert [answer.status_code for answer in answers] == [401] * 5 + [429] * 45
        # and over many names the address is counted, whatever it says of itself
        stand.clock.advance(timedelta(hours=1))
        sprayed = [await login(client, f"user{n}", password=WRONG, headers=next(headers)) for n in range(30)]
        assert [answer.status_code for answer in sprayed] == [401] * 20 + [429] * 10
        addresses = {row["address"] for row in await stand.events(type="login.failed")}
        assert addresses == ({"127.0.0.2"} if stand.over_sockets else {"203.0.113.7"})
        # the application's own limit looks at the same address
        hits = [await client.get("/limited", headers=next(headers)) for _ in range(5)]
        assert [answer.status_code for answer in hits] == [200] * 3 + [429] * 2


@pytest.mark.proof("ASVS-15.3.4")
@pytest.mark.parametrize("framework", NEAR)
async def test_a_trusted_proxy_is_believed_up_to_its_own_hop(framework: str, opened: Open) -> None:
    async with opened(framework, trusted_proxies=("10.0.0.0/8", "2001:db8::/32")) as stand:
        await stand.person()
        proxy = stand.caller("10.0.0.1")
        table = [
            ("198.51.100.1", "198.51.100.1"),
            ("1.2.3.4, 198.51.100.2", "198.51.100.2"),  # what stood there before is the client's word
            ("198.51.100.3, 10.0.0.9", "198.51.100.3"),  # two of ours
            ("1.2.3.4, nonsense", "10.0.0.1"),
            ("10.0.0.5", "10.0.0.5"),
            ("198.51.100.4, 2001:db8::7", "198.51.100.4"),
        ]
        for sent, seen in table:
            answer = await login(proxy, password=WRONG, headers={"X-Forwarded-For": sent})
            assert answer.status_code in (401, 429)
            rows = await stand.events(type="login.failed", request_id=answer.headers["x-request-id"])
            assert [row["address"] for row in rows] == [seen], sent
        stranger = stand.caller("203.0.113.9")
        answer = await login(stranger, password=WRONG, headers={"X-Forwarded-For": "198.51.100.1"})
        rows = await stand.events(request_id=answer.headers["x-request-id"])
        assert [row["address"] for row in rows] == ["203.0.113.9"]


async def test_eight_addresses_guessing_one_name_are_limited(house: Stand) -> None:
    await house.person()
    callers = [house.caller(f"198.51.100.{number}") for number in range(8)]
    answers = [await login(caller, password=WRONG) for caller in callers for _ in range(3)]
    assert [answer.status_code for answer in answers].count(401) == 5


@pytest.mark.proof("ASVS-6.1.1", "NIST-3.2.2-delay")
async def test_a_known_device_is_spared(stand: Stand) -> None:
    await stand.person()
    home = stand.caller()
    assert (await login(home)).status_code == 200
    assert "admit-device" in home.cookies
    stranger = stand.caller()
    for _ in range(11):
        await login(stranger, password=WRONG)
    limited(await login(stranger))
    # the owner's own browser signs in meanwhile
    assert (await login(home)).status_code == 200
    # the cookie spares its own account only, and has a limit of its own
    await stand.person("bob")
    for _ in range(5):
        assert (await login(home, password=WRONG)).status_code == 401
    limited(await login(home))
    bob = stand.caller()
    for _ in range(5):
        await login(bob, "bob", password=WRONG)
    limited(await login(home, "bob"))


async def test_a_success_gives_back_its_own_hit_only(house: Stand) -> None:
    await house.person()
    await house.person("bob")
    for _ in range(4):
        assert (await login(house.caller(), password=WRONG)).status_code == 401
    for _ in range(30):
        assert (await login(house.caller())).status_code == 200  # each gives its hit back
    assert (await login(house.caller(), password=WRONG)).status_code == 401
    limited(await login(house.caller()))  # the five wrong ones still count
    # the attacker's own account does not refill the address
    client = house.caller("198.51.100.9")
    for number in range(19):
        assert (await login(client, f"user{number}", password=WRONG)).status_code == 401
        assert (await login(client, "bob")).status_code == 200
    assert (await login(client, "user19", password=WRONG)).status_code == 401
    limited(await login(client, "user20", password=WRONG))
    limited(await login(client, "bob"))


@pytest.mark.proof("ASVS-15.4.2", "ASVS-2.3.4")
@pytest.mark.parametrize("framework", NEAR)
async def test_of_a_hundred_guesses_at_once_five_are_checked(framework: str, opened: Open) -> None:
    """CVE-2019-5421: parallel tries read the counter before any of them wrote it."""
    async with opened(framework, limits={"login_address": 1000}) as stand:
        await stand.person()
        client = stand.caller()
        answers = await asyncio.gather(*(login(client, password=WRONG) for _ in range(100)))
        statuses = [answer.status_code for answer in answers]
        assert (statuses.count(401), statuses.count(429)) == (5, 95)
        rows = await stand.events(type="login.failed")
        checked = [row for row in rows if row["reason"] == "login.password"]
        assert sum(row["count"] for row in checked) == 5
        assert sum(row["count"] for row in rows) == 100


@pytest.mark.proof("NIST-3.2.2-delay")
async def test_waits_grow(house: Stand) -> None:
    await house.person()
    client = house.caller()
    waits: list[int] = []
    while len(waits) < 8:
        answer = await login(client, password=WRONG)
        if answer.status_code == 429:
            waits.append(limited(answer))
            house.clock.advance(timedelta(seconds=waits[-1]))
    assert waits == sorted(waits)
    assert waits[-1] > 8 * waits[0]


@pytest.mark.proof("ASVS-2.4.1", "CS-FORGOT-host")
async def test_registration_and_mails_are_limited(house: Stand) -> None:
    client = house.caller()
    for number in range(5):
        body = {"username": f"user{number}", "password": PASSWORD}
        assert (await client.post("/auth/register", json=body)).status_code == 202
    limited(await client.post("/auth/register", json={"username": "user5", "password": PASSWORD}))
    for path, body in (("password/forgot", {"identifier": "a@x.test"}), ("email/resend", {"email": "a@x.test"})):
        for number in range(3):
            caller = house.caller(f"198.51.100.{number}")
            assert (await caller.post(f"/auth/{path}", json=body)).status_code == 202
        limited(await house.caller("198.51.100.99").post(f"/auth/{path}", json=body))


@pytest.mark.proof("ASVS-2.4.1")
async def test_the_applications_own_limits(stand: Stand) -> None:
    client = stand.caller()
    answers = [await client.get("/limited") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=2", "r=1", "r=0", "r=0"]
    assert all(answer.headers["ratelimit-policy"] == '"route";q=3;w=60' for answer in answers)
    assert limited(answers[3]) == 20
    # another route and another address have their own
    assert (await client.get("/limited-too")).status_code == 200
    if not stand.over_sockets:
        assert (await stand.caller("198.51.100.1").get("/limited")).status_code == 200
    assert (await stand.caller().get("/limited")).status_code == 429
    stand.clock.advance(timedelta(seconds=20))
    assert (await client.get("/limited")).status_code == 200
    # by what the application says
    for tenant, status in (("a", 200), ("a", 200), ("a", 429), ("b", 200)):
        answer = await client.get("/limited-by", headers={"X-Tenant": tenant})
        assert answer.status_code == status
    refused = await stand.events(type="request.refused", reason="limit.route")
    assert len(refused) == 3


@pytest.mark.proof("CS-REST-keys")
async def test_a_keys_own_limit(stand: Stand) -> None:
    await stand.person()
    owner = await stand.signed_in()
    _, program = await stand.keyed(owner, "read:posts", limit={"hits": 4, "seconds": 60})
    answers = [await program.get("/protected") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429]
    assert [answer.headers["ratelimit"].split(";")[1] for answer in answers] == ["r=3", "r=2", "r=1", "r=0", "r=0"]
    assert all(answer.headers["ratelimit-policy"] == '"api-key";q=4;w=60' for answer in answers)
    assert limited(answers[4]) == 15
    # the owner, and another key of theirs, go on
    _, other = await stand.keyed(owner)
    assert (await other.get("/protected")).status_code == 200
    assert other.headers != program.headers
    assert (await owner.get("/protected")).status_code == 200
    assert "ratelimit" not in (await owner.get("/protected")).headers
    stand.clock.advance(timedelta(seconds=15))
    assert (await program.get("/protected")).status_code == 200
    # nobody lifts their own limit above the default
    greedy = {"name": "x", "limit": {"hits": 1_000_000, "seconds": 1}}
    assert code(await owner.post("/auth/api-keys", json=greedy)) == (422, "invalid_input")
