"""Real requests to a running server with an account of their own. What comes back is only collected here; `tokens`,
`passwords` and `api` judge it.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from admit.cli.doctor.answers import Answer
from admit.crypto.opaque import sha256
from admit.ground.errors import Unavailable
from admit.settings import Settings
from admit.settings.settings import is_loopback
from admit.web.cookies import Cookies

#: nobody's origin: the name ends in a domain that never exists (RFC 6761 section 6.4)
STRANGER = "https://doctor.invalid"
GUESSES = 4  # a side; fewer than the failures in a row after which waits begin
FLOOD_AT_MOST = 15
SHORT = "Sh0rt-Pass!"  # eleven characters of four classes
Send = Callable[..., Awaitable[Answer]]
Tell = Callable[[str], None]


class Patient(NamedTuple):
    """The account to sign in with. `subject` is its public id where it is known."""

    identifier: str
    password: str
    subject: str | None = None
    temporary: bool = True

    def __repr__(self) -> str:
        return f"Patient({self.identifier!r}, ***)"


@dataclass(slots=True)
class Seen:
    """What a server answered, by subject. `problems`: step -> why it could not be looked at."""

    url: str
    open_door: Answer | None = None  # a credential over plain http
    sign_ins: dict[str, Answer] = field(default_factory=dict)  # deliver -> answer
    wrong_known: list[Answer] = field(default_factory=list)
    wrong_unknown: list[Answer] = field(default_factory=list)
    flood: list[Answer] = field(default_factory=list)
    short: Answer | None = None
    malformed: dict[str, Answer] = field(default_factory=dict)
    strangers: dict[str, Answer] = field(default_factory=dict)  # kind of cross-origin request -> answer
    forgeries: dict[str, Answer] = field(default_factory=dict)  # kind of forged request -> answer
    key: Answer | None = None
    key_list: Answer | None = None
    key_uses: list[Answer] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)

    @property
    def access_token(self) -> str | None:
        """The access token of the sign-in that gave one in its body."""
        token = self.sign_ins.get("tokens", Answer(0)).json.get("access_token")
        return token if isinstance(token, str) else None

    @property
    def api_key(self) -> str | None:
        """The text of the key that was made."""
        key = self.key.json.get("key") if self.key is not None else None
        return key if isinstance(key, str) else None


class Visit:
    """One visit. `client` sends nothing but what is said here: no cookies of before, no proxy of the environment."""

    def __init__(self, settings: Settings, client: httpx2.AsyncClient, patient: Patient) -> None:
        self._settings = settings
        self._client = client
        self._patient = patient
        self._prefix = settings.prefix
        self._names = Cookies(settings)
        self._way = _way(settings, str(client.base_url))
        self.seen = Seen(str(client.base_url))

    async def run(self, tell: Tell) -> Seen:
        """Everything, in an order in which no step spoils another. Raises `Unavailable` when nobody answers."""
        await self._reach()
        for step in self._steps():
            tell(step.__name__.replace("_", " "))
            try:
                await step()
            except httpx2.HTTPError as error:
                self.seen.problems[step.__name__] = f"the server did not answer ({type(error).__name__})"
        return self.seen

    def _steps(self) -> tuple[Callable[[], Awaitable[None]], ...]:
        return (
            self.open_door, self.malformed_input, self.sign_ins, self.cross_origin, self.forged_requests,
            self.api_keys, self.short_password, self.wrong_passwords, self.many_guesses, self.sign_out,
        )  # fmt: skip

    async def _reach(self) -> None:
        try:
            await self._send("GET", "/.well-known/jwks.json", root=True)
        except httpx2.HTTPError:
            raise Unavailable(f"the server at {self.seen.url}") from None

    async def open_door(self) -> None:
        """A credential as a stranger on the way would see it: without what our own proxies would add."""
        self.seen.open_door = await self._send("GET", "/me", {"Authorization": "Bearer x"}, way={})

    async def malformed_input(self) -> None:
        """What no client of ours sends."""
        plain = {"Content-Type": "application/json"}
        good = '"identifier": "x", "password": "y"'
        bodies: dict[str, tuple[str | bytes, Mapping[str, str]]] = {
            "broken JSON": ("{", plain),
            "a member twice": ('{"identifier": "a", "identifier": "b", "password": "c"}', plain),
            "an unknown member": ("{" + good + ', "admin": true}', plain),
            "a wrong type": ('{"identifier": 1, "password": ["x"]}', plain),
            "a control character": ('{"identifier": "a\\u0000b", "password": "y"}', plain),
            "another media type": ("{" + good + "}", {"Content-Type": "text/plain"}),
            # refused before it is read to its end, so nothing else can be sent on that connection
            "a body of a megabyte": (
                b'{"identifier": "' + b"x" * 2**20 + b'", "password": "y"}',
                {**plain, "Connection": "close"},
            ),
        }
        for name, (body, headers) in bodies.items():
            self.seen.malformed[name] = await self._send("POST", "/login", headers, content=body)

    async def sign_ins(self) -> None:
        """One sign-in for each delivery."""
        for deliver in ("tokens", "session", "cookie", "spa"):
            self.seen.sign_ins[deliver] = answer = await self._login(self._patient.password, deliver)
            if answer.status != 200:
                self.seen.problems["sign_ins"] = f"the sign-in was answered {answer.status} {answer.code or ''}".strip()
                return

    async def cross_origin(self) -> None:
        """What a page of a stranger could send and read."""
        bearer = self._bearer()
        for name, origin in (("a stranger", STRANGER), ("no origin", "null")):
            self.seen.strangers[name] = await self._send("GET", "/me", {**bearer, "Origin": origin})
            asked = {"Origin": origin, "Access-Control-Request-Method": "DELETE"}
            self.seen.strangers[f"{name}, before the request"] = await self._send("OPTIONS", "/me", asked)

    async def forged_requests(self) -> None:
        """What a stranger's page makes a browser send: the cookies, without the token that only our pages know."""
        for deliver in ("session", "cookie"):
            cookies = self._cookie_header(deliver)
            if cookies is None:
                continue
            tries: dict[str, dict[str, str]] = {
                "without a token": {},
                "with a wrong token": {"X-CSRF-Token": "x" * 64},
                "from another site": {"Sec-Fetch-Site": "cross-site", "Origin": STRANGER},
            }
            for name, headers in tries.items():
                forged = {**cookies, **headers}
                self.seen.forgeries[f"{deliver}, {name}"] = await self._send(
                    "PATCH", "/me", forged, json={"profile": {}}
                )
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": STRANGER}
        self.seen.forgeries["sign-in from another site"] = await self._login("x", "session", headers)

    async def api_keys(self) -> None:
        """A key with a limit of two a minute, used three times, listed and revoked."""
        bearer = self._bearer()
        asked = {"name": "doctor", "scopes": [], "limit": {"hits": 2, "seconds": 60}}
        self.seen.key = made = await self._send("POST", "/api-keys", bearer, json=asked)
        if self.seen.api_key is None:
            self.seen.problems["api_keys"] = f"no API key could be made ({made.status} {made.code or ''})".rstrip()
            return
        mine = {self._settings.api_keys.header: self.seen.api_key}
        self.seen.key_uses = [await self._send("GET", "/me", mine) for _ in range(3)]
        self.seen.key_list = await self._send("GET", "/api-keys", bearer)
        await self._send("DELETE", f"/api-keys/{made.json.get('id')}", bearer)

    async def short_password(self) -> None:
        """A password of eleven characters. Only an account of our own is put at risk of getting it."""
        if self._patient.temporary:
            body: dict[str, str] = {"current": self._patient.password, "new": SHORT}
            self.seen.short = await self._send("POST", "/password/change", self._bearer(), json=body)
            return
        name = f"doctor-{sha256(self._patient.password.encode()).hex()[:16]}"
        self.seen.short = await self._send("POST", "/register", json={"username": name, "password": SHORT})

    async def wrong_passwords(self) -> None:
        """Wrong passwords for a known and for an unknown account, in turns, so that a busy moment meets both."""
        limits = self._settings.limits
        for _ in range(min(GUESSES, limits.login - 1, limits.waits_from - 1)):
            self.seen.wrong_known.append(await self._login("not the password"))
            self.seen.wrong_unknown.append(await self._login("not the password", who=self._nobody()))

    async def many_guesses(self) -> None:
        """Guesses at the unknown account until the server has had enough."""
        for _ in range(min(self._settings.limits.login + 3, FLOOD_AT_MOST)):
            self.seen.flood.append(await self._login("not the password", who=self._nobody()))
            if self.seen.flood[-1].status == 429:
                return

    async def sign_out(self) -> None:
        """Ends what was started."""
        token = self.seen.sign_ins.get("tokens", Answer(0)).json.get("refresh_token")
        if token is not None:
            await self._send("POST", "/logout", json={"refresh_token": token})
        for deliver in ("session", "cookie", "spa"):
            cookies, csrf = (
                self._cookie_header(deliver),
                self.seen.sign_ins.get(deliver, Answer(0)).json.get("csrf_token"),
            )
            if cookies is not None and csrf is not None:
                await self._send("POST", "/logout", {**cookies, "X-CSRF-Token": str(csrf)})

    def _nobody(self) -> str:
        return f"nobody-{sha256(self._patient.identifier.encode()).hex()[:16]}"

    async def _login(
        self, password: str, deliver: str = "tokens", headers: Mapping[str, str] | None = None, who: str | None = None
    ) -> Answer:
        body = {"identifier": who or self._patient.identifier, "password": password, "deliver": deliver}
        return await self._send("POST", "/login", headers or {}, json=body)

    def _bearer(self) -> dict[str, str]:
        token = self.seen.access_token
        return {} if token is None else {"Authorization": f"Bearer {token}"}

    def _cookie_header(self, deliver: str) -> dict[str, str] | None:
        cookies = [cookie for cookie in self.seen.sign_ins.get(deliver, Answer(0)).cookies if cookie.value]
        mine = [f"{cookie.name}={cookie.value}" for cookie in cookies if cookie.name != self._names.device]
        return {"Cookie": "; ".join(mine)} if mine else None

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, *, root: bool = False,
        way: Mapping[str, str] | None = None, **content: Any,
    ) -> Answer:  # fmt: skip
        own = self._way if way is None else way
        began = time.perf_counter()
        response = await self._client.request(
            method, path if root else self._prefix + path, headers={**own, **(headers or {})}, **content
        )
        took = time.perf_counter() - began
        self._client.cookies.clear()
        return Answer.of(response, took)


def open_client(url: str, ca: Path | None = None) -> httpx2.AsyncClient:
    """A client for one server. `ca`: certificates to trust beside none (PEM)."""
    verify = ssl.create_default_context(cafile=str(ca) if ca is not None else None)
    return httpx2.AsyncClient(base_url=url, verify=verify, trust_env=False, follow_redirects=False, timeout=20)


def _way(settings: Settings, url: str) -> dict[str, str]:
    """What a proxy of ours would add: a server that is asked on loopback, behind its own TLS, must hear of https."""
    parts = urlsplit(url)
    if settings.secure and parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return {"X-Forwarded-Proto": "https"}
    return {}
