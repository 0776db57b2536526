"""`Admit.remote`: a service without our database beside a real issuer in a process of its own.

Without postponed annotations: FastAPI could not find the local names in them.
"""

import asyncio
import contextlib
import json
from base64 import urlsafe_b64decode
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import Depends, FastAPI, WebSocket

from admit import Admit, Credential, Principal, Refusal, SettingsError, Subject, Unavailable
from admit.credentials.fence import Fence
from admit.crypto import jwt
from admit.crypto.keys import generate_key
from admit.ground.events import Via
from admit.remote import Remote
from admit.testing.clock import ManualClock
from tests.flows.applications import seen
from tests.flows.issuer import AUDIENCE, House, house
from tests.flows.stand import RIGHTS, code
from tests.flows.test_websockets import Socket
from tests.parts.servers import Servers

SOON = 2.0  # seconds: what the lease promises


@pytest.fixture
async def issuer(servers: Servers, tmp_path: Path) -> AsyncIterator[House]:
    """The issuer, with alice (editor) and a gateway that may verify."""
    async with house(servers, tmp_path) as running:
        yield running


def application(auth: Remote) -> FastAPI:
    """An API that knows nothing of accounts."""
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    @app.get("/open")
    async def open_() -> dict[str, Any]:
        return {}

    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, Depends(auth.optional)]) -> dict[str, Any]:
        return seen(caller)

    @app.get("/protected")
    async def protected(caller: Annotated[Principal, Depends(auth.require())]) -> dict[str, Any]:
        return seen(caller)

    @app.delete("/posts/1")
    async def delete_post(caller: Annotated[Principal, Depends(auth.require("delete:posts"))]) -> dict[str, Any]:
        return seen(caller)

    @app.get("/limited", dependencies=[Depends(auth.limit(2, timedelta(minutes=1)))])
    async def limited() -> dict[str, Any]:
        return {}

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, caller: Annotated[Principal, Depends(auth.require())]) -> None:
        await websocket.accept()
        await websocket.send_json(seen(caller))
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    return app


class Api:
    """The remote API, called without a socket."""

    def __init__(self, auth: Remote, app: Any) -> None:
        self.auth = auth
        self.app = app
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
        self.client = httpx2.AsyncClient(transport=transport, base_url="http://localhost:9000", timeout=30)

    async def get(self, token: str | None, path: str = "/protected") -> httpx2.Response:
        """By access token."""
        return await self.client.get(path, headers=_bearer(token))

    async def delete(self, token: str) -> httpx2.Response:
        """A post, by access token."""
        return await self.client.delete("/posts/1", headers=_bearer(token))

    async def keyed(self, key: str, method: str = "GET", path: str = "/protected") -> httpx2.Response:
        """By API key."""
        return await self.client.request(method, path, headers={"X-API-Key": key})


def _bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@contextlib.asynccontextmanager
async def serving(auth: Remote) -> AsyncIterator[Api]:
    async with LifespanManager(cast("Any", application(auth))) as manager:
        api = Api(auth, manager.app)
        async with api.client:
            yield api


@contextlib.asynccontextmanager
async def remote(issuer: House, **options: Any) -> AsyncIterator[Api]:
    """The API with a key of the gateway's own."""
    gateway = await issuer.person("gateway", "verifier")
    key, _ = await issuer.key(gateway, "admit:verify")
    async with serving(Admit.remote(issuer.url, AUDIENCE, key, scopes=RIGHTS["scopes"], **options)) as api:
        yield api


async def becomes(
    wanted: tuple[int, str] | int, ask: Callable[[], Awaitable[httpx2.Response]], within: float = SOON
) -> httpx2.Response:
    """The answer, once it is the wanted one; fails when that takes longer."""
    async with asyncio.timeout(within):
        while True:
            answer = await ask()
            if answer.status_code == (wanted if isinstance(wanted, int) else wanted[0]):
                assert isinstance(wanted, int) or code(answer) == wanted
                return answer


def claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    return dict(json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4))))


