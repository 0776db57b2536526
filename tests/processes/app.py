"""The application of the tests with several processes; everything else comes from ADMIT_* settings."""

from __future__ import annotations

import os
from typing import Annotated

from fastapi import Depends, FastAPI

from admit import Admit, Principal

auth = Admit(
    scopes={"read:posts": "Read posts", "write:posts": "Create and edit posts"},
    roles={
        "member": ("read:posts",),
        "editor": tuple(os.environ.get("EDITOR_MAY", "read:posts write:posts").split()),
    },
    default_roles=("member",),
    passwords={"hash": "cheap"},
    limits={"login": 100_000, "login_address": 100_000, "register": 100_000, "waits_from": 100_000},
)
app = FastAPI(lifespan=auth.lifespan)
auth.mount(app)


@app.get("/protected")
async def protected(caller: Annotated[Principal, Depends(auth.require())]) -> dict[str, object]:
    return {"subject": caller.subject.id, "scopes": sorted(caller.scopes), "pid": os.getpid()}


@app.get("/open")
async def open_() -> dict[str, int]:
    return {"pid": os.getpid()}
