"""The guarded client against real servers on loopback, which it only reaches by a named allowance."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from admit.ground.errors import Unavailable
from admit.outbound.http import AllowPrivate, Guarded, OutboundRefused, Rules, resolve
from tests.parts.certificates import Authority
from tests.parts.ports import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


@dataclass
class Peer:
    """A server of few words: answers each request with `answer(path)` and keeps what it was sent."""

    port: int
    answer: Callable[[str], bytes]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if task := asyncio.current_task():
            self.serving.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (int(line[16:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length: ")),
                    0,
                )
                self.requests.append(head + await reader.readexactly(length))
                writer.write(self.answer(head.split()[1].decode()))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def peer(answer: Callable[[str], bytes] = lambda _: OK, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    one = Peer(free_port(), answer)
    server = await asyncio.start_server(one.serve, "127.0.0.1", one.port, ssl=tls)
    try:
        yield one
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*one.serving)


@dataclass
class Names:
    """A resolver whose answers change from one question to the next; the last one stays."""

    answers: dict[str, list[Sequence[str]]]
    asked: list[str] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        known = self.answers.get(host)
        if not known:
            raise OSError("no such name")
        return known.pop(0) if len(known) > 1 else known[0]


def reach(*origins: str, **more: object) -> Rules:
    allowed = frozenset(AllowPrivate(origin, "127.0.0.0/8") for origin in origins)
    return Rules(allow_private=allowed, schemes=frozenset({"http", "https"}), **more)  # type: ignore[arg-type]


async def refused(client: Guarded, url: str, redirects: int = 0) -> OutboundRefused:
    with pytest.raises(OutboundRefused) as caught:
        await client.get(url, part="peer", redirects=redirects)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


async def unavailable(client: Guarded, url: str) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        await client.get(url, part="peer")
    assert str(caught.value) == "peer is not available"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


async def test_get_and_post_reach_an_allowed_origin() -> None:
    async with peer() as one:
        origin = f"http://idp.example:{one.port}"
        async with Guarded(reach(origin), resolve=Names({"idp.example": [["127.0.0.1"]]})) as client:
            answer = await client.get(f"{origin}/a?b=c", part="peer", headers={"Accept": "application/json"})
            assert (answer.status_code, answer.text) == (200, "hi")
            await client.post(f"{origin}/form", part="peer", form={"code": "ä&b"})
            await client.post(f"{origin}/json", part="peer", json={"a": 1})
        got, form, json = one.requests
        assert got.startswith(b"GET /a?b=c HTTP/1.1\r\n")
        assert f"host: idp.example:{one.port}\r\n".encode() in got.lower()
        assert b"accept-encoding: identity\r\n" in got.lower()
        assert got.lower().count(b"\r\nhost:") == 1
        assert form.endswith(b"code=%C3%A4%26b")
        assert json.endswith(b'{"a":1}')
        assert one.connections == 1


async def test_an_answer_that_is_an_error_is_still_an_answer() -> None:
    async with peer(lambda _: b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n") as one:
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(origin)) as client:
            assert (await client.get(origin, part="peer")).status_code == 503


@pytest.mark.proof("ASVS-1.3.6")
@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "127.1",
        "localhost",
        "inside.example",
    ],
)
async def test_without_an_allowance_nothing_on_loopback_is_reached(host: str) -> None:
    async with peer() as one:
        rules = Rules(schemes=frozenset({"http"}), ports=frozenset({one.port}))
        async with Guarded(rules, resolve=Names({"inside.example": [["127.0.0.1"]]})) as client:
            await refused(client, f"http://{host}:{one.port}/")
        assert one.connections == 0


@pytest.mark.proof("ASVS-1.3.6")
@pytest.mark.parametrize(
    "found",
    [["10.0.0.1"], ["169.254.169.254"], ["100.64.0.9"], ["::ffff:127.0.0.1"], ["64:ff9b::7f00:1"], ["fd00:ec2::254"],
     ["fe80::1%1"], ["8.8.8.8", "127.0.0.1"]],
)  # fmt: skip
async def test_a_name_that_leads_inside_is_refused(found: list[str]) -> None:
    async with Guarded(resolve=Names({"evil.example": [found]})) as client:
        error = await refused(client, "https://evil.example/")
        assert str(error) == "outgoing call refused: address"


@pytest.mark.proof("ASVS-1.3.6")
async def test_a_name_is_asked_once_and_its_checked_address_dialled() -> None:
    """DNS rebinding: the second answer would lead elsewhere, so there must be no second question."""
    async with peer() as one:
        origin = f"http://rebind.example:{one.port}"
        names = Names({"rebind.example": [["127.0.0.1"], ["10.9.9.9"]]})
        async with Guarded(reach(origin), resolve=names) as client:
            await client.get(origin, part="peer")
        assert names.asked == ["rebind.example"]
        assert one.connections == 1


@pytest.mark.proof("ASVS-1.3.6")
async def test_a_rebound_name_is_checked_at_the_next_connection() -> None:
    async with peer(lambda _: OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")) as one:
        origin = f"http://rebind.example:{one.port}"
        names = Names({"rebind.example": [["127.0.0.1"], ["10.9.9.9"]]})
        async with Guarded(reach(origin), resolve=names) as client:
            await client.get(origin, part="peer")
            assert (await refused(client, origin)).reason == "address"


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with peer() as one:
        origin = f"http://two.example:{one.port}"
        names = Names({"two.example": [["127.0.0.2", "127.0.0.1"]]})
        async with Guarded(reach(origin), resolve=names) as client:
            assert (await client.get(origin, part="peer")).text == "hi"


@pytest.mark.proof("ASVS-15.3.2", "ASVS-1.3.6")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_are_refused_by_default(status: int) -> None:
    async with peer() as listener:
        location = (
            f"HTTP/1.1 {status} Go\r\nLocation: http://127.0.0.1:{listener.port}/\r\nContent-Length: 0\r\n\r\n".encode()
        )
        async with peer(lambda _: location) as one:
            origins = f"http://127.0.0.1:{one.port}", f"http://127.0.0.1:{listener.port}"
            async with Guarded(reach(*origins)) as client:
                assert (await refused(client, origins[0])).reason == "redirect"
                with pytest.raises(OutboundRefused):
                    await client.post(origins[0], part="peer", json={})
            assert listener.connections == 0


@pytest.mark.proof("ASVS-1.3.6", "ASVS-13.2.4")
async def test_each_hop_of_a_redirect_is_checked() -> None:
    async with peer() as listener:
        targets = {
            "/local": f"http://127.0.0.1:{listener.port}/",
            "/named": f"http://inside.example:{listener.port}/",
            "/file": "file:///etc/passwd",
            "/bad": "http://[v1.x]/",
            "/self": "/self",
            "/none": "",
        }

        def answer(path: str) -> bytes:
            return f"HTTP/1.1 302 Go\r\nLocation: {targets[path]}\r\nContent-Length: 0\r\n\r\n".encode()

        async with peer(answer) as one:
            origin = f"http://127.0.0.1:{one.port}"
            rules = reach(origin, ports=frozenset({listener.port}))
            async with Guarded(rules, resolve=Names({"inside.example": [["127.0.0.1"]]})) as client:
                reasons = {path: (await refused(client, origin + path, 3)).reason for path in targets}
        assert reasons == {
            "/local": "address", "/named": "address", "/file": "scheme", "/bad": "redirect", "/self": "redirect", "/none": "redirect",
        }  # fmt: skip
        assert listener.connections == 0
        assert sum(b"GET /self" in request for request in one.requests) == 4


@pytest.mark.proof("ASVS-15.3.2")
async def test_a_followed_redirect_takes_no_credential_along() -> None:
    async with peer() as there:
        moved = f"HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:{there.port}/new\r\nContent-Length: 0\r\n\r\n".encode()
        async with peer(lambda _: moved) as here:
            origins = f"http://127.0.0.1:{here.port}", f"http://127.0.0.1:{there.port}"
            headers = {
                "Authorization": "Bearer secret",
                "X-API-Key": "secret",
                "Cookie": "secret",
                "Accept": "text/x",
            }
            async with Guarded(reach(*origins)) as client:
                answer = await client.get(origins[0], part="peer", headers=headers, redirects=1)
            assert answer.text == "hi"
            assert b"secret" in here.requests[0]
            assert b"secret" not in there.requests[0]
            assert b"text/x" in there.requests[0]


async def test_a_body_over_the_limit_is_refused_declared_or_not() -> None:
    def answer(path: str) -> bytes:
        if path == "/declared":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n"
        return (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"A\r\n0123456789\r\n" * (10 + (path == "/more"))
            + b"0\r\n\r\n"
        )

    async with peer(answer) as one:
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(origin, body=100)) as client:
            assert (await refused(client, f"{origin}/declared")).reason == "too_large"
            assert (await refused(client, f"{origin}/more")).reason == "too_large"
            assert len((await client.get(f"{origin}/fits", part="peer")).content) == 100


async def test_a_compressed_body_is_refused() -> None:
    async with peer(lambda _: b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n") as one:
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(origin)) as client:
            assert (await refused(client, origin)).reason == "encoding"


async def test_silence_and_dripping_end_at_the_total() -> None:
    async with peer(
        lambda path: b"" if path == "/silent" else b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    ) as one:
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(origin, total=timedelta(milliseconds=50))) as client:
            await unavailable(client, f"{origin}/silent")
            await unavailable(client, f"{origin}/half")


async def test_a_peer_that_is_down_or_unknown_or_talks_nonsense_is_unavailable() -> None:
    closed = f"http://127.0.0.1:{free_port()}"
    async with peer(lambda path: b"SSH-2.0\r\n\r\n" if path == "/ssh" else b"") as one:
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(closed, origin), resolve=Names({"empty.example": [[]]})) as client:
            await unavailable(client, closed)
            await unavailable(client, f"{origin}/ssh")
            await unavailable(client, "https://nowhere.example/")
            await unavailable(client, "https://empty.example/")


async def test_a_header_that_cannot_be_sent_is_a_refusal() -> None:
    async with peer() as one:
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(origin)) as client:
            with pytest.raises(OutboundRefused) as caught:
                await client.get(origin, part="peer", headers={"X": "a\r\nHost: evil"})
            assert caught.value.reason == "request"
        assert one.requests == []


@pytest.mark.proof("ASVS-12.3.2")
async def test_tls_proves_the_name_although_the_address_is_dialled(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    seen: list[str | None] = []
    server_side = authority.server_context("idp.example")
    server_side.sni_callback = lambda _s, name, _c: seen.append(name)
    async with peer(tls=server_side) as one:
        right, wrong = f"https://idp.example:{one.port}", f"https://other.example:{one.port}"
        names = Names({"idp.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]]})
        async with Guarded(reach(right, wrong), resolve=names, tls=authority.client_context()) as client:
            assert (await client.get(right, part="peer")).text == "hi"
            assert seen == ["idp.example"]
            await unavailable(client, wrong)
        async with Guarded(reach(right), resolve=names) as client:  # the system's store does not know this authority
            await unavailable(client, right)
        assert len(one.requests) == 1


async def test_the_transport_guards_other_clients_too() -> None:
    async with peer(lambda _: OK.replace(b"OK\r\n", b"OK\r\nSet-Cookie: a=b\r\n")) as one:
        origin = f"http://127.0.0.1:{one.port}"
        guarded = Guarded(reach(origin))
        async with httpx2.AsyncClient(transport=guarded.transport, follow_redirects=True) as client:
            extensions = {"sni_hostname": "evil", "target": b"/elsewhere"}
            answer = await client.get(f"{origin}/here", headers={"Host": "evil"}, extensions=extensions)
            assert answer.text == "hi"
            with pytest.raises(OutboundRefused):
                await client.get("http://127.0.0.1:1/")
            with pytest.raises(httpx2.TransportError):
                await client.get("https://nowhere.invalid/")
        assert one.requests[0].startswith(b"GET /here ")
        assert b"evil" not in one.requests[0]


async def test_no_proxy_from_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with peer() as proxy, peer() as one:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{proxy.port}")
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(origin)) as client:
            await client.get(origin, part="peer")
        assert (proxy.connections, one.connections) == (0, 1)


async def test_no_secret_reaches_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with peer() as one:
        origin = f"http://127.0.0.1:{one.port}"
        async with Guarded(reach(origin)) as client:
            await client.post(
                f"{origin}/?code=hush-query", part="peer", form={"p": "hush-form"}, headers={"Authorization": "hush-header"}
            )  # fmt: skip
    assert b"hush-query" in one.requests[0]
    assert "hush" not in caplog.text


async def test_the_system_resolver_gives_each_address_once() -> None:
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
