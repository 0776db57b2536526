"""One examination: the settings, the store, a visit to the server with an account made for it and deleted again."""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from admit.audit.watch import CURSOR
from admit.cli.doctor.checklist import checks
from admit.cli.doctor.verdicts import Check, Kept, Setup
from admit.cli.doctor.visit import Patient, Seen, Tell, Visit, open_client
from admit.ground.errors import AdmitError, Refused
from admit.ground.events import Via
from admit.ground.ids import read, show
from admit.ground.work import Tx
from admit.people.account import NewAccount, Taken
from admit.people.identifiers import Identifier, parse
from admit.people.identifiers import read as read_identifier
from admit.rooms import Rooms
from admit.serve.checklist import Weakening, config_files, unsafe, weakenings
from admit.settings import Settings
from admit.stores.sql import survey
from admit.stores.sql.accounts import owner_of

#: how long the server's detectors may take to look at what the visit left; they come by every second
PATIENCE = timedelta(seconds=5)
_LOOK_EVERY = 0.1  # seconds


class Report(NamedTuple):
    """The outcome of every line, and the weaker choices in use."""

    checks: list[Check]
    weakenings: list[Weakening]

    @property
    def failed(self) -> bool:
        """Whether a line does not hold."""
        return any(check.status == "fail" for check in self.checks)


class Server(NamedTuple):
    """The server to visit. `patient`: an account to use instead of one made for the visit. `ca`: a PEM file."""

    url: str
    patient: Patient | None = None
    ca: Path | None = None


def silent(step: str) -> None:
    """Tells nobody of a step."""
    del step


async def examine(
    settings: Settings, rooms: Rooms | None, server: Server | None = None, *, tell: Tell = silent,
    patience: timedelta = PATIENCE, absent: str = "the store could not be opened",
) -> Report:  # fmt: skip
    """Judges every line on what there is: without `rooms` no store, without `server` no visit.

    Raises `Unavailable` when the server does not answer or the store goes down.
    """
    missing = {} if rooms is not None else {"store": absent}
    began = 0 if rooms is None else rooms.kit.clock.now()
    seen, patient = None, None
    if server is None:
        missing["server"] = "no running server was named (--url)"
    else:
        seen, patient = await _visit(settings, rooms, server, tell, missing)
    tell("store")
    kept = None if rooms is None else await _kept(rooms, began, seen, patient, patience)
    found = tuple(unsafe(settings, config_files(os.environ)))
    setup = Setup(settings, found, kept, seen, patient, missing)
    if rooms is not None and patient is not None and patient.temporary:
        await _forget(rooms, patient)
    return Report(checks(setup), weakenings(settings))


async def _visit(
    settings: Settings, rooms: Rooms | None, server: Server, tell: Tell, missing: dict[str, str]
) -> tuple[Seen | None, Patient | None]:
    patient = server.patient
    if patient is None and rooms is None:
        missing["server"] = "there is no account to sign in with: give --identifier and --password-stdin"
        return None, None
    if patient is None and rooms is not None:
        tell("temporary account")
        patient = await _make(rooms)
    assert patient is not None  # noqa: S101
    try:
        async with open_client(server.url, server.ca) as client:
            return await Visit(settings, client, patient).run(tell), patient
    except BaseException:
        if rooms is not None and patient.temporary:
            await _forget(rooms, patient)
        raise


async def _make(rooms: Rooms) -> Patient:
    """An account for the visit: of the kinds of identifiers in use, with a password that no policy refuses."""
    token = rooms.kit.random(16).hex()
    kinds = rooms.settings.identifiers
    names: list[Identifier] = []
    if "username" in kinds:
        names.append(parse("username", f"doctor-{token[:12]}"))
    if "email" in kinds or rooms.settings.require_verified:
        names.append(parse("email", f"doctor-{token[:12]}@doctor.invalid"))
    password = f"Kx9-{rooms.kit.random(15).hex()}"
    hash_ = await rooms.pool.hash(password)
    new = NewAccount(tuple(names), hash_, rooms.settings.rights.default_roles, name="admit doctor", verified=True)
    made = await rooms.kit.work.write(lambda tx: rooms.accounts.create(tx, new, Via(), event="account.imported"))
    if isinstance(made, Taken):
        raise AdmitError("the temporary account could not be made")
    return Patient(names[0].value, password, made.shown)


async def _forget(rooms: Rooms, patient: Patient) -> None:
    user = read("usr", patient.subject or "")
    if user is None:
        return

    def body(tx: Tx) -> Refused | None:
        return rooms.accounts.delete(tx, user, Via())

    await rooms.kit.work.write(body)


async def _kept(rooms: Rooms, began: int, seen: Seen | None, patient: Patient | None, patience: timedelta) -> Kept:
    if seen is not None:
        await _watched(rooms, patience)
    return await rooms.kit.work.read(lambda tx: _read(tx, began, seen, patient))


async def _watched(rooms: Rooms, patience: timedelta) -> None:
    """Waits until the detectors have seen what the visit left, but no longer than `patience`."""
    for _ in range(max(1, round(patience.total_seconds() / _LOOK_EVERY))):
        behind = await rooms.kit.work.read(lambda tx: survey.behind(tx, CURSOR))
        if not behind.events:
            return
        await asyncio.sleep(_LOOK_EVERY)


def _read(tx: Tx, began: int, seen: Seen | None, patient: Patient | None) -> Kept:
    hashes = tuple((show("usr", user), stored) for user, stored in survey.password_hashes(tx))
    keys = tuple(survey.api_keys(tx))
    behind = survey.behind(tx, CURSOR)
    if seen is None or patient is None:
        return Kept(hashes, keys, behind, tx.now)
    subject = patient.subject or _subject(tx, patient)
    return Kept(
        hashes, keys, behind, tx.now,
        None if subject is None else frozenset(survey.event_types(tx, subject, began)),
        tuple(survey.holding(tx, patient.password, began)),
        () if seen.api_key is None else tuple(survey.holding(tx, seen.api_key, began)),
        frozenset(key.digest for key in keys),
    )  # fmt: skip


def _subject(tx: Tx, patient: Patient) -> str | None:
    name = read_identifier(patient.identifier)
    user = None if name is None else owner_of(tx, name.kind, name.value)
    return None if user is None else show("usr", user)
