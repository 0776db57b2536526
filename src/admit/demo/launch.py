"""`admit demo`: prepare the state, say what there is, serve until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from admit.auth import Admit
from admit.demo import accounts
from admit.demo.accounts import Cast
from admit.demo.app import create
from admit.demo.home import Home, write_private
from admit.demo.posts import Posts
from admit.demo.stories import Story, script, stories
from admit.ground.errors import SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI

ADDRESS = "127.0.0.1"
_TARGET = "admit.demo.launch:application"


def run(port: int = 8000, home: Home | None = None) -> None:
    """Serves the demo on http://127.0.0.1:PORT with its state in `.admit/`, until it is interrupted.

    Raises `SettingsError` when the port is taken.
    """
    home = home or Home()
    _check_port(port)
    url = f"http://{ADDRESS}:{port}"
    cast = asyncio.run(prepare(home, port))
    told = stories(cast)
    write_private(home.stories_file, script(told, url, str(home.stories_file)), 0o700)
    _say(url, cast, told, home)
    os.environ["ADMIT_DEMO"] = str(home.folder)
    _serve(port)


async def prepare(home: Home, port: int) -> Cast:
    """Database, secret, accounts and some posts: what is there already stays."""
    auth = Admit(home.prepare(port))
    async with auth.lifespan():
        cast = await accounts.prepare(auth, home)
        posts = Posts(str(home.database))
        posts.prepare()
        if not posts.newest():
            editor = await auth.rooms.kit.work.read(lambda tx: auth.rooms.accounts.named(tx, "username", "editor"))
            assert editor is not None  # noqa: S101 (made a moment ago)
            posts.add(editor.shown, "Hello", "The first post of this demo")
            posts.add(editor.shown, "One Principal", "A JWT, an API key and a session all arrive as the same thing")
    return cast


def application(home: Home | None = None) -> FastAPI:
    """What is served: the posts API with the page at `/`. For an ASGI server that takes a factory."""
    from admit.demo.page import add_page
    from admit.serve.metrics import Metrics
    from admit.serve.operations import Operations

    home = home or Home(Path(os.environ.get("ADMIT_DEMO", ".admit")))
    auth, posts = Admit(home.settings()), Posts(str(home.database))
    app = create(auth, posts)
    add_page(app, auth, home)
    metrics = Metrics()
    auth.site().hear = metrics.refused
    app.add_middleware(Operations, auth=auth, metrics=metrics)
    return app


def _serve(port: int) -> None:
    if find_spec("granian") is None:
        import uvicorn

        uvicorn.run(_TARGET, factory=True, host=ADDRESS, port=port, log_level="warning")
        return
    from granian import Granian
    from granian.constants import Interfaces
    from granian.log import LogLevels

    Granian(
        _TARGET, ADDRESS, port, interface=Interfaces.ASGI, factory=True, log_level=LogLevels.warning,
        workers_kill_timeout=10,
    ).serve()  # fmt: skip


def _check_port(port: int) -> None:
    # asked before anything is prepared: afterwards the stories and settings would name a port that is another's
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            raise SettingsError(f"port {port} is taken. Try another one: make demo PORT={port + 1}") from None


def _say(url: str, cast: Cast, told: tuple[Story, ...], home: Home) -> None:
    if sys.stdout.isatty() and find_spec("rich") is not None:
        from admit.demo.terminal import say
    else:
        from admit.demo.plain import say
    say(url, cast, told, str(home.stories_file))
    sys.stdout.flush()
