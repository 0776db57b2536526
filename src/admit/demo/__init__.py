"""The demo: a posts API that Admit protects, with accounts, stories and a page to try them (`admit demo`)."""

from __future__ import annotations

from admit.demo.launch import run

__all__ = ["run"]