# -- tokens ----------------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-10.3.1", "ASVS-9.2.1", "ASVS-9.2.3")
@pytest.mark.rfc("RFC 9068 4")
async def test_a_token_is_accepted_by_its_audience_until_it_expires(issuer: House) -> None:
    alice = await issuer.person("alice", "editor")
    token = await issuer.signed_in("alice")
    async with remote(issuer) as api:
        answer = await api.get(token)
        assert answer.status_code == 200, answer.text
        assert answer.json()["who"] == alice
        assert answer.json()["by"] == "access_token"
        assert set(answer.json()["scopes"]) >= {"read:posts", "delete:posts"}
        assert (await api.delete(token)).status_code == 200
        assert (await api.auth.verify(token)).subject == Subject("user", alice)
        assert code(await api.get(None)) == (401, "not_authenticated")
        assert code(await api.get(f"{token[:-4]}AAAA")) == (401, "token_invalid")
        assert (await api.get(None, "/open")).status_code == 200
        assert (await api.get(None, "/maybe")).json() == {"who": None}
        with pytest.raises(Refusal) as refused:
            await api.auth.verify("x.y.z")
        assert refused.value.code == "token_invalid"
    key, _ = await issuer.key(alice)
    other = Admit.remote(issuer.url, "https://other.example.test", offline=True)
    late = Admit.remote(issuer.url, AUDIENCE, offline=True, clock=ManualClock(claims(token)["exp"] * 1_000_000))
    for auth, expected in ((other, "token_invalid"), (late, "token_expired")):
        async with serving(auth) as api:
            assert code(await api.get(token)) == (401, expected)
            assert code(await api.keyed(key)) == (401, "api_key_invalid")


@pytest.mark.proof("ASVS-7.4.1", "ASVS-7.4.2")
async def test_what_is_revoked_is_refused_within_two_seconds(issuer: House) -> None:
    alice = await issuer.person("alice", "editor")
    first, second = await issuer.signed_in("alice"), await issuer.signed_in("alice")
    async with remote(issuer) as api:
        assert (await api.get(first)).status_code == (await api.get(second)).status_code == 200
        answer = await issuer.client.post("/auth/logout", headers=_bearer(first))
        assert answer.status_code == 204, answer.text
        await becomes((401, "token_invalid"), lambda: api.get(first))
        assert (await api.get(second)).status_code == 200
        await issuer.write("disable", alice)
        await becomes((401, "token_invalid"), lambda: api.get(second))
        await issuer.write("enable", alice)
        await becomes(200, lambda: api.get(second))
        assert code(await api.get(first)) == (401, "token_invalid")


@pytest.mark.proof("ASVS-8.3.2")
async def test_a_lost_role_takes_its_scopes_along_and_signs_nobody_out(issuer: House) -> None:
    alice = await issuer.person("alice", "editor")
    token = await issuer.signed_in("alice")
    async with remote(issuer) as api:
        assert (await api.delete(token)).status_code == 200
        await issuer.write("revoke", alice, ("editor",))
        await becomes((403, "insufficient_scope"), lambda: api.delete(token))
        assert (await api.get(token)).json()["scopes"] == ["read:posts", "read:profile"]
    # a service that starts only now, with nothing in its memory, learns of it from the feed's beginning
    key, _ = await issuer.key(await issuer.person("late", "verifier"), "admit:verify")
    async with serving(Admit.remote(issuer.url, AUDIENCE, key)) as api:
        assert code(await api.delete(token)) == (403, "insufficient_scope")


async def test_an_open_connection_ends_with_its_credential(issuer: House) -> None:
    alice = await issuer.person("alice")
    token = await issuer.signed_in("alice")
    async with remote(issuer) as api:
        socket = Socket(api.app, {"authorization": f"Bearer {token}"}, "/socket")
        assert (await socket.heard())["type"] == "websocket.accept"
        assert alice in (await socket.heard())["text"]
        await issuer.write("disable", alice)
        ended = await socket.heard()
        assert (ended["type"], ended["code"]) == ("websocket.close", 4401)
        await socket.leave()


