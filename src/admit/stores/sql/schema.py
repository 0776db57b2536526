"""The tables. `tenant` is the first column of every primary key, unique index and foreign key, so that a query that
crosses tenants cannot be written by accident. All names begin with `admit_`, in a MetaData of our own.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Column, ForeignKeyConstraint, Index, Integer, PrimaryKeyConstraint, Table, Text

from admit.stores.sql.types import Digest, Id, Json, Serial, Time, Xid, current_xid

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _tenant() -> Column[int]:
    return Column("tenant", Integer, nullable=False)


def _id(name: str = "id", *, nullable: bool = False) -> Column[bytes]:
    return Column(name, Id, nullable=nullable)


def _time(name: str, *, nullable: bool = True) -> Column[int]:
    return Column(name, Time, nullable=nullable)


def _version() -> Column[int]:
    return Column("version", sa.BigInteger, nullable=False, server_default="1")


def _table(name: str, *parts: Any) -> Table:
    # sqlite_autoincrement: a row number that is used again after a clean-up would hide behind a reader's cursor
    counted = any(isinstance(part, Column) and part.name == "seq" and part.primary_key for part in parts)
    return Table(f"admit_{name}", metadata, *parts, sqlite_autoincrement=counted)


def _owned_by(column: str, parent: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["tenant", column], [f"admit_{parent}.tenant", f"admit_{parent}.id"], ondelete="CASCADE"
    )


meta = _table("meta", Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

tenants = _table(
    "tenants",
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    _version(),
    _time("fenced_at"),  # everything issued before this moment is dead
)

users = _table(
    "users",
    _tenant(),
    _id(),
    Column("kind", Text, nullable=False),  # user | service
    _version(),
    Column("name", Text),
    Column("roles", Text, nullable=False, server_default=""),  # space separated, sorted
    Column("profile", Json, nullable=False),
    _id("owner_id", nullable=True),  # who answers for a service account
    _time("created_at", nullable=False),
    _time("disabled_at"),
    PrimaryKeyConstraint("tenant", "id"),
)

identifiers = _table(
    "identifiers",
    _tenant(),
    Column("kind", Text, nullable=False),  # username | email
    Column("value", Text, nullable=False),  # canonical
    _id("user_id"),
    Column("shown", Text, nullable=False),  # as its owner typed it
    _time("verified_at"),
    _time("created_at", nullable=False),
    PrimaryKeyConstraint("tenant", "kind", "value"),
    _owned_by("user_id", "users"),
    Index(None, "tenant", "user_id"),
)

passwords = _table(
    "passwords",
    _tenant(),
    _id("user_id"),
    Column("hash", Text, nullable=False),
    _time("changed_at", nullable=False),
    Column("failures", Integer, nullable=False, server_default="0"),  # in a row
    _time("disabled_at"),
    PrimaryKeyConstraint("tenant", "user_id"),
    _owned_by("user_id", "users"),
)

#: what a failed login of nobody updates, so that it costs what one of somebody costs; a few rows, else they would
#: wait for each other where accounts do not
decoys = _table(
    "decoys",
    _tenant(),
    Column("slot", Integer, nullable=False),
    Column("failures", sa.BigInteger, nullable=False),
    _time("disabled_at"),
    PrimaryKeyConstraint("tenant", "slot"),
)

devices = _table(
    "devices",
    _tenant(),
    Column("digest", Digest, nullable=False),
    _id("user_id"),
    _time("created_at", nullable=False),
    _time("seen_at", nullable=False),
    _time("expires_at", nullable=False),
    Column("agent", Text),
    PrimaryKeyConstraint("tenant", "digest"),
    _owned_by("user_id", "users"),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "expires_at"),
)

clients = _table(
    "clients",
    _tenant(),
    _id(),
    Column("client_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("first_party", Integer, nullable=False, server_default="0"),
    Column("public", Integer, nullable=False, server_default="1"),
    _version(),
    _time("created_at", nullable=False),
    _time("disabled_at"),
    PrimaryKeyConstraint("tenant", "id"),
    Index("uq_admit_clients_client_id", "tenant", "client_id", unique=True),
)

sessions = _table(
    "sessions",
    _tenant(),
    _id(),
    _id("user_id"),
    Column("digest", Digest, nullable=False),
    _version(),
    Column("methods", Text, nullable=False, server_default=""),  # name@micros, space separated
    _time("created_at", nullable=False),
    _time("seen_at", nullable=False),
    _time("expires_at", nullable=False),
    Column("idle", sa.BigInteger, nullable=False),  # microseconds of silence after which it is over
    _time("ended_at"),
    Column("address", Text),
    Column("agent", Text),
    PrimaryKeyConstraint("tenant", "id"),
    _owned_by("user_id", "users"),
    Index("uq_admit_sessions_digest", "tenant", "digest", unique=True),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "expires_at"),
)

grants = _table(
    "grants",
    _tenant(),
    _id(),
    _id("user_id"),
    _id("client_id"),
    _id("session_id", nullable=True),
    Column("kind", Text, nullable=False),  # login, later the OAuth grant type
    Column("deliver", Text, nullable=False, server_default="tokens"),
    Column("scopes", Text),  # null: whatever the person may do now
    Column("claims", Json),
    Column("methods", Text, nullable=False, server_default=""),
    _version(),
    _time("created_at", nullable=False),
    _time("seen_at", nullable=False),
    _time("expires_at", nullable=False),
    _time("ended_at"),
    Column("address", Text),
    Column("agent", Text),
    PrimaryKeyConstraint("tenant", "id"),
    _owned_by("user_id", "users"),
    _owned_by("client_id", "clients"),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "expires_at"),
)

families = _table(
    "families",
    _tenant(),
    _id(),
    _id("grant_id"),
    Column("proof", Digest, nullable=False),
    Column("current", Digest, nullable=False),
    Column("previous", Digest),
    Column("nonce", sa.LargeBinary(32)),
    _time("rotated_at", nullable=False),
    _time("expires_at", nullable=False),
    _time("idle_until", nullable=False),
    _time("ended_at"),
    PrimaryKeyConstraint("tenant", "id"),
    _owned_by("grant_id", "grants"),
    Index(None, "tenant", "grant_id"),
    Index(None, "tenant", "expires_at"),
)

api_keys = _table(
    "api_keys",
    _tenant(),
    _id(),
    _id("user_id"),
    Column("name", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("scopes", Text, nullable=False, server_default=""),
    Column("hint", Text, nullable=False),  # the prefix and last four letters, to recognise it in a list
    _version(),
    _time("created_at", nullable=False),
    _time("expires_at"),
    _time("disabled_at"),
    _time("revoked_at"),
    Column("limit_hits", Integer),
    Column("limit_per", sa.BigInteger),  # microseconds
    PrimaryKeyConstraint("tenant", "id"),
    _owned_by("user_id", "users"),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "revoked_at"),
)

api_key_secrets = _table(
    "api_key_secrets",
    _tenant(),
    Column("digest", Digest, nullable=False),
    _id("key_id"),
    _time("created_at", nullable=False),
    _time("retires_at"),
    PrimaryKeyConstraint("tenant", "digest"),
    _owned_by("key_id", "api_keys"),
    Index(None, "tenant", "key_id"),
    Index(None, "tenant", "retires_at"),
)

#: narrow and apart: counting uses must not touch (and bloat) the rows that the truth read joins
api_key_usage = _table(
    "api_key_usage",
    _tenant(),
    _id("key_id"),
    _time("last_used_at", nullable=False),
    _time("previous_used_at"),  # what last_used_at was before the newest batch: tells a key that wakes up
    Column("uses", sa.BigInteger, nullable=False),
    Column("last_address", Text),
    PrimaryKeyConstraint("tenant", "key_id"),
    _owned_by("key_id", "api_keys"),
)

tickets = _table(
    "tickets",
    _tenant(),
    _id(),
    Column("purpose", Text, nullable=False),
    Column("digest", Digest, nullable=False),
    _id("user_id", nullable=True),
    Column("data", Json, nullable=False),
    _time("created_at", nullable=False),
    _time("expires_at", nullable=False),
    _time("taken_at"),
    _id("taken_for", nullable=True),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "user_id"),
    Index(None, "tenant", "expires_at"),
)

#: insert-once marks: jti of assertions, TOTP steps, fences of leader jobs
claims = _table(
    "claims",
    _tenant(),
    Column("key", Text, nullable=False),
    _time("until", nullable=False),
    PrimaryKeyConstraint("tenant", "key"),
    Index(None, "tenant", "until"),
)

limits = _table(
    "limits",
    _tenant(),
    Column("key", Text, nullable=False),
    _time("tat", nullable=False),  # theoretical arrival time (GCRA)
    PrimaryKeyConstraint("tenant", "key"),
    Index(None, "tenant", "tat"),
)

#: failures in a row and the moment before which nothing is tried: growing waits
waits = _table(
    "waits",
    _tenant(),
    Column("key", Text, nullable=False),
    Column("failures", Integer, nullable=False),
    _time("until", nullable=False),
    _time("forget_at", nullable=False),
    PrimaryKeyConstraint("tenant", "key"),
    Index(None, "tenant", "forget_at"),
)

signing_keys = _table(
    "signing_keys",
    _tenant(),
    Column("kid", Text, nullable=False),
    Column("alg", Text, nullable=False),
    Column("secret", sa.LargeBinary, nullable=False),  # sealed
    _version(),
    _time("created_at", nullable=False),
    _time("not_before", nullable=False),
    _time("active_from", nullable=False),
    _time("retire_at"),
    _time("revoked_at"),
    PrimaryKeyConstraint("tenant", "kid"),
)

data_keys = _table(
    "data_keys",
    _tenant(),
    Column("purpose", Text, nullable=False),
    Column("number", Integer, nullable=False),
    Column("wrapped", sa.LargeBinary, nullable=False),
    _time("created_at", nullable=False),
    PrimaryKeyConstraint("tenant", "purpose", "number"),
)

voids = _table(
    "voids",
    Column("seq", Serial, primary_key=True, autoincrement=True),
    _tenant(),
    Column("kind", Text, nullable=False),
    Column("tie_id", sa.LargeBinary, nullable=False),
    _version(),
    _time("until", nullable=False),
    Column("xid", Xid, nullable=False, server_default=current_xid()),
    Index(None, "xid"),
    Index(None, "until"),
)

events = _table(
    "events",
    Column("seq", Serial, primary_key=True, autoincrement=True),
    _id(),
    _tenant(),
    _time("at", nullable=False),
    Column("type", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("actor", Text),
    Column("subject", Text),
    Column("credential", Text),
    Column("client", Text),
    Column("session", Text),
    Column("request_id", Text),
    Column("count", Integer, nullable=False, server_default="1"),
    Column("data", Json, nullable=False),
    Column("personal", Digest),  # SHA-256(salt and personal data); the data itself stands in admit_event_persons
    Column("xid", Xid, nullable=False, server_default=current_xid()),
    Index(None, "xid"),
    Index(None, "tenant", "at"),
    Index(None, "tenant", "subject", "at"),
    Index(None, "tenant", "request_id"),
    Index("uq_admit_events_id", "tenant", "id", unique=True),
)

event_persons = _table(
    "event_persons",
    _tenant(),
    _id("event_id"),
    Column("salt", sa.LargeBinary(16), nullable=False),
    Column("address", Text),
    Column("agent", Text),
    Column("identifier", Text),
    Column("subject", Text),
    PrimaryKeyConstraint("tenant", "event_id"),
    Index(None, "tenant", "subject"),
)

audit_blocks = _table(
    "audit_blocks",
    Column("height", sa.BigInteger, primary_key=True, autoincrement=False),
    _time("at", nullable=False),
    Column("size", Integer, nullable=False),
    Column("root", Digest, nullable=False),
    Column("previous", Digest, nullable=False),
    Column("kid", Text, nullable=False),
    Column("signature", sa.LargeBinary, nullable=False),
)

audit_log = _table(
    "audit_log",
    Column("height", sa.BigInteger, nullable=False),
    Column("position", Integer, nullable=False),
    Column("seq", sa.BigInteger, nullable=False),
    Column("leaf", Digest, nullable=False),
    PrimaryKeyConstraint("height", "position"),
    Index("uq_admit_audit_log_seq", "seq", unique=True),
)

cursors = _table(
    "cursors",
    Column("name", Text, primary_key=True),
    Column("position", sa.BigInteger, nullable=False),
    Column("state", Json),
)

findings = _table(
    "findings",
    _tenant(),
    _id(),
    Column("detector", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("data", Json, nullable=False),
    _time("first_at", nullable=False),
    _time("last_at", nullable=False),
    _time("closed_at"),
    PrimaryKeyConstraint("tenant", "id"),
    Index("uq_admit_findings_key", "tenant", "detector", "key", unique=True),
)

jobs = _table(
    "jobs",
    Column("seq", Serial, primary_key=True, autoincrement=True),
    _tenant(),
    Column("kind", Text, nullable=False),
    Column("data", Json, nullable=False),
    _time("created_at", nullable=False),
    _time("due", nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    _time("leased_until"),
    _time("done_at"),
    Column("error", Text),
    Index(None, "done_at", "due"),
)

leases = _table(
    "leases",
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    _time("until", nullable=False),
    Column("fence", sa.BigInteger, nullable=False),
)

#: mails of the demo: what would have been sent, shown on its page
outbox = _table(
    "outbox",
    Column("seq", Serial, primary_key=True, autoincrement=True),
    _tenant(),
    _time("at", nullable=False),
    Column("recipient", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("text", Text, nullable=False),
)
