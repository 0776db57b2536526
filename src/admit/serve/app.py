"""The application of the standalone server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from admit.auth import Admit
from admit.ground.errors import Refusal, Unavailable
from admit.ground.logs import logger
from admit.jobs import Loop
from admit.serve.docs import add_docs
from admit.serve.metrics import Metrics
from admit.serve.operations import Operations
from admit.settings import Settings, load

log = logger("admit.serve")


def create_app(settings: Settings | None = None, auth: Admit | None = None) -> FastAPI:
    """The server: Admit mounted, `/healthz`, `/readyz`; `/metrics`, `/docs` and `/openapi.json` where they are opened.

    Raises `SettingsError`.
    """
    settings = settings or (auth.settings if auth is not None else load())
    auth = auth or Admit(settings)
    metrics = Metrics()
    app = FastAPI(
        title="Admit", docs_url=None, redoc_url=None, openapi_url="/openapi.json" if settings.debug_docs else None,
        lifespan=_lifespan(auth, metrics), redirect_slashes=False,
    )  # fmt: skip
    if settings.debug_docs:
        add_docs(app)
    app.add_exception_handler(HTTPException, _refuse)
    auth.mount(app)
    app.add_middleware(Operations, auth=auth, metrics=metrics)
    return app


def create() -> FastAPI:
    """For the workers: the server from the environment."""
    return create_app(load())


def _lifespan(auth: Admit, metrics: Metrics) -> Callable[[FastAPI], contextlib.AbstractAsyncContextManager[None]]:
    async def sample() -> bool:
        metrics.sample(auth.rooms)
        return False

    @contextlib.asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        try:
            await auth.open()
        except Unavailable as error:
            # not ready, but alive: it opens by itself once the part is back
            log.warning("start.waiting", part=error.part)
        auth.site().hear = metrics.refused
        sampling = Loop("metrics", sample, timedelta(seconds=1))
        sampling.ensure()
        try:
            yield
        finally:
            await sampling.close()
            await auth.close()
            log.info("stopped")

    return lifespan


async def _refuse(_request: Request, error: Exception) -> Response:
    """Paths that are nobody's answer as ours do."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    raise Refusal({404: "request.not_found", 405: "request.method"}.get(status, "request.unreadable")) from None
