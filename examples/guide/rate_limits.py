"""Limits on the application's own routes: so many requests in so many seconds, per address and route.

POST /login  GET /api/data
"""

from datetime import timedelta
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from pydantic import BaseModel

from admit import Admit


class Credentials(BaseModel):
    """What a person types."""

    username: str
    password: str


def application(**options: Any) -> FastAPI:
    """The application; `options` are those of `Admit(...)`."""
    auth = Admit(**options)
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app)

    def rate_limit(max_requests: int, window_seconds: int) -> Any:
        return Depends(auth.limit(max_requests, timedelta(seconds=window_seconds)))

    # Admit limits its own login by identifier and address already; this one counts every request, also good ones
    @app.post("/login", dependencies=[rate_limit(max_requests=5, window_seconds=60)])
    async def login(sent: Credentials, request: Request) -> Response:
        return await auth.routes.login(request, sent.username, sent.password)

    @app.get("/api/data", dependencies=[rate_limit(max_requests=100, window_seconds=60)])
    async def data() -> dict[str, Any]:
        return {"data": []}

    return app
