"""Two Admits in one application: staff and customers, each with accounts, cookies and keys of its own.

Without postponed annotations: FastAPI could not find the local names in them.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, cast

import httpx2
import pytest
from asgi_lifespan import LifespanManager
from fastapi import Depends, FastAPI

from admit import Admit, Credential, Principal, Subject
from admit.testing.clock import ManualClock
from tests.flows.applications import seen
from tests.flows.stand import PASSWORD, RIGHTS, code


class Both:
    """The application, its two Admits, and callers without a cookie of anybody."""

    def __init__(self, staff: Admit, customers: Admit, app: Any) -> None:
        self.staff = staff
        self.customers = customers
        self.app = app

    def caller(self) -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url="http://localhost:8000")


@pytest.fixture
async def both(tmp_path: Path) -> AsyncIterator[Both]:
    same: dict[str, Any] = {"passwords": {"hash": "cheap"}, "clock": ManualClock(), "database": "sqlite://", **RIGHTS}
    staff = Admit(
        issuer="http://localhost:8000/staff", prefix="/staff", brand="staff", run_directory=tmp_path / "staff",
        cookies={"session": "staff-session", "access": "staff-access", "refresh": "staff-refresh"}, **same,
    )  # fmt: skip
    customers = Admit(issuer="http://localhost:8000", run_directory=tmp_path / "customers", **same)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with staff.lifespan(), customers.lifespan():
            yield

    app = FastAPI(lifespan=lifespan)
    staff.mount(app)
    customers.mount(app)

    @app.get("/desk")
    async def desk(caller: Annotated[Principal, Depends(staff.require())]) -> dict[str, Any]:
        return seen(caller)

    @app.get("/shop")
    @app.post("/shop")
    async def shop(caller: Annotated[Principal, Depends(customers.require())]) -> dict[str, Any]:
        return seen(caller)

    @app.get("/counter")
    async def counter(
        clerk: Annotated[Principal, Depends(staff.require())],
        customer: Annotated[Principal | None, Depends(customers.optional)],
    ) -> dict[str, Any]:
        return {"clerk": clerk.subject.id, "customer": None if customer is None else customer.subject.id}

    async with LifespanManager(cast("Any", app)) as manager:
        yield Both(staff, customers, manager.app)


async def signed_in(client: httpx2.AsyncClient, prefix: str, deliver: str) -> dict[str, Any]:
    assert (
        await client.post(f"{prefix}/register", json={"username": "alice", "password": PASSWORD})
    ).status_code == 202
    login = {"identifier": "alice", "password": PASSWORD, "deliver": deliver}
    answer = await client.post(f"{prefix}/login", json=login)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def test_tokens_of_one_are_nothing_to_the_other(both: Both) -> None:
    async with both.caller() as client:
        ours = {}
        for prefix in ("/staff", "/auth"):
            ours[prefix] = f"Bearer {(await signed_in(client, prefix, 'tokens'))['access_token']}"
        by = {prefix: {"Authorization": bearer} for prefix, bearer in ours.items()}
        assert (await client.get("/desk", headers=by["/staff"])).status_code == 200
        assert (await client.get("/shop", headers=by["/auth"])).status_code == 200
        assert code(await client.get("/desk", headers=by["/auth"])) == (401, "token_invalid")
        assert code(await client.get("/shop", headers=by["/staff"])) == (401, "token_invalid")
        assert code(await client.get("/staff/me", headers=by["/auth"])) == (401, "token_invalid")
        assert (await client.get("/staff/me", headers=by["/staff"])).json()["username"] == "alice"


async def test_one_browser_may_be_signed_in_at_both(both: Both) -> None:
    async with both.caller() as client:
        await signed_in(client, "/staff", "session")
        assert (await client.get("/desk")).status_code == 200
        assert code(await client.get("/shop")) == (401, "not_authenticated")
        assert (await client.get("/counter")).json()["customer"] is None
        csrf = (await signed_in(client, "/auth", "session"))["csrf_token"]
        assert set(client.cookies) >= {"staff-session", "admit-session"}
        answer = (await client.get("/counter")).json()
        assert None not in answer.values()
        assert answer["clerk"] != answer["customer"]
        assert code(await client.post("/shop")) == (403, "csrf_missing")
        assert (await client.post("/shop", headers={"X-CSRF-Token": csrf})).status_code == 200
        # a token against forgery of one is none of the other
        foreign = (await client.get("/staff/csrf")).json()["csrf_token"]
        assert code(await client.post("/shop", headers={"X-CSRF-Token": foreign})) == (403, "csrf_invalid")


async def test_who_is_pretended_at_one_is_nobody_at_the_other(both: Both) -> None:
    clerk = Principal(Subject("user", "usr_clerk"), Credential("session", "ses_x"), frozenset())
    async with both.caller() as client:
        with both.staff.acting_as(clerk):
            assert (await client.get("/desk")).json()["who"] == "usr_clerk"
            assert code(await client.get("/shop")) == (401, "not_authenticated")
        assert both.staff.require("read:posts") != both.customers.require("read:posts")
        assert both.staff.require("read:posts") == both.staff.require("read:posts")


async def test_each_answers_below_its_own_prefix_and_openapi_shows_both(both: Both) -> None:
    async with both.caller() as client:
        answer = await client.get("/desk")
        assert code(answer) == (401, "not_authenticated")
        assert len(answer.headers.get_list("x-request-id")) == 1
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        for prefix in ("/staff", "/auth"):
            assert code(await client.get(f"{prefix}/me")) == (401, "not_authenticated")
            assert code(await client.get(f"{prefix}/nothing")) == (404, "not_found")
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert {"/staff/login", "/auth/login", "/desk", "/shop"} <= paths.keys()
