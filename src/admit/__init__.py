"""Authentication for Python APIs: whatever a caller presents, an application gets one `Principal` or a refusal."""

from admit.auth import Admit
from admit.ground.errors import AdmitError, Refusal, SettingsError, Unavailable
from admit.ground.events import Event
from admit.ground.principal import Credential, Method, Principal, Subject
from admit.limits import Limit
from admit.settings import Settings

__all__ = [
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
