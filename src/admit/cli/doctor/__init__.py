"""`admit doctor`: the 17 lines of the security checklist, checked on the settings, the store and a running server."""

from admit.cli.doctor.command import command

__all__ = ["command"]
