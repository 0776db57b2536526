"""The client: bounded in connections and in time, and never sends a command twice by itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from importlib import resources
from typing import TYPE_CHECKING, Any

from admit.ground.errors import SettingsError, Unavailable

if TYPE_CHECKING:
    from redis.asyncio import Redis

CONNECTIONS = 50
WAIT = 1.0  # seconds to wait for a free connection before 503
TIMEOUT = timedelta(seconds=1)  # for connecting, and for one answer
_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}


class Valkey:
    """One server, named by URL: `redis://`, `rediss://`, `valkey://`, `valkeys://` (TLS) or `unix://`.

    Connects at the first command, so a server that is down does not keep the application from starting. Raises
    `SettingsError` when the URL cannot be used or the extra `admit[valkey]` is missing. `redis` is the client beneath,
    for commands inside `guard`; every name it is given begins with `prefix`.
    """

    def __init__(self, url: str, *, prefix: str = "admit:", timeout: timedelta = TIMEOUT) -> None:
        self.prefix = prefix
        self.redis = _connect(url, timeout.total_seconds())
        self._scripts: dict[str, Any] = {}

    async def run(self, script: str, keys: Sequence[str], arguments: Sequence[int | str], *, part: str) -> Any:
        """Runs the script `script`.lua of this package on `keys` (without the prefix), loading it where it is new.

        Raises `Unavailable(part)` when no answer came; the script may have run then, and is not sent again.
        """
        if script not in self._scripts:
            text = resources.files(__package__).joinpath(f"{script}.lua").read_text("utf-8")
            self._scripts[script] = self.redis.register_script(text)
        with self.guard(part):
            return await self._scripts[script](keys=[self.prefix + key for key in keys], args=arguments)

    @contextmanager
    def guard(self, part: str) -> Iterator[None]:
        """Turns every failure of the server or the way to it into `Unavailable(part)`."""
        from redis.exceptions import RedisError

        try:
            yield
        except (TimeoutError, RedisError, OSError) as error:
            raise Unavailable(part) from error

    async def ping(self) -> None:
        """Raises `Unavailable("valkey")` when the server does not answer."""
        with self.guard("valkey"):
            await self.redis.ping()

    async def close(self) -> None:
        """Lets go of every connection."""
        await self.redis.aclose()


def _connect(url: str, timeout: float) -> Redis:
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.maint_notifications import MaintNotificationsConfig
    except ImportError:
        raise SettingsError("ADMIT_VALKEY needs the extra: pip install 'admit[valkey]'") from None
    scheme, divider, rest = url.partition("://")
    if not divider or scheme not in _SCHEMES:
        raise SettingsError("ADMIT_VALKEY: use a URL such as redis://host:6379/0 or rediss://host:6379/0")
    try:
        # a pool that waits: the default one raises at once when all connections are busy
        pool = BlockingConnectionPool.from_url(
            f"{_SCHEMES[scheme]}://{rest}",
            max_connections=CONNECTIONS,
            timeout=WAIT,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            # sent again after a lost answer, one hit would count as two
            retry=Retry(NoBackoff(), 0),
            # with them on, a connection that the server has closed is handed out as if it were open
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
    except ValueError:
        # the library's text may hold the URL, and with it the password
        raise SettingsError("ADMIT_VALKEY: this URL cannot be read") from None
    return Redis.from_pool(pool)
