"""A lifted route and the same route as FastAPI serves it: every answer is the same, and only the order is stricter."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

import httpx2
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from admit import Admit, Credential, Principal, Subject
from admit.credentials.grants import Person
from admit.ground.events import Via
from admit.ground.principal import Method
from admit.stores.sql import schema
from admit.testing.clock import ManualClock
from admit.web import middleware
from admit.web.lift import lift


class Post(BaseModel):
    """A body."""

    title: str


class Timed(APIRoute):
    """A route class with a handler of its own."""

    def get_route_handler(self) -> Any:
        inner = super().get_route_handler()

        async def handler(request: Request) -> Response:
            response: Response = await inner(request)
            response.headers["x-timed"] = "yes"
            return response

        return handler


def routes(app: FastAPI, auth: Admit) -> None:
    """One route of each kind that lifting must tell apart."""
    app.state.seen = []
    lifted_routes(app, auth)
    other_dependencies(app, auth)
    included_routes(app, auth)


def lifted_routes(app: FastAPI, auth: Admit) -> None:
    """Routes that begin with a dependency of ours."""
    Caller = Annotated[Principal, Depends(auth.require("read"))]  # noqa: N806 (a type)
    Anyone = Annotated[Principal | None, Depends(auth.optional)]  # noqa: N806 (a type)

    @app.get("/plain")
    async def plain(caller: Caller) -> dict[str, Any]:
        return {"who": caller.subject.id, "by": caller.credential.kind}

    @app.get("/thread")
    def thread(caller: Caller, page: int = 1) -> dict[str, Any]:
        return {"who": caller.subject.id, "page": page}

    @app.post("/body/{number}")
    async def body(number: int, post: Post, caller: Caller, request: Request) -> dict[str, Any]:
        return {"title": post.title, "number": number, "path": request.url.path, "who": caller.subject.id}

    @app.get("/nobody")
    async def nobody(caller: Anyone) -> dict[str, Any]:
        return {"who": None if caller is None else caller.subject.id}

    @app.get("/write", dependencies=[Depends(auth.require("write"))])
    async def write(caller: Caller) -> dict[str, Any]:
        return {"who": caller.subject.id}

    @app.get("/limited", dependencies=[Depends(auth.limit(1, timedelta(minutes=1)))])
    async def limited(caller: Caller) -> dict[str, Any]:
        return {"who": caller.subject.id}

    @app.get("/stream")
    async def stream(caller: Caller) -> AsyncIterator[dict[str, str]]:
        yield {"who": caller.subject.id}
        yield {"who": "end"}


def other_dependencies(app: FastAPI, auth: Admit) -> None:
    """Routes with dependencies beside ours: before, behind, with ours inside, with an end."""
    Caller = Annotated[Principal, Depends(auth.require("read"))]  # noqa: N806 (a type)
    seen = app.state.seen

    async def noted() -> str:
        seen.append("noted")
        return "noted"

    async def again(caller: Caller) -> Principal:
        return caller

    async def closing() -> AsyncIterator[str]:
        seen.append("opened")
        try:
            yield "open"
        finally:
            seen.append("closed")

    @app.get("/shared")
    async def shared(caller: Caller, same: Annotated[Principal, Depends(again)]) -> dict[str, Any]:
        return {"same": caller is same}

    @app.get("/behind")
    async def behind(noted: Annotated[str, Depends(noted)], caller: Caller) -> dict[str, Any]:
        return {"noted": noted, "who": caller.subject.id}

    @app.get("/closing")
    async def closed(caller: Caller, state: Annotated[str, Depends(closing)]) -> dict[str, Any]:
        raise HTTPException(418, state)


def included_routes(app: FastAPI, auth: Admit) -> None:
    """Routes of routers, one of them included twice."""
    Caller = Annotated[Principal, Depends(auth.require("read"))]  # noqa: N806 (a type)
    router = APIRouter(dependencies=[Depends(auth.require("read"))])

    @router.get("/inner")
    async def inner(caller: Caller) -> dict[str, Any]:
        return {"who": caller.subject.id}

    app.include_router(router, prefix="/one")
    app.include_router(router, prefix="/two", dependencies=[Depends(auth.require("write"))])
    timed = APIRouter(route_class=Timed)
    timed.add_api_route("/timed", inner)
    app.include_router(timed)


@dataclass
class Stand:
    """An application with a live access token of a person who may read."""

    app: FastAPI
    auth: Admit
    token: str
    client: httpx2.AsyncClient

    async def get(self, path: str, *, signed_in: bool = True, **more: Any) -> tuple[int, Any, dict[str, str]]:
        """Status, body without what differs between two requests, and headers that matter."""
        headers = {"authorization": f"Bearer {self.token}"} if signed_in else {}
        response = await self.client.request(more.pop("method", "GET"), path, headers=headers, **more)
        kept = {name: response.headers[name] for name in _KEPT if name in response.headers}
        return response.status_code, _comparable(response), kept


_KEPT = ("content-type", "www-authenticate", "x-timed", "ratelimit", "ratelimit-policy", "retry-after")


def _comparable(response: httpx2.Response) -> Any:
    if response.headers.get("content-type", "").endswith("json"):
        found = response.json()
        if isinstance(found, dict):
            found.pop("request_id", None)
        return found
    return response.text


async def _stand() -> AsyncIterator[Stand]:
    clock = ManualClock()
    auth = Admit(
        database="sqlite://", clock=clock, scopes={"read": "Read", "write": "Write"}, roles={"member": ("read",)},
        passwords={"hash": "cheap"},
    )  # fmt: skip
    app = FastAPI()
    auth.mount(app)
    routes(app, auth)
    await auth.open()
    token = await _token(auth)
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000") as client:
        yield Stand(app, auth, token, client)
    await auth.close()


async def _token(auth: Admit) -> str:
    kit, user = auth.rooms.kit, b"\x01" * 16

    def body(tx: Any) -> Any:
        row = {"tenant": 1, "id": user, "kind": "user", "roles": "member", "profile": {}, "created_at": tx.now}
        tx.connection.execute(schema.users.insert(), [row])
        person = Person(user, ("member",), (Method("pwd", tx.now),))
        return auth.rooms.delivery.start(tx, person, "tokens", Via("test", None, None))

    delivered = await auth.rooms.delivery.finish(await kit.work.write(body))
    assert delivered.access_token is not None
    return delivered.access_token


@pytest.fixture
async def both(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Stand, Stand]]:
    """The lifted application, and the one that FastAPI serves."""
    async for lifted in _stand():
        async for plain in _stand():
            monkeypatch.setattr(middleware, "lift", lambda app, left=plain.app: 0 if app is left else lift(app))
            yield lifted, plain


_SOMEBODY = (Subject("user", "usr_x"), Credential("session", "ses_x"))

CASES: list[tuple[str, dict[str, Any]]] = [
    ("/plain", {}),
    ("/thread?page=2", {}),
    ("/thread?page=x", {}),
    ("/body/7", {"method": "POST", "json": {"title": "Hello"}}),
    ("/body/x", {"method": "POST", "json": {}}),
    ("/nobody", {}),
    ("/write", {}),
    ("/shared", {}),
    ("/behind", {}),
    ("/closing", {}),
    ("/limited", {}),
    ("/stream", {}),
    ("/one/inner", {}),
    ("/two/inner", {}),
    ("/timed", {}),
    ("/plain", {"method": "POST"}),
    ("/none", {}),
]


@pytest.mark.parametrize("signed_in", [True, False])
async def test_every_answer_is_the_same(both: tuple[Stand, Stand], signed_in: bool) -> None:
    lifted, plain = both
    for path, more in CASES:
        assert await lifted.get(path, signed_in=signed_in, **more) == await plain.get(
            path, signed_in=signed_in, **more
        ), path
    assert lifted.app.state.seen == plain.app.state.seen


async def test_a_wrong_token_is_refused_alike(both: tuple[Stand, Stand]) -> None:
    lifted, plain = both
    for stand in both:
        stand.token += "x"
    for path, more in CASES:
        assert await lifted.get(path, **more) == await plain.get(path, **more), path


async def test_the_table_compares_something_lifted(both: tuple[Stand, Stand]) -> None:
    lifted, plain = both
    await lifted.get("/plain")
    await plain.get("/plain")
    assert _is_lifted(lifted.app, "/plain")
    assert not _is_lifted(lifted.app, "/behind")  # a stranger comes first: its effects must come first as well
    assert not _is_lifted(plain.app, "/plain")


def _is_lifted(app: FastAPI, path: str) -> bool:
    [route] = [route for route in app.router.routes if getattr(route, "path", None) == path]
    assert isinstance(route, APIRoute)
    cells = route.app.__closure__ or ()
    return any(getattr(cell.cell_contents, "lifted", False) for cell in cells)


async def test_nothing_is_read_before_the_caller_is_known(both: tuple[Stand, Stand]) -> None:
    lifted, _ = both
    broken: dict[str, Any] = {"method": "POST", "content": b"{", "signed_in": False}
    assert (await lifted.get("/body/7", **broken))[0] == 401


async def test_overrides_reach_a_lifted_route(both: tuple[Stand, Stand]) -> None:
    lifted, _ = both
    assert (await lifted.get("/plain", signed_in=False))[0] == 401
    somebody = Principal(*_SOMEBODY, frozenset())
    lifted.app.dependency_overrides[lifted.auth.require("read")] = lambda: somebody
    assert (await lifted.get("/plain", signed_in=False))[1]["who"] == "usr_x"
    assert (await lifted.get("/one/inner", signed_in=False))[1]["who"] == "usr_x"
    lifted.app.dependency_overrides.clear()
    assert (await lifted.get("/plain", signed_in=False))[0] == 401


async def test_acting_as_reaches_a_lifted_route(both: tuple[Stand, Stand]) -> None:
    lifted, _ = both
    with lifted.auth.acting_as(Principal(*_SOMEBODY, frozenset({"read"}))):
        assert (await lifted.get("/plain", signed_in=False))[1]["who"] == "usr_x"
    with lifted.auth.acting_as(Principal(*_SOMEBODY, frozenset())):
        assert (await lifted.get("/plain", signed_in=False))[0] == 403


async def test_openapi_says_what_it_said(both: tuple[Stand, Stand]) -> None:
    lifted, plain = both
    await lifted.get("/plain")
    assert lifted.app.openapi() == plain.app.openapi()


async def test_included_routes_are_lifted_even_when_fastapi_had_built_them(both: tuple[Stand, Stand]) -> None:
    lifted, plain = both
    lifted.app.openapi()  # builds every included route
    first = await lifted.get("/one/inner")
    assert first == await plain.get("/one/inner")
    assert first[0] == 200


async def test_a_route_that_somebody_wrapped_is_left_alone(both: tuple[Stand, Stand]) -> None:
    lifted, _ = both
    [route] = [route for route in lifted.app.router.routes if getattr(route, "path", None) == "/plain"]
    assert isinstance(route, APIRoute)
    inner = route.app

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        lifted.app.state.seen.append("wrapped")
        await inner(scope, receive, send)

    route.app = wrapped
    assert (await lifted.get("/plain"))[0] == 200
    assert lifted.app.state.seen == ["wrapped"]


async def test_a_route_that_is_declared_later_is_served_as_well(both: tuple[Stand, Stand]) -> None:
    lifted, _ = both
    await lifted.get("/plain")

    async def late(caller: Annotated[Principal, Depends(lifted.auth.require("read"))]) -> dict[str, str]:
        return {"who": caller.subject.id}

    lifted.app.add_api_route("/late", late)
    assert (await lifted.get("/late", signed_in=False))[0] == 401
    assert (await lifted.get("/late"))[0] == 200


def test_what_is_no_fastapi_application_has_nothing_to_lift() -> None:
    assert lift(None) == 0
    assert lift(object()) == 0


async def test_a_void_is_seen_by_the_short_way(both: tuple[Stand, Stand]) -> None:
    lifted, _ = both
    assert (await lifted.get("/plain"))[0] == 200
    assert (await lifted.get("/plain"))[0] == 200  # from the cache
    user, via = b"\x01" * 16, Via("test", None, None)
    await lifted.auth.rooms.kit.work.write(lambda tx: lifted.auth.rooms.delivery.end_all(tx, user, via))
    assert (await lifted.get("/plain"))[0] == 401
