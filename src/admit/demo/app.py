"""The application of the demo, as anyone would write it: a posts API, each route with what it requires.

It never asks how a caller signed in. A JWT, an API key and a session cookie all arrive as the same `Principal`.
"""

# no postponed annotations here: FastAPI could not resolve the `Depends` that live in the enclosing function
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Path, Response
from pydantic import BaseModel, ConfigDict, Field

from admit import Admit, Principal
from admit.demo.posts import Posts
from admit.serve.docs import add_docs

PostId = Annotated[int, Path(ge=1, lt=2**63)]


class Post(BaseModel):
    """A post as it is sent."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, max_length=200)
    body: str = Field(min_length=1, max_length=10_000)


def create(auth: Admit, posts: Posts) -> FastAPI:
    """The posts API behind `auth`."""
    app = FastAPI(title="Posts", version="1", lifespan=auth.lifespan, docs_url=None, redoc_url=None)
    add_docs(app)
    auth.mount(app)
    _posts(app, auth, posts)
    _limited(app, auth)
    return app


def _posts(app: FastAPI, auth: Admit, posts: Posts) -> None:
    @app.get("/posts")
    def list_posts(caller: Annotated[Principal, Depends(auth.require("read:posts"))]) -> dict[str, Any]:
        return {"posts": posts.newest(), "caller": caller.subject.id}

    @app.post("/posts", status_code=201)
    def write_post(
        post: Post, caller: Annotated[Principal, Depends(auth.require("write:posts"))]
    ) -> dict[str, int]:  # fmt: skip
        return {"id": posts.add(caller.subject.id, post.title, post.body)}

    @app.get("/posts/{post_id}")
    def read_post(
        post_id: PostId, caller: Annotated[Principal, Depends(auth.require("read:posts"))]
    ) -> dict[str, Any]:  # fmt: skip
        found = posts.get(post_id)
        if found is None:
            raise HTTPException(404, "No such post")
        return found

    @app.delete("/posts/{post_id}", status_code=204)
    def delete_post(
        post_id: PostId, caller: Annotated[Principal, Depends(auth.require("delete:posts"))]
    ) -> Response:  # fmt: skip
        if not posts.delete(post_id):
            raise HTTPException(404, "No such post")
        return Response(status_code=204)


def _limited(app: FastAPI, auth: Admit) -> None:
    @app.get("/limited", dependencies=[Depends(auth.limit(5, timedelta(minutes=1)))])
    def limited() -> dict[str, str]:
        """Open to everyone, five times a minute per address."""
        return {"answer": "You are within the limit"}
