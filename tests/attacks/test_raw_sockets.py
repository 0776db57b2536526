"""What no HTTP client sends, over sockets to real servers: broken requests are refused, and the server lives on."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Literal, NamedTuple

import pytest

from admit.ground.codes import CODES
from tests.parts.servers import Server, Servers

TARGET = "tests.attacks.served:app"
HOST = b"Host: 127.0.0.1\r\n"


class Answer(NamedTuple):
    """What came back; status 0: the connection was closed without an answer."""

    status: int
    head: bytes
    body: bytes


def ask(server: Server, sent: bytes | list[bytes]) -> Answer:
    """Sends these bytes on a connection of its own, and reads until the other side closes it or has said enough."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        try:
            for piece in [sent] if isinstance(sent, bytes) else sent:
                connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it had read everything
        return _read(connection)


def _read(connection: socket.socket) -> Answer:
    received = b""
    while True:
        try:
            more = connection.recv(65_536)
        except (ConnectionResetError, TimeoutError):
            more = b""
        received += more
        head, _, body = received.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        if not more or (body is not None and length and len(body) >= int(length[1])):
            break
    if not received:
        return Answer(0, b"", b"")
    return Answer(int(received.split(b" ", 2)[1]), head, body)


def _request(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    return (
        line + b"\r\n" + HOST + b"".join(header + b"\r\n" for header in headers) + b"Connection: close\r\n\r\n" + body
    )


LOGIN = b"POST /auth/login HTTP/1.1"
JSON = b"Content-Type: application/json"
WRONG = b'{"identifier":"nobody","password":"x"}'

#: requests that break the protocol itself: the server refuses them, by a 4xx or by hanging up, before us or through us
BROKEN: dict[str, bytes | list[bytes]] = {
    "no request": b"\r\n\r\n",
    "noise": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "no version": b"GET /auth/me\r\n\r\n",
    "another version": b"GET /auth/me HTTP/9.9\r\n" + HOST + b"\r\n",
    "no method": _request(b" /auth/me HTTP/1.1"),
    "a NUL in the path": _request(b"GET /auth/\0me HTTP/1.1"),
    "a bare line feed in a header": _request(b"GET /auth/me HTTP/1.1", b"X: a\nAuthorization: Bearer x"),
    "a NUL in a header": _request(b"GET /auth/me HTTP/1.1", b"Authorization: Bearer a\0b"),
    "a blank before the colon": _request(b"GET /auth/me HTTP/1.1", b"Authorization : Bearer x"),
    "a header without a colon": _request(b"GET /auth/me HTTP/1.1", b"nothing"),
    "a length below zero": _request(LOGIN, JSON, b"Content-Length: -5", body=WRONG),
    "a length that is no number": _request(LOGIN, JSON, b"Content-Length: 0x10", body=WRONG),
    "two lengths": _request(LOGIN, JSON, b"Content-Length: 5", b"Content-Length: 50", body=WRONG),
    "length and chunks": _request(LOGIN, JSON, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "a chunk of no size": _request(LOGIN, JSON, b"Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "a chunk that is too short": _request(LOGIN, JSON, b"Transfer-Encoding: chunked", body=b"2\r\nabcdef\r\n0\r\n\r\n"),
    "another coding": _request(LOGIN, JSON, b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunks beyond the limit": _request(
        LOGIN, JSON, b"Transfer-Encoding: chunked", body=(b"2000\r\n" + b"A" * 8192 + b"\r\n") * 12 + b"0\r\n\r\n"
    ),
    "a header of 1 MB": _request(b"GET /auth/me HTTP/1.1", b"Authorization: Bearer " + b"A" * 1_000_000),
    "a path of 1 MB": _request(b"GET /auth/" + b"a" * 1_000_000 + b" HTTP/1.1"),
    "10,000 headers": _request(b"GET /auth/me HTTP/1.1", *[b"X-%d: y" % n for n in range(10_000)]),
    "no host": b"GET /auth/me HTTP/1.1\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n",
    "two hosts": _request(b"GET /auth/me HTTP/1.1", b"Host: evil.example", b"Authorization: Bearer x"),
    "another's address as the target": _request(
        b"GET http://evil.example/auth/me HTTP/1.1", b"Authorization: Bearer x"
    ),
    "a target that is no path": _request(b"GET auth/me HTTP/1.1", b"Authorization: Bearer x"),
    "raw bytes in the path": _request(b"GET /auth/\xff\xfe HTTP/1.1"),
    "compressed": _request(LOGIN, JSON, b"Content-Encoding: gzip", b"Content-Length: 38", body=WRONG),
}


#: where the request is whole enough to reach us, the answer is ours
OURS = {"chunks beyond the limit": "body_too_large", "compressed": "media_type_unsupported"}


@pytest.fixture(params=["uvicorn", "granian"])
def server(request: pytest.FixtureRequest, servers: Servers, tmp_path: Path) -> Server:
    """Each of the servers that people run us on."""
    by: Literal["uvicorn", "granian"] = request.param
    return servers.asgi(TARGET, by=by, env={"SERVED_FOLDER": str(tmp_path)})


@pytest.mark.proof("ASVS-16.5.4", "ASVS-13.4.6")
def test_broken_requests_are_refused_and_the_server_lives_on(server: Server) -> None:
    found = []
    for name, sent in BROKEN.items():
        answer = ask(server, sent)
        if answer.status and not 400 <= answer.status < 500 and answer.status not in (501, 505):
            found.append(f"{name}: {answer.status} {answer.body[:100]!r}")
        if b"problem+json" in answer.head:
            code = json.loads(answer.body)["code"]
            if code not in CODES or CODES[code].status != answer.status:
                found.append(f"{name}: {answer.status} {code}")
        if name in OURS and OURS[name].encode() not in answer.body:
            found.append(f"{name}: {answer.status} {answer.body[:100]!r}")
        if re.search(rb"(?im)^server: .*\d", answer.head) or b"Traceback" in answer.body:
            found.append(f"{name}: tells too much {answer.head!r}")
        right = ask(server, _request(LOGIN, JSON, b"Content-Length: %d" % len(WRONG), body=WRONG))
        if (right.status, b"login_failed" in right.body) != (401, True):
            found.append(f"after {name}: {right.status} {right.body[:100]!r}")
    assert found == []
    assert "Traceback" not in server.output()


def test_a_second_request_cannot_be_smuggled_in(server: Server) -> None:
    """A body that looks like a request is a body; the answer to it never comes."""
    inner = b"GET /auth/me HTTP/1.1\r\n" + HOST + b"\r\n"
    for headers in ((b"Content-Length: %d" % len(inner),), (b"Content-Length: 0", b"Transfer-Encoding: chunked")):
        answer = ask(server, _request(LOGIN, JSON, *headers, body=inner))
        assert answer.status in (0, 400, 422), headers
        assert (answer.head + answer.body).count(b"HTTP/1.1 ") <= 1


def test_a_body_that_never_comes_holds_nobody_up(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as waiting:
        waiting.sendall(_request(LOGIN, JSON, b"Content-Length: 5000", body=b'{"identifier'))
        right = ask(server, _request(LOGIN, JSON, b"Content-Length: %d" % len(WRONG), body=WRONG))
        assert right.status == 401
    # whoever goes away in the middle leaves no trace of an error
    assert ask(server, _request(LOGIN, JSON, b"Content-Length: %d" % len(WRONG), body=WRONG)).status == 401
    assert "Traceback" not in server.output()
