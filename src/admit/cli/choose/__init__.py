"""`admit choose`: which strategy fits, why, and a project that runs."""

from admit.cli.choose.command import command

__all__ = ["command"]
