"""What happened: the envelope of every event, and the names. A type never changes its meaning; it gets a new name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Outcome = Literal["success", "refused", "failure"]

#: event type -> (class, one-line meaning); pinned by a test, shown in the docs
EVENTS: dict[str, tuple[str, str]] = {
    "account.registered": ("account", "an account was created"),
    "account.register_repeated": ("account", "someone registered an address that has an account"),
    "account.profile_changed": ("account", "the profile was edited"),
    "account.disabled": ("account", "an account was disabled"),
    "account.enabled": ("account", "an account was enabled again"),
    "account.deleted": ("account", "an account was deleted"),
    "account.roles_changed": ("account", "roles were granted or revoked"),
    "account.email_verified": ("account", "an e-mail address was proved"),
    "account.email_change_asked": ("account", "another e-mail address was given, to be proved"),
    "account.email_changed": ("account", "an account got another e-mail address"),
    "account.imported": ("account", "an account was created by the command line"),
    "service_account.created": ("account", "a service account was created"),
    "password.changed": ("password", "the password was changed by its owner"),
    "password.reset_asked": ("password", "a reset link was asked for"),
    "password.reset": ("password", "the password was reset by a mailed link"),
    "password.disabled": ("password", "the password was disabled after too many failures"),
    "password.upgraded": ("password", "the hash was upgraded at login"),
    "login.succeeded": ("login", "a person signed in"),
    "login.failed": ("login", "a sign-in was refused"),
    "login.reauthenticated": ("login", "a person proved again who they are"),
    "session.started": ("session", "a session began"),
    "session.ended": ("session", "a session was ended"),
    "session.rotated": ("session", "a session got a new secret"),
    "grant.started": ("grant", "tokens were granted"),
    "grant.ended": ("grant", "a grant and everything issued from it ended"),
    "refresh.rotated": ("refresh", "a refresh token was exchanged"),
    "refresh.repeated": ("refresh", "the same exchange was answered again within the grace"),
    "refresh.reused": ("refresh", "a used refresh token came back; its grant was ended"),
    "api_key.created": ("api_key", "an API key was created"),
    "api_key.changed": ("api_key", "an API key was renamed, rescoped or its expiry set"),
    "api_key.rotated": ("api_key", "an API key got a new secret"),
    "api_key.revoked": ("api_key", "an API key was revoked"),
    "api_key.used": ("api_key", "an API key was used (counted)"),
    "api_key.woke": ("api_key", "an API key was used after a long silence"),
    "signing_key.created": ("signing_key", "a signing key was made"),
    "signing_key.rotated": ("signing_key", "the active signing key changed"),
    "signing_key.revoked": ("signing_key", "a signing key was revoked"),
    "client.created": ("client", "an OAuth client was created"),
    "request.refused": ("request", "a request was refused"),
    "mail.sent": ("mail", "a mail was handed to the mail server"),
    "mail.failed": ("mail", "a mail could not be handed over"),
    "finding.opened": ("finding", "a detector saw a suspicious pattern"),
    "fence.raised": ("operations", "all sessions and grants were ended after a restore"),
    "job.abandoned": ("operations", "a job was given up after its last try"),
    "events.folded": ("operations", "under flood, events were counted instead of written one by one"),
    "events.dropped": ("operations", "events were lost while the store was down; their number is kept"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Identifiers are public forms; `address`, `agent` and `identifier` are personal data
    and are kept in a side table, so that erasing a person leaves the log verifiable. `count`: how many alike it stands
    for. `at` (microseconds UTC) is when it happened, where that is not the time of the transaction that writes it.
    """

    type: str
    outcome: Outcome = "success"
    reason: str | None = None
    actor: str | None = None
    subject: str | None = None
    credential: str | None = None
    client: str | None = None
    session: str | None = None
    request_id: str | None = None
    address: str | None = None
    agent: str | None = None
    identifier: str | None = None
    count: int = 1
    data: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    at: int | None = None

    def __post_init__(self) -> None:
        if self.type not in EVENTS:
            raise ValueError(f"unknown event type {self.type}")


class Via(NamedTuple):
    """How something reached us: request id, the peer's address, its user agent; all None for the command line."""

    request_id: str | None = None
    address: str | None = None
    agent: str | None = None

    def event(self, type_: str, **fields: Any) -> Event:
        """An event that came this way."""
        return Event(type_, request_id=self.request_id, address=self.address, agent=self.agent, **fields)
