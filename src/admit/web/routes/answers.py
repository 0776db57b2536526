"""How sign-ins and records are written: bodies, cookies, JSON forms."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import JSONResponse, Response

from admit.credentials.delivery import Delivered
from admit.credentials.refresh import Refreshed
from admit.people.devices import KNOWN_FOR
from admit.settings import Settings
from admit.web.cookies import Cookies, Header, present
from admit.web.csrf import Csrf

NO_STORE = (b"cache-control", b"no-store")


class Answers:
    """Writes what a sign-in or a refresh gives, in the way it was asked for; a token is in one place only."""

    def __init__(self, settings: Settings, cookies: Cookies, csrf: Csrf) -> None:
        self.cookies = cookies
        self._csrf = csrf
        # as the browser sees it: a proxy may have taken the issuer's path off before the request came here
        self._refresh_path = urlsplit(settings.issuer).path + settings.prefix
        self._refresh_lives = int(settings.tokens.refresh_idle.total_seconds())
        self._device_lives = int(KNOWN_FOR.total_seconds())

    def signed_in(self, delivered: Delivered, device: str, request: Request) -> JSONResponse:
        """The answer to a login (mission S3) that came by `request`."""
        headers = [
            self.cookies.set(self.cookies.device, device, lives=self._device_lives),
            *self._replaced(delivered.deliver, request),
        ]
        if delivered.deliver == "session":
            assert delivered.session_token is not None  # noqa: S101
            session = self.cookies.set(self.cookies.session, delivered.session_token, lives=delivered.expires_in)
            content = {"expires_in": delivered.expires_in, "csrf_token": self._csrf.issue(delivered.binding)}
            return _answer(content, [*headers, session])
        assert delivered.access_token is not None and delivered.refresh_token is not None  # noqa: S101, PT018
        return self._tokens(
            delivered.deliver, delivered.access_token, delivered.refresh_token, delivered.expires_in,
            delivered.binding, headers,
        )  # fmt: skip

    def renewed(self, delivered: Delivered) -> Response:
        """The answer to a fresh proof: the session goes on under a new secret."""
        assert delivered.session_token is not None  # noqa: S101
        response = Response(status_code=204)
        session = self.cookies.set(self.cookies.session, delivered.session_token, lives=delivered.expires_in)
        response.raw_headers = [*response.raw_headers, NO_STORE, session]
        return response

    def refreshed(self, refreshed: Refreshed, *, by_cookie: bool) -> JSONResponse:
        """The answer to a refresh: a token that came in a cookie goes back in one."""
        deliver = refreshed.deliver if by_cookie else "tokens"
        return self._tokens(
            deliver, refreshed.access_token, refreshed.refresh_token, refreshed.expires_in, refreshed.grant, []
        )

    def signed_out(self) -> list[Header]:
        """Headers that remove every cookie of a sign-in; the device stays known."""
        cookies = self.cookies
        return [
            NO_STORE,
            # what scripts stored while somebody was signed in is not for whoever comes next (ASVS 14.3.1)
            (b"clear-site-data", b'"storage"'),
            cookies.clear(cookies.session),
            cookies.clear(cookies.access),
            cookies.clear(cookies.refresh, path=self._refresh_path),
        ]

    def _replaced(self, deliver: str, request: Request) -> list[Header]:
        """Removes the cookies of a sign-in before that this one does not set: of two people in one browser the first
        would go on being spoken for, since a session comes before an access token.
        """
        cookies = self.cookies
        paths = {cookies.session: "/", cookies.access: "/", cookies.refresh: self._refresh_path}
        left = {
            "session": (cookies.access, cookies.refresh),
            "cookie": (cookies.session,),
            "spa": (cookies.session, cookies.access),
        }.get(deliver, ())
        return [cookies.clear(name, path=paths[name]) for name in left if present(request.scope, name)]

    def _tokens(
        self, deliver: str, access: str, refresh: str, expires_in: int, binding: bytes, headers: list[Header]
    ) -> JSONResponse:
        content: dict[str, Any] = {"token_type": "Bearer", "expires_in": expires_in}
        if deliver == "tokens":
            return _answer({**content, "access_token": access, "refresh_token": refresh}, headers)
        path, cookies = self._refresh_path, self.cookies
        headers = [*headers, cookies.set(cookies.refresh, refresh, lives=self._refresh_lives, path=path)]
        content["csrf_token"] = self._csrf.issue(binding)
        if deliver == "spa":
            return _answer({**content, "access_token": access}, headers)
        return _answer(content, [*headers, cookies.set(cookies.access, access, lives=expires_in)])


def _answer(content: dict[str, Any], headers: list[Header]) -> JSONResponse:
    response = JSONResponse(content)
    response.raw_headers = [*response.raw_headers, NO_STORE, *headers]
    return response
