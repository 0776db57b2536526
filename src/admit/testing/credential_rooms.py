"""The rooms of credentials on one database, without web and passwords: for suites and racers of several processes."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from admit.credentials.api_keys import ApiKeys
from admit.credentials.delivery import Delivery
from admit.credentials.fence import Fence
from admit.credentials.grants import Grants, Person
from admit.credentials.live import Feed, Live, Truth
from admit.credentials.live.hint import Hint, LocalHint
from admit.credentials.mint import Access, Mint
from admit.credentials.refresh import Refresh
from admit.credentials.session_store import SqlSessions
from admit.credentials.sessions import Sessions
from admit.credentials.signing_keys import RING, SigningKeys
from admit.crypto.sealing import MasterSecrets
from admit.ground.clock import Clock
from admit.ground.events import Via
from admit.ground.kit import Kit
from admit.ground.principal import Method
from admit.ground.work import Tx
from admit.rights import Rights
from admit.settings import Settings
from admit.stores.sql import accounts
from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock

#: the master secret of suites: several processes of one test open one database with it
MASTER = "VGhpcyBpcyBmb3IgdGVzdHMgYW5kIG9wZW5zIG5vdGhpbmcu"
SCOPES = {"read:posts": "Read posts", "write:posts": "Create and edit posts", "delete:posts": "Delete posts"}
ROLES = {"reader": ("read:posts",), "editor": tuple(SCOPES)}


class SignedIn(NamedTuple):
    """A grant with its first pair of tokens."""

    user: bytes
    grant: bytes
    refresh_token: str
    access_token: str


class CredentialRooms:
    """Sessions, grants, refresh, signing keys, the feed and the truth, put together as `admit.build` does."""

    def __init__(
        self, database: Database, clock: Clock, *, settings: Settings | None = None, hint: Hint | None = None,
        master: str = MASTER, roles: dict[str, tuple[str, ...]] | None = None,
    ) -> None:  # fmt: skip
        self.database, self.clock = database, clock
        self.settings = settings or Settings()
        self.kit = Kit(database, clock, secrets.token_bytes)
        self.rights = Rights(SCOPES, roles or ROLES)
        self.signing_keys = SigningKeys(self.kit, self.settings, MasterSecrets.parse(master))
        self.mint = Mint(self.settings, self.signing_keys)
        uses = SqlSessions(database)
        self.sessions = Sessions(self.kit, self.settings, uses)
        self.grants = Grants(self.kit, self.settings, self.rights)
        self.delivery = Delivery(self.sessions, self.grants, self.mint)
        self.refresh = Refresh(self.kit, self.settings, self.rights, self.mint)
        self.api_keys = ApiKeys(self.kit, self.settings, self.rights)
        self.fence = Fence(self.kit, self.signing_keys)
        self.feed = Feed(self.kit, database, hint or LocalHint())
        truth = Truth(self.kit, self.settings, self.rights, self.signing_keys, self.api_keys, uses)
        self.live = Live(self.kit, self.feed, truth, caching=self.settings.tokens.cache)

    async def open(self) -> CredentialRooms:
        """Opens the seal and takes the first poll; the database is migrated already."""
        await self.signing_keys.prepare()
        self.feed.follow(RING, self.signing_keys.reload)
        await self.feed.poll()
        return self

    async def close(self) -> None:
        """Stops the feed and closes the database."""
        await self.feed.close()
        await self.database.close()

    async def add_person(self, roles: str = "editor") -> bytes:
        """A new account; its id."""
        row = accounts.UserRow(self.kit.new_id(), "user", 1, None, roles, {}, None, self.clock.now(), None)
        await self.database.write(lambda tx: accounts.insert(tx, row, None, []))
        return row.id

    async def sign_in(self, user: bytes, scopes: frozenset[str] | None = None, roles: str = "editor") -> SignedIn:
        """A grant of `user` to the built-in sign-in."""
        person = Person(user, tuple(roles.split()), (Method("pwd", self.clock.now()),))

        def body(tx: Tx) -> SignedIn:
            started = self.grants.start(tx, person, "tokens", Via(), scopes=scopes)
            opened.append(started.access)
            return SignedIn(user, started.id, started.refresh_token, "")

        opened: list[Access] = []
        signed_in = await self.database.write(body)
        return signed_in._replace(access_token=await self.mint.access_token(opened[-1]))

    async def start_session(self, user: bytes) -> str:
        """The secret of a new session of `user`."""
        methods = (Method("pwd", self.clock.now()),)
        return (await self.database.write(lambda tx: self.sessions.start(tx, user, methods, Via()))).token


@asynccontextmanager
async def rooms_on(url: str, clock: Clock | None = None, **more: Any) -> AsyncIterator[CredentialRooms]:
    """The rooms on the (migrated) database at `url`; the feed beats only when it is asked to."""
    clock = clock or ManualClock()
    rooms = CredentialRooms(open_database(url, clock, secrets.token_bytes), clock, **more)
    try:
        yield await rooms.open()
    finally:
        await rooms.close()
