"""The application that real servers run in test_raw_sockets.py."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI

from admit import Admit
from tests.flows.stand import RIGHTS, WIDE

FOLDER = Path(os.environ["SERVED_FOLDER"])
auth = Admit(
    database=f"sqlite:///{FOLDER / 'served.sqlite3'}", run_directory=FOLDER, passwords={"hash": "cheap"}, limits=WIDE, **RIGHTS
)  # fmt: skip
app = FastAPI(lifespan=auth.lifespan)
auth.mount(app)
