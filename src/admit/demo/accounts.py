"""The ready-made accounts: member, editor, admin, and a service account with an API key. The same at every start."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field

from admit.auth import Admit
from admit.credentials.api_keys import By, Terms
from admit.demo.home import ROLES, Home, write_private
from admit.ground.errors import AdmitError, Refusal, Refused
from admit.ground.events import Via
from admit.ground.work import Tx
from admit.people.account import Account, NewAccount
from admit.people.identifiers import parse
from admit.rooms import Rooms
from admit.stores.sql import passwords

_ROLES = {"member": ("member",), "editor": ("member", "editor"), "admin": ("member", "editor", "admin")}
SERVICE, KEY_NAME = "nightly-import", "Production Server"
#: what the key may do: less than its owner
KEY_SCOPES = frozenset({"read:posts", "write:posts"})


@dataclass(frozen=True, slots=True)
class Person:
    """A person of the demo."""

    username: str
    email: str
    roles: tuple[str, ...]
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Cast:
    """Everyone in the demo, with their secrets: this is shown to whoever runs it."""

    people: tuple[Person, ...]
    api_key: str = field(repr=False)

    def password(self, username: str) -> str:
        """The password of one of them."""
        return next(person.password for person in self.people if person.username == username)


def load(home: Home) -> Cast:
    """The accounts of a demo that was prepared."""
    kept = json.loads(home.accounts_file.read_text("utf-8"))
    people = (Person(**{**one, "roles": tuple(one["roles"])}) for one in kept["people"])
    return Cast(tuple(people), kept["api_key"])


async def prepare(auth: Admit, home: Home) -> Cast:
    """Makes whatever is missing; what was there keeps its secrets. `auth` is open."""
    known = load(home) if home.accounts_file.exists() else Cast((), "")
    kept = {person.username: person for person in known.people}
    people = [await _person(auth.rooms, name, kept.get(name)) for name in _ROLES]
    key = known.api_key if await _works(auth, known.api_key) else await _new_key(auth.rooms)
    cast = Cast(tuple(people), key)
    write_private(home.accounts_file, json.dumps(asdict(cast), indent=2))
    return cast


async def _person(rooms: Rooms, name: str, kept: Person | None) -> Person:
    """The account, with the password that we know of; another one is replaced."""
    password = kept.password if kept is not None else _password(rooms)
    person = Person(name, f"{name}@demo.test", _ROLES[name], password)
    account = await rooms.kit.work.read(lambda tx: rooms.accounts.named(tx, "username", name))
    if account is not None:
        row = await rooms.kit.work.read(lambda tx: passwords.of_user(tx, account.id))
        if row is not None and (await rooms.pool.verify(row.hash, password)).ok:
            return person
    hash_ = await rooms.pool.hash(password)

    def body(tx: Tx) -> None:
        if account is not None:
            passwords.replace(tx, account.id, hash_)
            rooms.delivery.end_all(tx, account.id, Via())
            return
        names = (parse("username", name), parse("email", person.email))
        made = rooms.accounts.create(tx, NewAccount(names, hash_, person.roles, verified=True), Via())
        if not isinstance(made, Account):
            raise AdmitError(f"the demo cannot make its account {name!r}: its address is taken. Delete .admit")

    await rooms.kit.work.write(body)
    return person


async def _works(auth: Admit, key: str) -> bool:
    try:
        await auth.verify(key)
    except Refusal:
        return False
    return True


async def _new_key(rooms: Rooms) -> str:
    """A key of the service account, which belongs to the editor."""

    def body(tx: Tx) -> str | Refused:
        owner = rooms.accounts.named(tx, "username", "editor")
        assert owner is not None  # noqa: S101 (made above)
        services = [one for one in rooms.accounts.services_of(tx, owner.id) if one.name == SERVICE]
        service = services[0] if services else rooms.accounts.create_service(tx, owner.id, SERVICE, ["editor"], Via())
        if isinstance(service, Refused):
            return service
        terms, by = Terms(KEY_NAME, KEY_SCOPES), By(frozenset(ROLES["editor"]))
        created = rooms.api_keys.create(tx, service.id, terms, by)
        return created if isinstance(created, Refused) else created.key

    made = await rooms.kit.work.write(body)
    if isinstance(made, Refused):
        raise made.refusal()
    return made


def _password(rooms: Rooms) -> str:
    """100 random bits that pass the policy `classic`, and hold nothing that a shell or JSON reads as its own."""
    letters = base64.b32encode(rooms.kit.random(15)).decode()
    groups = [letters[at : at + 5] for at in range(0, 20, 5)]
    return "-".join([groups[0], groups[1].lower(), groups[2], groups[3].lower()]) + "-7aQ"
