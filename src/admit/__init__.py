"""Authentication for Python APIs: whatever a caller presents, an application gets one `Principal` or a refusal."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from admit.auth import Admit
    from admit.ground.errors import AdmitError, Refusal, SettingsError, Unavailable
    from admit.ground.events import Event
    from admit.ground.principal import Credential, Method, Principal, Subject
    from admit.limits import Limit
    from admit.people.account import Account
    from admit.settings import Settings

__all__ = [
    "Account",
    "Admit",
    "AdmitError",
    "Credential",
    "Event",
    "Limit",
    "Method",
    "Principal",
    "Refusal",
    "Settings",
    "SettingsError",
    "Subject",
    "Unavailable",
]

#: name -> module, imported at first use: the command line's `--help` must not wait for FastAPI and SQLAlchemy
_FROM = {
    "Admit": "admit.auth",
    "Account": "admit.people.account",
    "Limit": "admit.limits",
    "Settings": "admit.settings",
    "Event": "admit.ground.events",
    **dict.fromkeys(("AdmitError", "Refusal", "SettingsError", "Unavailable"), "admit.ground.errors"),
    **dict.fromkeys(("Credential", "Method", "Principal", "Subject"), "admit.ground.principal"),
}


def __getattr__(name: str) -> object:
    if name not in _FROM:
        raise AttributeError(f"module 'admit' has no attribute {name!r}")
    found: object = getattr(import_module(_FROM[name]), name)
    globals()[name] = found
    return found
