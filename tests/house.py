"""The rooms behind the doors, all of them real, put together on one database with a clock that tests move."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

from admit.credentials.api_keys import ApiKeys
from admit.credentials.delivery import Delivery
from admit.credentials.grants import Grants
from admit.credentials.mint import Mint
from admit.credentials.session_store import SqlSessions
from admit.credentials.sessions import Sessions
from admit.credentials.signing_keys import SigningKeys
from admit.credentials.tickets import Tickets
from admit.crypto.sealing import MasterSecrets, generate
from admit.flows.account import OwnAccount
from admit.flows.email import Email
from admit.flows.gate import Gate
from admit.flows.login import Login
from admit.flows.mail_jobs import MailJobs
from admit.flows.password import Passwords
from admit.flows.proof import PasswordProof
from admit.flows.reauthenticate import Reauthenticate
from admit.flows.register import MayRegister, Register, Registration
from admit.ground.events import Event, Via
from admit.ground.kit import Kit
from admit.jobs.runner import Runner
from admit.limits import SqlLimits
from admit.outbound.mail import Mailer, OutboxMailer
from admit.people.account import Account, NewAccount
from admit.people.accounts import Accounts
from admit.people.identifiers import parse
from admit.people.new_password import NewPassword
from admit.people.passwords import Hasher, HashPool, Verdict, policy_of, profile_of
from admit.people.profile import NoProfile, Profile
from admit.rights import Rights
from admit.settings import Settings
from admit.stores.sql import schema
from admit.stores.sql.database import Database, open_database
from admit.testing.clock import ManualClock

MASTERS = MasterSecrets.parse(generate())
PASSWORD = "Correct Horse 1 Battery!"
OTHER = "Wholly Different 2 Words?"
RIGHTS = {
    "scopes": {"read:posts": "Read posts", "write:posts": "Create and edit posts"},
    "roles": {"member": ("read:posts",), "editor": ("read:posts", "write:posts"), "admin": ("admit:admin",)},
    "default_roles": ("member",),
}


class CountingPool(HashPool):
    """A pool that counts what it verifies: how many guesses were really looked at."""

    verified = 0

    async def verify(self, stored: str | None, password: str) -> Verdict:
        self.verified += 1
        return await super().verify(stored, password)


class House:
    """Every room of accounts and flows. `observed` holds the events of refusals that changed nothing."""

    def __init__(
        self, database: Database, clock: ManualClock, settings: Settings, *, profile: type[BaseModel] = NoProfile,
        may_register: MayRegister | None = None, hash_profile: str = "cheap",
    ) -> None:  # fmt: skip
        self.database, self.clock, self.settings = database, clock, settings
        self.kit = kit = Kit(database, clock)
        self.rights = Rights(settings.scopes, settings.roles)
        self.pool = CountingPool(Hasher(profile_of(hash_profile)), threads=2, waiting=500)
        self.observed: list[Event] = []
        self.gate = Gate(SqlLimits(database), settings.limits)
        self.accounts = Accounts(kit, self.rights, Profile(profile))
        self.signing_keys = SigningKeys(kit, settings, MASTERS)
        self.tickets, self.keys = Tickets(kit, settings), ApiKeys(kit, settings, self.rights)
        sessions, grants = Sessions(kit, settings, SqlSessions(database)), Grants(kit, settings, self.rights)
        self.delivery = Delivery(sessions, grants, Mint(settings, self.signing_keys))
        new_password = NewPassword(policy_of(settings.passwords.policy), settings.passwords.context_words)
        proof = PasswordProof(kit, self.pool, self.gate, settings.passwords.disable_after)
        self.sign_in = Login(kit, settings, self.pool, self.gate, self.delivery, self.observed.append)
        self.sign_up = Register(kit, settings, self.pool, self.gate, self.accounts, new_password, may_register)
        self.passwords = Passwords(
            kit, self.pool, self.gate, self.accounts, new_password, proof, self.tickets, self.delivery, self.keys
        )  # fmt: skip
        self.email = Email(kit, settings, self.gate, self.tickets)
        self.reauthenticate = Reauthenticate(kit, proof, self.delivery)
        self.own = OwnAccount(kit, self.accounts, proof)
        self.use_mailer(OutboxMailer(database))

    def use_mailer(self, mailer: Mailer) -> None:
        """Mails go there from now on."""
        mails = MailJobs(self.kit, self.settings, self.accounts, self.tickets, mailer)
        self.runner = Runner(self.kit, {"mail": mails})

    async def open(self) -> House:
        await self.signing_keys.prepare()
        return self

    async def close(self) -> None:
        await asyncio.to_thread(self.pool.close)

    async def person(
        self, username: str | None = "ann", email: str | None = "ann@x.test", *, password: str | None = PASSWORD,
        roles: tuple[str, ...] = ("member",), verified: bool = False, profile: Mapping[str, Any] | None = None,
    ) -> Account:  # fmt: skip
        """An account that exists already."""
        names = [parse("username", username)] if username else []
        names += [parse("email", email)] if email else []
        hashed = await self.pool.hash(password) if password else None
        new = NewAccount(tuple(names), hashed, roles, profile or {}, verified=verified)
        made = await self.database.write(lambda tx: self.accounts.create(tx, new, Via()))
        assert isinstance(made, Account)
        return made

    async def login(self, identifier: str = "ann", password: str = PASSWORD, **more: Any) -> Any:
        deliver, via = more.pop("deliver", "tokens"), more.pop("via", self.via())
        return await self.sign_in.login(identifier, password, deliver, via, more.pop("device", None))

    async def register(self, via: Via | None = None, **fields: Any) -> None:
        await self.sign_up.register(Registration(**{"password": PASSWORD, **fields}), via or self.via())

    @staticmethod
    def via(address: str = "192.0.2.1") -> Via:
        return Via("req-1", address, "tests")

    async def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        return await self.database.read(
            lambda tx: [dict(row._mapping) for row in tx.connection.execute(sa.select(table))]
        )

    async def events(self, *types: str) -> list[dict[str, Any]]:
        rows = sorted(await self.rows(schema.events), key=lambda row: row["seq"])
        return [row for row in rows if row["type"] in types] if types else rows

    async def mails(self) -> list[dict[str, Any]]:
        """Runs the queue until it is empty; every mail so far, oldest first."""
        while await self.runner.run_once():
            pass
        return sorted(await self.rows(schema.outbox), key=lambda row: row["seq"])

    async def link(self) -> str:
        """The ticket in the newest mail."""
        text: str = (await self.mails())[-1]["text"]
        return text.partition("?ticket=")[2].split()[0]

    async def living(self, user: bytes) -> int:
        """How many sessions and grants of someone are alive."""
        return len(await self.delivery.live(user))


def settings(**overrides: Any) -> Settings:
    """Settings with the scopes and roles of these tests."""
    return Settings(**{"rights": RIGHTS, **overrides})


def fill(url: str) -> None:
    """Brings an empty database to this version."""

    async def run() -> None:
        database = open_database(url, ManualClock(), secrets.token_bytes)
        await database.migrate()
        await database.close()

    asyncio.run(run())
