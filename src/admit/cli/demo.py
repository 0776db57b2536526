"""`admit demo`: the posts API with everything switched on, on this machine only."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where it listens, on 127.0.0.1.")] = 8000,
) -> None:
    """Run the demo. Its state lies in .admit/; the verbs of this command line work on it while it runs."""
    from admit.demo import run

    run(port)
