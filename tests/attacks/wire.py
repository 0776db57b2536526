"""Requests byte by byte, and what they must not do: answer with a 5xx, tell how we are built, or change a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from admit.ground.codes import CODES
from admit.stores.sql import schema
from tests.flows.stand import Stand

#: what a refusal may write: the log, the counters, and whether somebody may learn that we are up
_OF_REFUSALS = {"events", "event_persons", "limits", "waits", "leases", "cursors", "jobs", "audit_log", "audit_blocks"}
Header = tuple[bytes, bytes]


class Reply(NamedTuple):
    """One answer."""

    status: int
    headers: dict[bytes, bytes]
    content: bytes

    @property
    def code(self) -> str:
        """The code of a refusal."""
        return str(json.loads(self.content)["code"])


class Wire:
    """The application called as a server calls it. `admin` and `anonymous` are ready-made headers."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.admin: list[Header] = []
        self.session: list[Header] = []
        self.ids: dict[str, str] = {}
        self.owner = b""

    async def prepared(self) -> Wire:
        """With an administrator who is signed in both ways, and one of everything that has an id."""
        self.ids["user_id"] = await self.stand.person("goat", mail=False)
        await self.stand.person("root", "admin", "editor", "verifier", mail=False)
        self.owner = (await self.stand.account("root")).id
        bearer = await self.stand.signed_in("root")
        self.admin = [(b"authorization", bearer.headers["authorization"].encode())]
        browser = await self.stand.signed_in("root", "session")
        cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies.jar)
        self.session = [(b"cookie", cookie.encode()), (b"x-csrf-token", browser.headers["x-csrf-token"].encode())]
        self.ids["key_id"], _ = await self.stand.keyed(bearer, "read:posts")
        robot = await bearer.post("/auth/service-accounts", json={"name": "robot"})
        self.ids["account_id"] = robot.json()["id"]
        self.ids["session_id"] = (await bearer.get("/auth/sessions")).json()["sessions"][0]["id"]
        self.ids["kid"] = (await bearer.get("/auth/admin/signing-keys")).json()["signing_keys"][0]["kid"]
        self.ids["role"], self.ids["finding_id"] = "member", "fnd_" + "0" * 21 + "1"
        return self

    async def send(
        self, method: str, path: str, headers: Iterable[Header] = (), *, query: bytes = b"",
        body: bytes | Iterable[bytes] = b"", host: bytes | None = b"127.0.0.1:8000", address: str = "203.0.113.7",
    ) -> Reply:  # fmt: skip
        """One request; a body that is not one piece is sent in chunks, without a length."""
        chunks = [body] if isinstance(body, bytes) else list(body)
        sent = [] if host is None else [(b"host", host)]
        if isinstance(body, bytes) and body and not any(name == b"content-length" for name, _ in headers):
            sent.append((b"content-length", str(len(body)).encode()))
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1",
            "method": method, "scheme": "http", "path": path, "raw_path": path.encode("utf-8", "surrogatepass"),
            "query_string": query, "root_path": "", "headers": [*sent, *headers], "client": (address, 4711),
            "server": ("127.0.0.1", 8000), "state": {},
        }  # fmt: skip
        waiting = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks[:-1]]
        waiting.append({"type": "http.request", "body": chunks[-1] if chunks else b"", "more_body": False})
        messages: list[Any] = []

        async def receive() -> Any:
            return waiting.pop(0) if waiting else {"type": "http.disconnect"}

        async def answer(message: Any) -> None:
            messages.append(message)

        await self.stand.app(scope, receive, answer)
        content = b"".join(message.get("body", b"") for message in messages[1:])
        return Reply(messages[0]["status"], dict(messages[0]["headers"]), content)

    async def json(self, method: str, path: str, content: Any, headers: Iterable[Header] = ()) -> Reply:
        """A request with a JSON body; `content` as bytes is sent as it is."""
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.send(method, path, [*headers, (b"content-type", b"application/json")], body=body)

    async def tables(self) -> dict[str, list[Any]]:
        """Every row of every table that no refusal may touch."""
        tables = [table for table in schema.metadata.sorted_tables if table.name[6:] not in _OF_REFUSALS]

        def read(tx: Any) -> dict[str, list[Any]]:
            return {table.name: sorted(tx.connection.execute(sa.select(table)).all(), key=repr) for table in tables}

        return await self.stand.auth.rooms.kit.work.read(read)

    def filled(self, path: str) -> str:
        """A path with ids of things that are there."""
        for name, value in self.ids.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, path
        return path

    def operations(self) -> list[tuple[str, str, Mapping[str, Any]]]:
        """Method, path and description of every operation of ours."""
        from admit.web.openapi import document

        found = document(self.stand.auth.settings, self.stand.auth.site())
        self.components: Mapping[str, Any] = found["components"]
        return [(method.upper(), path, one) for path, item in found["paths"].items() for method, one in item.items()]

    def properties(self, operation: Mapping[str, Any]) -> Mapping[str, Any]:
        """The members of an operation's JSON body; empty when it has none."""
        if "requestBody" not in operation:
            return {}
        wanted = operation["requestBody"]["content"]["application/json"]["schema"]
        reference = next(one for one in (wanted, *wanted.get("anyOf", ())) if "$ref" in one)["$ref"]
        model: Mapping[str, Any] = self.components["schemas"][reference.rpartition("/")[2]]
        return model


def wrong(reply: Reply) -> str | None:
    """What is not as a refusal must be; None when all is."""
    if not 400 <= reply.status < 500:
        return f"status {reply.status}: {reply.content[:200]!r}"
    if reply.headers.get(b"content-type") != b"application/problem+json":
        return f"content type {reply.headers.get(b'content-type')!r}: {reply.content[:200]!r}"
    problem = json.loads(reply.content)
    if problem["code"] not in CODES or CODES[problem["code"]].status != reply.status:
        return f"code {problem['code']} at {reply.status}"
    if not problem["request_id"] or problem["request_id"].encode() != reply.headers[b"x-request-id"]:
        return "no request id"
    for secret in (b"Traceback", b".py", b"sqlalchemy", b"asyncpg", b"sqlite", b"/site-packages/"):
        if secret in reply.content:
            return f"it tells how we are built: {reply.content[:300]!r}"
    return None
