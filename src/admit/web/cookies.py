"""Cookies: names with `__Host-` or `__Secure-`, attributes that cannot be forgotten, strict reading."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import Scope

from admit.ground.errors import Refusal
from admit.settings import Settings

Header = tuple[bytes, bytes]
_LARGEST = 4096  # RFC 6265bis section 5.6: name and value together


class Cookies:
    """Names and attributes of our cookies, for one set of settings."""

    def __init__(self, settings: Settings) -> None:
        self._secure = settings.secure
        self._same_site = settings.cookies.same_site.capitalize()
        names = settings.cookies
        self.session = self._name(names.session, "__Host-")
        self.access = self._name(names.access, "__Host-")
        self.device = self._name(names.device, "__Secure-")
        self.form = self._name("admit-form", "__Host-")  # what a page's form is bound to before a sign-in
        # a cookie with a path of its own cannot be a __Host- cookie (RFC 6265bis section 4.1.3.2)
        self.refresh = self._name(names.refresh, "__Secure-")

    def set(self, name: str, value: str, *, lives: int, path: str = "/") -> Header:
        """A Set-Cookie header; `lives` in seconds. Refuses (`internal`) what browsers would drop without a word."""
        if len(name) + len(value) > _LARGEST:
            much = f"{name} is {len(value)} bytes, more than a cookie holds: fewer claims, or deliver=session"
            raise Refusal("request.internal", private=much)
        secure = "; Secure" if self._secure else ""
        text = f"{name}={value}; Path={path}; Max-Age={lives}; HttpOnly{secure}; SameSite={self._same_site}"
        return b"set-cookie", text.encode("latin-1")

    def clear(self, name: str, *, path: str = "/") -> Header:
        """A Set-Cookie header that removes the cookie."""
        return self.set(name, "", lives=0, path=path)

    def _name(self, name: str, prefix: str) -> str:
        return f"{prefix}{name}" if self._secure else name


def read(headers: Sequence[Header], name: str) -> str | None:
    """The value of a cookie; None when it is absent, empty, or there twice with different values.

    Two values mean that somebody planted one from a sibling domain (cookie tossing): neither can be trusted.
    """
    wanted = name.encode("latin-1") + b"="
    found: bytes | None = None
    for header, value in headers:
        if header != b"cookie" or wanted not in value:
            continue
        for part in value.split(b";"):
            part = part.strip()  # noqa: PLW2901
            if not part.startswith(wanted):
                continue
            if found is not None and found != part:
                return None
            found = part
    return found[len(wanted) :].decode("latin-1") or None if found is not None else None


def only(value: bytes, wanted: bytes) -> bytes | None:
    """What follows `wanted` (`name=`) in a Cookie header where it stands once; None otherwise: `read` looks closely."""
    at = value.find(wanted)
    if at < 0 or value.find(wanted, at + 1) >= 0 or (at and not value[:at].rstrip().endswith(b";")):
        return None
    end = value.find(b";", at)
    return (value[at + len(wanted) :] if end < 0 else value[at + len(wanted) : end]) or None


def present(scope: Scope, name: str) -> bool:
    """Whether the browser sent a cookie of that name at all."""
    wanted = name.encode("latin-1") + b"="
    return any(header == b"cookie" and wanted in value for header, value in scope["headers"])
