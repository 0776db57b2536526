"""The guarded HTTP client: every fetch of a URL that somebody else chose goes through here (ASVS 1.3.6).

The name is resolved once, inside the connection, and the very address that was checked is dialled: between a
check and a second look-up a name could change its meaning (DNS rebinding). TLS still proves the name.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Self

import httpcore2
import httpx2

from admit.ground.errors import AdmitError, Unavailable
from admit.outbound.rules import AllowPrivate, OutboundRefused, Rules

__all__ = ["AllowPrivate", "Guarded", "GuardedTransport", "OutboundRefused", "Resolve", "Rules", "resolve"]

#: host and port -> the addresses behind them, as text
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
_ADDRESSES_TRIED = 4
_DEFAULT = Rules()
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_KEPT_BY_REDIRECTS = frozenset({"accept", "accept-language", "user-agent"})


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of `host` from the system's resolver, best first; `OSError` when there are none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class Guarded:
    """Calls only what `rules` allow; takes no cookies, no proxy from the environment, no compressed answers.

    `resolve` and `tls` stand for the system's resolver and certificate store. Close it at the end (`aclose`).
    """

    def __init__(
        self, rules: Rules = _DEFAULT, *, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None
    ) -> None:  # fmt: skip
        self.rules = rules
        #: for libraries that bring their own httpx2 client: the same checks at every request and hop
        self.transport = GuardedTransport(rules, resolve, tls)

    async def get(
        self, url: str, *, part: str, headers: Mapping[str, str] | None = None, redirects: int = 0
    ) -> httpx2.Response:  # fmt: skip
        """GET `url`; see `request`. Follows up to `redirects` redirects, each checked like the first URL."""
        return await self.request(httpx2.Request("GET", url, headers=headers), part=part, redirects=redirects)

    async def post(
        self, url: str, *, part: str, form: Mapping[str, str] | None = None, json: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:  # fmt: skip
        """POST a form or JSON; see `request`. A redirect is refused: it would carry the body elsewhere."""
        return await self.request(httpx2.Request("POST", url, headers=headers, data=form, json=json), part=part)

    async def request(self, request: httpx2.Request, *, part: str, redirects: int = 0) -> httpx2.Response:
        """The answer with its whole body, whatever its status.

        Raises `OutboundRefused` when the rules forbid it, and `Unavailable(part)` when the other side cannot
        be reached, cannot prove its name, breaks off or is too slow. Neither says what was seen there.
        """
        answer: httpx2.Response | AdmitError
        try:
            async with asyncio.timeout(self.rules.total.total_seconds()):
                answer = await self._exchange(request, redirects)
        except httpx2.LocalProtocolError:
            answer = OutboundRefused("request")
        except (httpx2.TransportError, TimeoutError):
            answer = Unavailable(part)
        except OutboundRefused as refused:
            answer = OutboundRefused(refused.reason)
        # raised here, outside the handlers, so that no inner error hangs on it as its context
        if isinstance(answer, AdmitError):
            raise answer
        return answer

    async def _exchange(self, request: httpx2.Request, redirects: int) -> httpx2.Response:
        while True:
            streamed = await self.transport.handle_async_request(request)
            try:
                if streamed.status_code not in _REDIRECTS:
                    body = b"".join([part async for part in streamed.stream])  # type: ignore[union-attr]
                    return httpx2.Response(
                        streamed.status_code, headers=streamed.headers, content=body, request=request
                    )
                if redirects == 0 or request.method not in ("GET", "HEAD"):
                    raise OutboundRefused("redirect")
                request = _next(request, streamed.headers.get("location", ""))
                redirects -= 1
            finally:
                await streamed.aclose()

    async def aclose(self) -> None:
        """Closes every connection."""
        await self.transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _next(request: httpx2.Request, location: str) -> httpx2.Request:
    try:
        url = request.url.join(location)
    except (httpx2.InvalidURL, ValueError):
        url = None
    if not location or url is None or (request.url.scheme == "https" and url.scheme != "https"):
        raise OutboundRefused("redirect")
    # credentials of any header name stay with the host they were meant for
    kept = {name: value for name, value in request.headers.items() if name in _KEPT_BY_REDIRECTS}
    return httpx2.Request(request.method, url, headers=kept)


class GuardedTransport(httpx2.AsyncBaseTransport):
    """The guard beneath any httpx2 client. Raises `OutboundRefused` and httpx2's own transport errors."""

    def __init__(self, rules: Rules, resolve: Resolve = resolve, tls: ssl.SSLContext | None = None) -> None:
        self._rules, self._resolve, self._tls = rules, resolve, tls
        self._opened: httpcore2.AsyncConnectionPool | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = self._rules.check(request.url)
        sent = httpcore2.Request(
            method=request.method,
            url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host.lower(), port=url.port, target=url.raw_path),
            headers=_headers(request, url),
            content=request.stream,
            # nothing of the caller's extensions: "sni_hostname" and "target" would change what was checked
            extensions={"timeout": self._timeouts()},
        )
        with _own_errors():
            got = await self._pool.handle_async_request(sent)
        stream = _Limited(got, self._rules.body)
        answer = httpx2.Response(got.status, headers=got.headers, stream=stream)
        if refused := _unwanted(answer, self._rules.body):
            await stream.aclose()
            raise refused
        return answer

    @property
    def _pool(self) -> httpcore2.AsyncConnectionPool:
        # made at the first call: reading the certificate store costs a cold start 20 ms
        if self._opened is None:
            tls = self._tls or httpx2.create_ssl_context()
            pinned = _Pinned(self._rules, self._resolve)
            self._opened = httpcore2.AsyncConnectionPool(
                tls, max_connections=50, keepalive_expiry=5, network_backend=pinned
            )
        return self._opened

    def _timeouts(self) -> dict[str, float]:
        total = self._rules.total.total_seconds()
        return {"connect": total, "read": total, "write": total, "pool": total}

    async def aclose(self) -> None:
        if self._opened is not None:
            await self._opened.aclose()
            self._opened = None


