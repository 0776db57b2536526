"""Starting and stopping: the settings are tried before any worker starts, so that a wrong one is said once, clearly."""

from __future__ import annotations

import asyncio
import os
import socket
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from admit.build import Own, build, close_rooms, open_rooms, open_store
from admit.ground.errors import SettingsError
from admit.ground.logs import logger, mask
from admit.serve import logs
from admit.serve.safety import check
from admit.settings import Settings, load

log = logger("admit.serve")
SERVER = "admit.serve.app:create"
IN_MEMORY = ("sqlite://", "sqlite:///:memory:")


class Listen(NamedTuple):
    """Where and how: `tls` is (certificate, key)."""

    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    tls: tuple[Path, Path] | None = None


def run(listen: Listen, target: str | None = None) -> int:
    """Serves `target` (module:app), or the standalone server, until SIGTERM or SIGINT; the exit code.

    Raises `SettingsError` before anything listens, and `Unavailable` when the database is not there.
    """
    settings = load()
    if unsafe := check(settings, listen.host):
        raise SettingsError("This is reachable from outside, and does not start with:\n  " + "\n  ".join(unsafe))
    _fits(settings, listen)
    settings = _issuer(settings, listen)
    if target is None:
        asyncio.run(_rehearse(settings))
    logs.configure()
    if target is None:
        _share(settings, listen)
        # imported once here and shared by the workers, which are forked
        import_module(SERVER.partition(":")[0])
    log.info(
        "serving", at=f"{listen.host}:{listen.port}", workers=listen.workers, issuer=settings.issuer,
        database=mask(settings.database), password_policy=settings.passwords.policy, production=settings.production,
    )  # fmt: skip
    return _serve(listen, target)


def _fits(settings: Settings, listen: Listen) -> None:
    if listen.workers > 1 and settings.database in IN_MEMORY:
        raise SettingsError("database is in memory, which each worker has for itself: take a file, or --workers 1")
    if listen.workers > 1 and settings.limits.store == "memory":
        raise SettingsError("limits.store is memory, which is for one process: take sql, or --workers 1")
    with socket.socket(socket.AF_INET6 if ":" in listen.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Granian binds with SO_REUSEPORT: it would quietly share the port with whoever has it
            probe.bind((listen.host, listen.port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise SettingsError(f"{listen.host}:{listen.port} cannot be listened on: {reason}. Try --port") from None


def _issuer(settings: Settings, listen: Listen) -> Settings:
    """On another port than the default issuer's, and with nothing else said, the issuer is where it listens."""
    default = Settings.model_fields["issuer"].default
    if settings.issuer != default or listen.port == 8000:
        return settings
    os.environ["ADMIT_ISSUER"] = f"http{'s' if listen.tls else ''}://127.0.0.1:{listen.port}"
    return load()


async def _rehearse(settings: Settings) -> None:
    """Opens everything once: schema, secrets, keys, first poll."""
    own = Own()
    rooms = build(settings, own, open_store(settings, own))
    try:
        await open_rooms(rooms, background=False)
    finally:
        await close_rooms(rooms)


def _share(settings: Settings, listen: Listen) -> None:
    if listen.workers > 1 and settings.debug_docs:
        # before prometheus_client is imported, which decides by the environment how it counts
        directory = settings.run_directory / "metrics"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in directory.glob("*.db"):
            old.unlink()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)


def _serve(listen: Listen, target: str | None) -> int:
    from granian import Granian
    from granian.constants import Interfaces

    certificate, key = listen.tls or (None, None)
    server = Granian(
        target or SERVER,
        address=listen.host,
        port=listen.port,
        workers=listen.workers,
        interface=Interfaces.ASGI,
        factory=target is None,
        log_dictconfig=logs.config(),
        respawn_failed_workers=True,
        ssl_cert=certificate,
        ssl_key=key,
    )
    try:
        server.serve()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0
