"""The application of one server process, by the name in `BENCH_APP`."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI

from benchmarks import applications as apps


def _admit() -> FastAPI:
    from benchmarks.population import LONG_TOKENS, quick_admit

    return apps.protected(
        quick_admit(os.environ["BENCH_DATABASE"], run_directory=os.environ["BENCH_RUN"], **LONG_TOKENS)
    )


_APPS: dict[str, Any] = {"bare": apps.bare, "constant": apps.constant, "tutorial": apps.tutorial, "admit": _admit}
app = _APPS[os.environ["BENCH_APP"]]()