def _headers(request: httpx2.Request, url: httpx2.URL) -> list[tuple[bytes, bytes]]:
    ours = {b"host", b"accept-encoding"}
    kept = [(name, value) for name, value in request.headers.raw if name.lower() not in ours]
    # a small compressed answer can unfold to gigabytes
    return [(b"Host", url.netloc), (b"Accept-Encoding", b"identity"), *kept]


def _unwanted(answer: httpx2.Response, limit: int) -> OutboundRefused | None:
    if answer.headers.get("content-encoding", "identity").strip().lower() != "identity":
        return OutboundRefused("encoding")
    length = answer.headers.get("content-length", "0")
    return OutboundRefused("too_large") if length.isdecimal() and int(length) > limit else None


class _Limited(httpx2.AsyncByteStream):
    def __init__(self, got: httpcore2.Response, limit: int) -> None:
        self._got, self._left = got, limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _own_errors():
            async for part in self._got.aiter_stream():
                self._left -= len(part)
                if self._left < 0:
                    raise OutboundRefused("too_large")
                yield part

    async def aclose(self) -> None:
        with _own_errors():
            await self._got.aclose()


class _Pinned(httpcore2.AsyncNetworkBackend):
    """Resolves, checks every address, and dials only what it has checked."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules, self._resolve = rules, resolve
        self._sockets = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None, socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:  # fmt: skip
        failure: Exception = httpcore2.ConnectError("no address")
        for address in (await self._addresses(host, port))[:_ADDRESSES_TRIED]:
            try:
                each = self._rules.connect.total_seconds()
                return await self._sockets.connect_tcp(address, port, each, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found: Sequence[str] = [str(ip_address(host))]
        except ValueError:
            found = await self._ask(host, port)
        # one bad address refuses the name: whoever mixes them in is trying what we would pick
        return [str(self._rules.check_address(ip_address(text), host, port)) for text in found]

    async def _ask(self, host: str, port: int) -> Sequence[str]:
        try:
            return await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise httpcore2.ConnectError("name not found") from None

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:  # fmt: skip
        raise OutboundRefused("address")

    async def sleep(self, seconds: float) -> None:
        await self._sockets.sleep(seconds)


class _own_errors:  # noqa: N801 (a context manager, read as a phrase)
    """Turns httpcore2's errors into httpx2's, which is what clients on this transport expect."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, httpcore2.LocalProtocolError):
            raise httpx2.LocalProtocolError("the request cannot be sent") from None
        if isinstance(error, httpcore2.TimeoutException):
            raise httpx2.ReadTimeout("too slow") from None
        if isinstance(error, (httpcore2.NetworkError, httpcore2.ProtocolError)):
            raise httpx2.NetworkError("cannot be reached") from None
