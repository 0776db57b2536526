"""One small application, written three times: FastAPI, Starlette, and a bare ASGI callable. All answer alike.

Without postponed annotations: FastAPI could not find the local names in them.
"""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, WebSocket
from starlette._utils import get_route_path
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from admit import Admit, Principal

MINUTE = timedelta(minutes=1)


def seen(caller: Principal | None) -> dict[str, Any]:
    """What the application was told of its caller."""
    if caller is None:
        return {"who": None}
    return {
        "who": caller.subject.id,
        "by": caller.credential.kind,
        "name": caller.credential.name,
        "scopes": sorted(caller.scopes),
        "claims": dict(caller.claims),
    }


def by_tenant(connection: HTTPConnection) -> str:
    """The key of a limit of the application's own."""
    return connection.headers.get("x-tenant", "nobody")


def in_fastapi(auth: Admit, *, cors: bool = False) -> ASGIApp:
    """Routes as FastAPI wants them."""
    app = FastAPI(lifespan=auth.lifespan)
    auth.mount(app, cors=cors)
    Caller = Annotated[Principal, Depends(auth.require())]  # noqa: N806

    @app.get("/open")
    async def open_() -> dict[str, Any]:
        return {}

    @app.get("/protected")
    @app.post("/protected")
    async def protected(caller: Caller) -> dict[str, Any]:
        return seen(caller)

    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, Depends(auth.optional)]) -> dict[str, Any]:
        return seen(caller)

    @app.delete("/posts/{post_id}")
    async def delete_post(
        post_id: int, caller: Annotated[Principal, Depends(auth.require("delete:posts"))]
    ) -> dict[str, Any]:
        return {"deleted": post_id, **seen(caller)}

    @app.get("/sensitive")
    async def sensitive(caller: Annotated[Principal, Depends(auth.require(fresh=True))]) -> dict[str, Any]:
        return seen(caller)

    @app.get("/limited", dependencies=[Depends(auth.limit(3, MINUTE))])
    @app.get("/limited-too", dependencies=[Depends(auth.limit(3, MINUTE))])
    @app.get("/limited-by", dependencies=[Depends(auth.limit(2, MINUTE, by=by_tenant))])
    async def limited() -> dict[str, Any]:
        return {}

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, caller: Caller) -> None:
        await websocket.accept()
        await websocket.send_json(seen(caller))
        await websocket.close()

    return app


def in_starlette(auth: Admit, *, cors: bool = False) -> ASGIApp:
    """Routes as Starlette wants them: what a route requires is called with the request."""

    async def open_(request: Request) -> Response:
        return JSONResponse({})

    async def protected(request: Request) -> Response:
        return JSONResponse(seen(await auth.require()(request)))

    async def maybe(request: Request) -> Response:
        return JSONResponse(seen(await auth.optional(request)))

    async def delete_post(request: Request) -> Response:
        caller = await auth.require("delete:posts")(request)
        return JSONResponse({"deleted": request.path_params["post_id"], **seen(caller)})

    async def sensitive(request: Request) -> Response:
        return JSONResponse(seen(await auth.require(fresh=True)(request)))

    async def limited(request: Request) -> Response:
        await auth.limit(3, MINUTE)(request)
        return JSONResponse({})

    async def limited_by(request: Request) -> Response:
        await auth.limit(2, MINUTE, by=by_tenant)(request)
        return JSONResponse({})

    async def socket(websocket: WebSocket) -> None:
        caller = await auth.require()(websocket)
        await websocket.accept()
        await websocket.send_json(seen(caller))
        await websocket.close()

    routes = [
        Route("/open", open_),
        Route("/protected", protected, methods=["GET", "POST"]),
        Route("/maybe", maybe),
        Route("/posts/{post_id:int}", delete_post, methods=["DELETE"]),
        Route("/sensitive", sensitive),
        Route("/limited", limited),
        Route("/limited-too", limited),
        Route("/limited-by", limited_by),
        WebSocketRoute("/socket", socket),
    ]
    app = Starlette(routes=routes, lifespan=auth.lifespan)
    auth.mount(app, cors=cors)
    return app


def in_asgi(auth: Admit, *, cors: bool = False) -> ASGIApp:
    """No framework: an ASGI callable that looks at the path itself."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        content = await _answer(auth, HTTPConnection(scope))
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": json.dumps(content)})
            await send({"type": "websocket.close"})
            return
        status = 404 if content is None else 200
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": json.dumps(content).encode()})

    return auth.wrap(app, cors=cors)


async def _answer(auth: Admit, connection: HTTPConnection) -> dict[str, Any] | None:
    path = get_route_path(connection.scope)
    if path in ("/protected", "/socket"):
        return seen(await auth.require()(connection))
    if path == "/maybe":
        return seen(await auth.optional(connection))
    if path == "/sensitive":
        return seen(await auth.require(fresh=True)(connection))
    if path.startswith("/posts/"):
        caller = await auth.require("delete:posts")(connection)
        return {"deleted": int(path.removeprefix("/posts/")), **seen(caller)}
    if path in ("/limited", "/limited-too"):
        await auth.limit(3, MINUTE)(connection)
    elif path == "/limited-by":
        await auth.limit(2, MINUTE, by=by_tenant)(connection)
    elif path != "/open":
        return None
    return {}


Make = Callable[..., ASGIApp]
FRAMEWORKS: dict[str, Make] = {"fastapi": in_fastapi, "starlette": in_starlette, "asgi": in_asgi}
