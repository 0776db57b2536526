"""The pages that mailed links lead to: sign in, sign up, forgot, reset, verify, account. Rendered on the server.

They call the same verbs as the routes. Jinja2 is in the extra `server`; without it there are no pages.
"""

from __future__ import annotations

from importlib.util import find_spec

from fastapi import APIRouter

from admit.ground.errors import Refusal

MISSING = "There are no pages here: install admit[server], or call mount(pages=False)"


def available() -> bool:
    """Whether pages can be rendered: the template engine is installed."""
    return find_spec("jinja2") is not None


def absent() -> APIRouter:
    """What stands in for the pages without a template engine: `not_found`, with the reason."""
    api = APIRouter(include_in_schema=False)

    async def missing() -> None:
        raise Refusal("request.not_found", detail=MISSING)

    api.add_api_route("/ui/{page:path}", missing, methods=["GET", "POST"])
    return api
