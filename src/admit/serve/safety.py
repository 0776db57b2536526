"""Settings that stop a production start. Each text names the setting and how to mend it."""

from __future__ import annotations

import os

from admit.serve.checklist import config_files, unsafe
from admit.settings import Settings
from admit.settings.settings import is_loopback


def check(settings: Settings, host: str = "127.0.0.1") -> list[str]:
    """What is unsafe about serving these settings at the address `host`; empty when nothing is, or nobody but this
    machine can reach it. These are the critical findings of `admit doctor`'s list; doctor also looks further.
    """
    if not settings.production and is_loopback(host):
        return []
    found = []
    if not settings.production:
        found.append(
            f"issuer is {settings.issuer}, but the server listens on {host}: set ADMIT_ISSUER to the https URL under "
            "which it is reached, or listen on 127.0.0.1"
        )
    return [*found, *(f"{one.why} {one.mend}" for one in unsafe(settings, config_files(os.environ)) if one.stops)]
