"""Settings: one frozen section per room, safe defaults, cross-checks at start."""

from admit.settings.load import load
from admit.settings.sections import (
    CookieSettings,
    CorsSettings,
    KeySettings,
    LimitSettings,
    MailSettings,
    PasswordSettings,
    RoleSettings,
    SessionSettings,
    TokenSettings,
)
from admit.settings.settings import Settings

__all__ = [
    "CookieSettings",
    "CorsSettings",
    "KeySettings",
    "LimitSettings",
    "MailSettings",
    "PasswordSettings",
    "RoleSettings",
    "SessionSettings",
    "Settings",
    "TokenSettings",
    "load",
]