async def test_a_fence_ends_what_was_issued_before_it(issuer: House) -> None:
    await issuer.person("alice")
    token = await issuer.signed_in("alice")
    async with remote(issuer) as api:
        assert (await api.get(token)).status_code == 200
        await Fence(issuer.rooms.kit, issuer.rooms.signing_keys).raise_now(Via())
        # the gateway's own key is one of those, so nobody can be asked any more
        await becomes(503, lambda: api.get(token))


# -- API keys --------------------------------------------------------------------------------------------------------


async def test_api_keys_are_asked_about_once_and_again_when_they_move(issuer: House) -> None:
    alice = await issuer.person("alice", "editor")
    key, identifier = await issuer.key(alice, "read:posts", "delete:posts")
    limited, _ = await issuer.key(alice, "read:posts", limit=(2, 60_000_000))
    async with remote(issuer) as api:
        answer = await api.keyed(key)
        assert answer.status_code == 200, answer.text
        assert (answer.json()["who"], answer.json()["by"], answer.json()["name"]) == (alice, "api_key", "service")
        misses = api.auth._live.cache.misses
        for _ in range(20):
            assert (await api.keyed(key, "DELETE", "/posts/1")).status_code == 200
        assert api.auth._live.cache.misses == misses
        assert [(await api.keyed(limited)).status_code for _ in range(3)] == [200, 200, 429]
        await issuer.write("revoke", alice, ("editor",))
        await becomes((403, "insufficient_scope"), lambda: api.keyed(key, "DELETE", "/posts/1"))
        await issuer.revoke_key(alice, identifier)
        await becomes((401, "api_key_invalid"), lambda: api.keyed(key))
        await issuer.write("disable", alice)
        await becomes((401, "api_key_disabled"), lambda: api.keyed(limited))


async def test_junk_keys_cost_the_issuer_nothing_and_unknown_ones_a_bounded_number_of_questions(issuer: House) -> None:
    alice = await issuer.person("alice")
    key, _ = await issuer.key(alice)
    async with remote(issuer) as api:
        questions = 0
        ask = api.auth._issuer.api_key

        async def counted(text: str) -> dict[str, Any]:
            nonlocal questions
            questions += 1
            return await ask(text)

        api.auth._issuer.api_key = counted  # type: ignore[method-assign]
        for text in ("x", key[:-1] + ("A" if key[-1] != "A" else "B"), key.replace("_plive_", "_ptest_")):
            assert code(await api.keyed(text)) == (401, "api_key_invalid")
        assert questions == 0
        other, identifier = await issuer.key(alice)
        await issuer.revoke_key(alice, identifier)
        await becomes((401, "api_key_invalid"), lambda: api.keyed(other))
        asked = questions
        for _ in range(50):
            assert code(await api.keyed(other)) == (401, "api_key_invalid")
        # one more at most: news may have come in between
        assert questions <= asked + 1


# -- the issuer goes away --------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-16.5.3")
async def test_an_issuer_that_is_down_closes_what_is_protected_and_nothing_else(issuer: House) -> None:
    await issuer.person("alice")
    token = await issuer.signed_in("alice")
    async with remote(issuer) as api:
        assert (await api.get(token)).status_code == 200
        issuer.server.kill()
        answer = await becomes((503, "unavailable"), lambda: api.get(token), within=4)
        assert "retry-after" in answer.headers
        assert (await api.get(None, "/open")).status_code == 200
        assert (await api.get(None, "/maybe")).json() == {"who": None}
        with pytest.raises(Unavailable):
            await api.auth.verify(token)
        await asyncio.to_thread(issuer.server.start)
        await becomes(200, lambda: api.get(token), within=5)


async def test_a_service_starts_without_its_issuer(issuer: House) -> None:
    await issuer.person("alice")
    token = await issuer.signed_in("alice")
    gateway = await issuer.person("gateway", "verifier")
    key, _ = await issuer.key(gateway, "admit:verify")
    issuer.server.kill()
    async with serving(Admit.remote(issuer.url, AUDIENCE, key)) as api:
        assert (await api.get(None, "/open")).status_code == 200
        assert code(await api.get(token)) == (503, "unavailable")
        await asyncio.to_thread(issuer.server.start)
        await becomes(200, lambda: api.get(token), within=5)


