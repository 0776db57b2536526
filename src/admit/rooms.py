"""The rooms of one Admit, built and ready: what routes, pages and the command line work with."""

from __future__ import annotations

from dataclasses import dataclass

from admit.audit.log import Observed
from admit.background import Sealing
from admit.credentials.api_keys import ApiKeys
from admit.credentials.delivery import Delivery
from admit.credentials.live import Live
from admit.credentials.refresh import Refresh
from admit.credentials.seen import Seen
from admit.credentials.session_store import SessionStore
from admit.credentials.signing_keys import SigningKeys
from admit.credentials.tickets import Tickets
from admit.credentials.usage import Usage
from admit.flows.account import OwnAccount
from admit.flows.email import Email
from admit.flows.login import Login
from admit.flows.password import Passwords
from admit.flows.reauthenticate import Reauthenticate
from admit.flows.register import Register
from admit.ground.kit import Kit
from admit.jobs import Runner, Steps
from admit.limits import Blocks, LimitStore
from admit.people.accounts import Accounts
from admit.people.passwords import HashPool
from admit.rights import Rights
from admit.settings import Settings
from admit.stores.sql.database import Database


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything behind the routes. Made by `admit.build.build`, closed by `close`."""

    kit: Kit
    settings: Settings
    database: Database
    rights: Rights
    accounts: Accounts
    pool: HashPool
    limits: LimitStore
    blocks: Blocks
    signing_keys: SigningKeys
    delivery: Delivery
    refresh: Refresh
    api_keys: ApiKeys
    usage: Usage
    uses: SessionStore
    seen: Seen
    tickets: Tickets
    live: Live
    observed: Observed
    jobs: Runner
    steps: Steps
    sealing: Sealing
    login: Login
    register: Register
    passwords: Passwords
    email: Email
    reauthenticate: Reauthenticate
    account: OwnAccount
