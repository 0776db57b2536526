"""`admit serve`: the server, in as many worker processes as asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Worker processes.")] = 1,
    app: Annotated[
        str | None, typer.Option(metavar="MODULE:APP", help="An ASGI application of yours instead of the server's own.")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="TLS certificate (PEM), where no proxy ends TLS.")] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")] = None,
) -> None:
    """Run the server until it gets SIGTERM or Ctrl-C; then it finishes what is in hand.

    An unsafe setting stops the start when the issuer or the address is not of this machine alone.
    """
    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key go together")
    from admit.serve.run import Listen, run

    tls = None if certificate is None or key is None else (certificate, key)
    raise typer.Exit(run(Listen(host, port, workers, tls), app))