async def test_a_longer_lease_bridges_an_outage(issuer: House) -> None:
    await issuer.person("alice")
    token = await issuer.signed_in("alice")
    clock = ManualClock(claims(token)["iat"] * 1_000_000)
    async with remote(issuer, lease=timedelta(seconds=30), clock=clock) as api:
        assert (await api.get(token)).status_code == 200
        issuer.server.kill()
        clock.advance(timedelta(seconds=29))
        assert (await api.get(token)).status_code == 200
        clock.advance(timedelta(seconds=31))
        assert code(await api.get(token)) == (503, "unavailable")


async def test_a_key_without_the_scope_opens_nothing(issuer: House) -> None:
    alice = await issuer.person("alice")
    token = await issuer.signed_in("alice")
    key, _ = await issuer.key(alice, "read:posts")
    async with serving(Admit.remote(issuer.url, AUDIENCE, key)) as api:
        assert code(await api.get(token)) == (503, "unavailable")
    assert code(await issuer.client.get("/auth/feed", headers={"X-API-Key": key})) == (403, "insufficient_scope")
    for method, path in (("GET", "/auth/feed"), ("POST", "/auth/tokens/verify")):
        assert code(await issuer.client.request(method, path, json={"token": "x"})) == (401, "not_authenticated")


# -- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.proof("ASVS-9.1.3")
async def test_a_new_signing_key_is_fetched_when_its_first_token_comes(issuer: House) -> None:
    await issuer.person("alice")
    old = await issuer.signed_in("alice")
    async with serving(Admit.remote(issuer.url, AUDIENCE, offline=True)) as offline, remote(issuer) as online:
        for api in (offline, online):
            assert (await api.get(old)).status_code == 200
        kid = await issuer.rooms.signing_keys.rotate(Via(), at_once=True)

        async def signed_by_the_new_one() -> httpx2.Response:
            answer = await issuer.client.get("/.well-known/jwks.json")
            known = kid in {jwk["kid"] for jwk in answer.json()["keys"]}
            return httpx2.Response(200 if known else 404)

        await becomes(200, signed_by_the_new_one)
        new = await issuer.signed_in("alice")
        for api in (offline, online):
            await becomes(200, lambda api=api: api.get(new))  # type: ignore[misc]
            assert (await api.get(old)).status_code == 200
        await issuer.rooms.signing_keys.revoke(kid, Via())
        await becomes((401, "token_invalid"), lambda: online.get(new))
        # nobody tells the offline one, which is what its name says
        assert (await offline.get(new)).status_code == 200


@pytest.mark.proof("ASVS-9.1.1", "ASVS-9.1.2")
@pytest.mark.rfc("RFC 8725 3.1")
async def test_tokens_of_other_keys_are_refused_and_cause_one_question_a_second(issuer: House) -> None:
    await issuer.person("alice")
    token = await issuer.signed_in("alice")
    clock = ManualClock(claims(token)["iat"] * 1_000_000)
    async with serving(Admit.remote(issuer.url, AUDIENCE, offline=True, clock=clock)) as api:
        assert (await api.get(token)).status_code == 200
        questions = 0
        fetch = api.auth._keys._fetch

        async def counted() -> Any:
            nonlocal questions
            questions += 1
            return await fetch()

        api.auth._keys._fetch = counted
        clock.advance(timedelta(seconds=2))
        forged = [jwt.sign(claims(token), generate_key("ES256", 0)) for _ in range(5)]
        for text in forged:
            assert code(await api.get(text)) == (401, "token_invalid")
        assert questions == 1
        symmetric = generate_key("HS256", 0)
        assert code(await api.get(jwt.sign(claims(token), symmetric))) == (401, "token_invalid")
        assert (await api.get(token)).status_code == 200


