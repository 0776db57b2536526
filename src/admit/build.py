"""Composition: from settings to rooms, in the order of the layers. The only place that knows how parts fit."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from pydantic import BaseModel

from admit.audit.log import Observed
from admit.background import Cleaning, Handler, Handlers, Sealing, steps
from admit.credentials.api_keys import ApiKeys
from admit.credentials.delivery import Delivery
from admit.credentials.grants import Grants
from admit.credentials.live import Feed, Live, Truth
from admit.credentials.live.hint import Hint, LocalHint, SharedHint
from admit.credentials.mint import ClaimsFunction, Mint
from admit.credentials.refresh import Refresh
from admit.credentials.seen import Seen
from admit.credentials.session_store import open_session_store
from admit.credentials.sessions import Sessions
from admit.credentials.signing_keys import RING, SigningKeys
from admit.credentials.tickets import Tickets
from admit.credentials.usage import Usage
from admit.crypto.sealing import MasterSecrets, generate
from admit.flows.account import OwnAccount
from admit.flows.email import Email
from admit.flows.gate import Gate as Guesses
from admit.flows.login import Login
from admit.flows.mail_jobs import MailJobs
from admit.flows.password import Passwords
from admit.flows.proof import PasswordProof
from admit.flows.reauthenticate import Reauthenticate
from admit.flows.register import MayRegister, Register
from admit.ground.clock import Clock, SystemClock
from admit.ground.errors import SettingsError
from admit.ground.kit import Kit
from admit.jobs import Runner, Steps
from admit.limits import Blocks, open_limits
from admit.outbound.mail import Mailer, open_mailer
from admit.people.accounts import Accounts
from admit.people.new_password import NewPassword
from admit.people.passwords import Hasher, HashPool, policy_of, profile_of
from admit.people.profile import NoProfile, Profile
from admit.rights import Rights
from admit.rooms import Rooms
from admit.settings import Settings
from admit.stores.sql.database import Database, open_database


@dataclass(frozen=True, slots=True)
class Own:
    """What an application brings of its own; all of it plain functions and values."""

    claims: ClaimsFunction | None = None
    may_register: MayRegister | None = None
    profile: type[BaseModel] = NoProfile
    mailer: Mailer | None = None
    clock: Clock = field(default_factory=SystemClock)
    random: Callable[[int], bytes] = secrets.token_bytes
    handlers: list[tuple[frozenset[str], Handler]] = field(default_factory=list)


def master_secrets(settings: Settings) -> MasterSecrets:
    """ADMIT_SECRET, or on loopback the secret that was made once in the run directory (readable by its owner only).

    Raises `SettingsError` in production without ADMIT_SECRET.
    """
    if settings.secret is not None:
        return MasterSecrets.parse(settings.secret.get_secret_value())
    if settings.production:
        raise SettingsError("ADMIT_SECRET is not set. Make one with `admit secret` and keep it outside the code")
    if settings.database in ("sqlite://", "sqlite:///:memory:"):
        return MasterSecrets.parse(generate())
    return MasterSecrets.parse(_kept_secret(settings.run_directory / "secret"))


def _kept_secret(path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        # mkstemp: readable by its owner only
        descriptor, made = tempfile.mkstemp(prefix="secret-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(generate())
            with contextlib.suppress(FileExistsError):
                # a link, since it appears whole or not at all: of several processes that start at once one makes the
                # secret, and none of them, nor a start after a crash, ever reads an empty one
                os.link(made, path)
        finally:
            Path(made).unlink()
    return path.read_text().strip()


def open_store(settings: Settings, own: Own) -> Database:
    """The database of the settings; voids are kept as long as the longest access token and five minutes."""
    return open_database(
        settings.database, own.clock, own.random, void_for=settings.tokens.access_for + timedelta(minutes=5)
    )


def build(settings: Settings, own: Own, database: Database) -> Rooms:
    """Every room, not yet opened. Nothing is started; on loopback the secret of the run directory is made or read."""
    kit, rights = Kit(database, own.clock, own.random), Rights(settings.scopes, settings.roles)
    masters = master_secrets(settings)
    signing_keys, sealing = SigningKeys(kit, settings, masters), Sealing(kit, masters)
    mint = Mint(settings, signing_keys, own.claims)
    uses = open_session_store(settings, database)
    delivery = Delivery(Sessions(kit, settings, uses), Grants(kit, settings, rights), mint)
    api_keys, tickets = ApiKeys(kit, settings, rights), Tickets(kit, settings)
    cleaning = Cleaning(kit, settings, tickets, api_keys)
    limits = open_limits(settings, database, own.clock)
    feed = _feed(kit, settings, own, database, signing_keys)
    truth = Truth(kit, settings, rights, signing_keys, api_keys, uses)
    live = Live(kit, feed, truth, caching=settings.tokens.cache)
    observed = Observed(kit)
    accounts = Accounts(kit, rights, Profile(own.profile))
    pool = HashPool(Hasher(profile_of(settings.passwords.hash)))
    guesses = Guesses(limits, settings.limits)
    new_password = NewPassword(
        policy_of(settings.passwords.policy, max_bytes=pool.hasher.max_bytes), settings.passwords.context_words
    )
    proof = PasswordProof(kit, pool, guesses, settings.passwords.disable_after)
    mail = MailJobs(kit, settings, accounts, tickets, own.mailer or open_mailer(settings, kit))
    return Rooms(
        kit=kit, settings=settings, database=database, rights=rights, accounts=accounts, pool=pool, limits=limits,
        blocks=Blocks(limits, own.clock), signing_keys=signing_keys, delivery=delivery,
        refresh=Refresh(kit, settings, rights, mint), api_keys=api_keys,
        usage=Usage(database, own.clock, dormant=settings.api_keys.dormant_after),
        uses=uses, seen=Seen(uses, settings.sessions.idle), tickets=tickets, live=live, observed=observed,
        jobs=Runner(kit, {"mail": mail}),
        steps=Steps(kit, steps(kit, signing_keys, sealing.step, cleaning.step, Handlers(kit, own.handlers)), _holder()),
        sealing=sealing,
        login=Login(kit, settings, pool, guesses, delivery, observed.observe),
        register=Register(kit, settings, pool, guesses, accounts, new_password, own.may_register),
        passwords=Passwords(kit, pool, guesses, accounts, new_password, proof, tickets, delivery, api_keys),
        email=Email(kit, settings, guesses, tickets),
        reauthenticate=Reauthenticate(kit, proof, delivery),
        account=OwnAccount(kit, accounts, proof),
    )  # fmt: skip


async def open_rooms(rooms: Rooms, *, background: bool = True) -> None:
    """Brings the schema up to date, opens the seal, takes the first poll. Raises `SettingsError` or `Unavailable`.

    Without `background` no jobs and steps run here: a verb of the command line must not take the leader's lease from
    the servers for its second of life.
    """
    await rooms.database.migrate()
    await rooms.signing_keys.prepare()
    await rooms.live.feed.freshen()
    if background:
        rooms.jobs.ensure()
        rooms.steps.ensure()


async def close_rooms(rooms: Rooms) -> None:
    """Finishes what is in hand, writes what was noted, lets go of everything."""
    await rooms.jobs.close()
    await rooms.steps.close()
    await rooms.usage.close()
    await rooms.seen.close()
    await rooms.uses.close()
    await rooms.observed.close()
    await rooms.live.feed.close()
    await rooms.limits.close()
    rooms.pool.close()
    await rooms.database.close()


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _feed(kit: Kit, settings: Settings, own: Own, database: Database, signing_keys: SigningKeys) -> Feed:
    feed = Feed(kit, database, _hint(settings, own))
    feed.follow(RING, signing_keys.reload)
    return feed


def _hint(settings: Settings, own: Own) -> Hint:
    if settings.database in ("sqlite://", "sqlite:///:memory:"):
        return LocalHint()
    return SharedHint(settings.run_directory / "feed", own.random)
