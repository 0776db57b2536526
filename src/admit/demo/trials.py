"""What a person can try on the page: for each strategy some short stories, told in real requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from admit.demo.accounts import Cast
from admit.demo.exchange import Answer, Visitor

_POST = {"title": "From the page", "body": "Written with a click"}


@dataclass(frozen=True, slots=True)
class Try:
    """One run: who visits, who they say they are, and the demo's secrets."""

    visitor: Visitor
    cast: Cast
    who: str

    async def login(self, deliver: str) -> Answer:
        """Signs in; what comes back depends on the delivery."""
        body = {"identifier": self.who, "password": self.cast.password(self.who), "deliver": deliver}
        return await self.visitor.send("POST", "/auth/login", body)

    async def posts(self, wish: str, **headers: str) -> None:
        """Reads, writes or deletes with these headers."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if wish == "delete":
            found = (await self.visitor.send("GET", "/posts", headers=named)).content
            newest = found["posts"][0]["id"] if isinstance(found, dict) and found.get("posts") else 1
            await self.visitor.send("DELETE", f"/posts/{newest}", headers=named)
        elif wish == "write":
            await self.visitor.send("POST", "/posts", _POST, named)
        else:
            await self.visitor.send("GET", "/posts", headers=named)


Run = Callable[[Try], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Strategy:
    """A strategy, whom it is for, and what can be tried with it. `people` False: it is no person who calls."""

    id: str
    title: str
    best_for: str
    text: str
    trials: dict[str, tuple[str, Run]]
    people: bool = True


def bearer(token: str) -> str:
    """The value of an Authorization header."""
    return f"Bearer {token}"


def _jwt(wish: str) -> Run:
    async def run(one: Try) -> None:
        token = (await one.login("tokens"))["access_token"]
        await one.posts(wish, Authorization=bearer(token))

    return run


async def _jwt_altered(one: Try) -> None:
    token = (await one.login("tokens"))["access_token"]
    head, payload, signature = token.split(".")
    swapped = ("A" if payload[20] != "A" else "B").join((payload[:20], payload[21:]))
    await one.posts("read", Authorization=bearer(f"{head}.{swapped}.{signature}"))


async def _jwt_reused(one: Try) -> None:
    first = await one.login("tokens")
    second = await one.visitor.send("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]})
    await one.visitor.send("POST", "/auth/refresh", {"refresh_token": second["refresh_token"]})
    await one.visitor.send("POST", "/auth/refresh", {"refresh_token": first["refresh_token"]})
    await one.posts("read", Authorization=bearer(second["access_token"]))


async def _jwt_revoked(one: Try) -> None:
    tokens = await one.login("tokens")
    await one.visitor.send("POST", "/auth/logout", {"refresh_token": tokens["refresh_token"]})
    await one.posts("read", Authorization=bearer(tokens["access_token"]))


def _session(wish: str) -> Run:
    async def run(one: Try) -> None:
        csrf = (await one.login("session"))["csrf_token"]
        headers = {} if wish == "read" else {"X_CSRF_Token": csrf}
        await one.posts(wish, **headers)

    return run


async def _session_no_token(one: Try) -> None:
    await one.login("session")
    await one.posts("write")


async def _session_cross_site(one: Try) -> None:
    csrf = (await one.login("session"))["csrf_token"]
    await one.posts("write", X_CSRF_Token=csrf, Origin="https://evil.example", Sec_Fetch_Site="cross-site")


async def _session_ended(one: Try) -> None:
    csrf = (await one.login("session"))["csrf_token"]
    kept = dict(one.visitor.cookies)
    await one.visitor.send("POST", "/auth/logout", headers={"X-CSRF-Token": csrf})
    one.visitor.cookies.update(kept)  # a thief would keep the cookie as well
    await one.posts("read")


def _key(wish: str) -> Run:
    async def run(one: Try) -> None:
        await one.posts(wish, X_API_Key=one.cast.api_key)

    return run


async def _key_altered(one: Try) -> None:
    key = one.cast.api_key
    await one.posts("read", X_API_Key=key[:-1] + ("A" if key[-1] != "A" else "B"))


async def _key_twice(one: Try) -> None:
    token = (await one.login("tokens"))["access_token"]
    await one.posts("read", X_API_Key=one.cast.api_key, Authorization=bearer(token))


async def _spa(one: Try) -> None:
    first = await one.login("spa")
    renewed = await one.visitor.send("POST", "/auth/refresh", headers={"X-CSRF-Token": first["csrf_token"]})
    await one.posts("read", Authorization=bearer(renewed["access_token"]))


async def _spa_write(one: Try) -> None:
    token = (await one.login("spa"))["access_token"]
    await one.posts("write", Authorization=bearer(token))


async def _spa_no_token(one: Try) -> None:
    await one.login("spa")
    await one.visitor.send("POST", "/auth/refresh")


_ABOUT = {"read": "Read the posts", "write": "Write a post", "delete": "Delete the newest post"}
STRATEGIES = (
    Strategy(
        "jwt", "JWT", "Mobile apps",
        "A signed access token for 15 minutes, and a refresh token that works once.",
        {
            **{wish: (label, _jwt(wish)) for wish, label in _ABOUT.items()},
            "reused": ("Use a spent refresh token again", _jwt_reused),
            "altered": ("Change one letter of the token", _jwt_altered),
            "revoked": ("Sign out, then use the token", _jwt_revoked),
        },
    ),
    Strategy(
        "session", "Session", "Web apps on the same domain",
        "A cookie that scripts cannot read, and a CSRF token for every change.",
        {
            **{wish: (label, _session(wish)) for wish, label in _ABOUT.items()},
            "no-token": ("Write without the CSRF token", _session_no_token),
            "cross-site": ("Write from another site", _session_cross_site),
            "ended": ("Sign out, then use the cookie", _session_ended),
        },
    ),
    Strategy(
        "key", "API key", "One service that calls another",
        "A key of the service account nightly-import. It may read and write, not delete.",
        {
            **{wish: (label, _key(wish)) for wish, label in _ABOUT.items()},
            "altered": ("Change one letter of the key", _key_altered),
            "twice": ("Send a key and a token at once", _key_twice),
        },
        people=False,
    ),
    Strategy(
        "spa", "Token and cookie", "Single-page apps",
        "The access token in memory, the refresh token in a cookie. OAuth 2.0 joins it in the next release.",
        {
            "refresh": ("Load the page again, then read", _spa),
            "write": ("Write a post", _spa_write),
            "no-token": ("Refresh without the CSRF token", _spa_no_token),
        },
    ),
)  # fmt: skip