# -- offline ---------------------------------------------------------------------------------------------------------


async def test_offline_means_that_a_token_holds_until_it_expires(issuer: House) -> None:
    alice = await issuer.person("alice", "editor")
    token = await issuer.signed_in("alice")
    clock = ManualClock(claims(token)["iat"] * 1_000_000)
    async with serving(Admit.remote(issuer.url, AUDIENCE, offline=True, clock=clock)) as api:
        assert (await api.delete(token)).status_code == 200
        await issuer.write("disable", alice)
        assert code(await issuer.client.get("/auth/me", headers=_bearer(token))) == (401, "token_invalid")
        issuer.server.kill()
        # the keys are too old by now, and nobody to ask: they are used for an hour more
        clock.advance(timedelta(minutes=14))
        assert (await api.delete(token)).status_code == 200
        clock.advance(timedelta(minutes=1))
        assert code(await api.get(token)) == (401, "token_expired")
        clock.advance(timedelta(hours=1))
        assert code(await api.get(token)) == (503, "unavailable")


# -- the surface -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (("https://login.example.test", AUDIENCE), {}, "offline=True"),
        (("https://login.example.test", AUDIENCE, "admit_plive_x"), {"offline": True}, "takes no key"),
        (("https://login.example.test", AUDIENCE, "hunter2"), {}, "no API key"),
        (("http://login.example.test", AUDIENCE), {"offline": True}, "https"),
        (("https://login.example.test", ""), {"offline": True}, "audience"),
        (("https://login.example.test", ()), {"offline": True}, "audience"),
        (("login.example.test", AUDIENCE), {"offline": True}, "issuer"),
        (("https://login.example.test", AUDIENCE), {"offline": True, "private_network": "x"}, "x"),
        (("https://login.example.test", AUDIENCE), {"offline": True, "trusted_proxies": ("x",)}, "trusted_proxies"),
    ],
)
def test_what_cannot_work_is_refused_by_name(arguments: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Admit.remote(*arguments, **options)


def offline(**options: Any) -> Remote:
    return Admit.remote("https://login.example.test", AUDIENCE, offline=True, **options)


def test_a_misspelt_scope_is_refused_where_the_scopes_are_known() -> None:
    offline().require("delete:post")
    known = offline(scopes=RIGHTS["scopes"])
    known.require("delete:posts")
    with pytest.raises(Exception, match="delete:post"):
        known.require("delete:post")


async def test_limits_pretended_callers_and_closed_paths_work_as_they_do_beside_the_accounts() -> None:
    auth = offline(hosts=("localhost",))
    async with serving(auth) as api:
        assert [(await api.get(None, "/limited")).status_code for _ in range(3)] == [200, 200, 429]
        editor = Principal(Subject("user", "usr_x"), Credential("access_token", "x"), frozenset({"delete:posts"}))
        with auth.acting_as(editor):
            assert (await api.client.delete("/posts/1")).status_code == 200
        assert code(await api.client.delete("/posts/1")) == (401, "not_authenticated")
        # no path of ours is here, and a cookie of the issuer says nothing
        assert (await api.client.get("/auth/me")).status_code == 404
        cookie = {"Cookie": "__Host-admit-access=x.y.z; __Host-admit-session=x"}
        assert code(await api.client.get("/protected", headers=cookie)) == (401, "not_authenticated")
    closed = FastAPI()
    offline().mount(closed, public=("/open",))
    async with LifespanManager(cast("Any", closed)) as manager:
        client = Api(offline(), manager.app).client
        assert (await client.get("/open")).status_code == 404
        assert code(await client.get("/anything")) == (401, "not_authenticated")


def test_openapi_names_headers_only() -> None:
    auth = offline()
    schema = application(auth).openapi()
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "apiKey"}
    assert schema["paths"]["/posts/1"]["delete"]["security"] == [
        {"bearer": ["delete:posts"]},
        {"apiKey": ["delete:posts"]},
    ]
    assert set(schema["paths"]) == {"/open", "/maybe", "/protected", "/posts/1", "/limited"}
