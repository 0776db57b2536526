"""A verifier written as the guide teaches, PyJWT with a pinned algorithm, against tokens of a running server."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import jwt
import pytest

from tests.parts.ports import free_port
from tests.parts.servers import Server, Servers

TARGET = "examples.guide.jwt_login:application"
ALICE = {"username": "alice", "password": "Correct Horse 1 Battery!"}


def serve(servers: Servers, folder: Path, **settings: str) -> Server:
    port = free_port()
    env = {
        "ADMIT_ISSUER": f"http://127.0.0.1:{port}",
        "ADMIT_DATABASE": f"sqlite:///{folder}/admit.sqlite3",
        "ADMIT_RUN_DIRECTORY": str(folder / "run"),
        "ADMIT_PASSWORDS__HASH": "cheap",
        **settings,
    }
    return servers.asgi(TARGET, env=env, port=port, arguments=("--factory",))


def send(url: str, content: Any = None, **headers: str) -> Any:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def signed_in(server: Server) -> tuple[str, str]:
    """The server's origin as its issuer names it, and an access token that it issued."""
    origin = f"http://127.0.0.1:{server.port}"
    send(f"{origin}/register", ALICE)
    return origin, send(f"{origin}/login", ALICE)["access_token"]


def verify_token(token: str, key: Any, algorithm: str, origin: str) -> dict[str, Any]:
    """The guide's function, with the issuer and audience that it should have named."""
    found: dict[str, Any] = jwt.decode(
        token, key, algorithms=[algorithm], audience=origin, issuer=origin, options={"require": ["exp", "iat", "sub"]}
    )
    return found


def assert_ours(claims: dict[str, Any], server_says: dict[str, Any]) -> None:
    assert claims["sub"] == server_says["user_id"]
    assert claims["exp"] - claims["iat"] == 900
    assert claims["plan"] == "free"
    assert ALICE["password"] not in json.dumps(claims)


def test_it_accepts_our_hs256_tokens_with_the_shared_secret(servers: Servers, tmp_path: Path) -> None:
    secret = secrets.token_urlsafe(32)
    server = serve(servers, tmp_path, ADMIT_TOKENS__ALGORITHM="HS256", ADMIT_TOKENS__HS256_SECRET=secret)
    origin, token = signed_in(server)
    says = send(f"{origin}/protected", Authorization=f"Bearer {token}")
    assert_ours(verify_token(token, secret, "HS256", origin), says)
    with pytest.raises(jwt.InvalidSignatureError):
        verify_token(token, secrets.token_urlsafe(32), "HS256", origin)
    # there is nothing to publish: whoever can verify HS256 can mint
    with pytest.raises(urllib.error.HTTPError) as refused:
        send(f"{origin}/.well-known/jwks.json")
    refused.value.close()
    assert refused.value.code == 404


@pytest.mark.parametrize("algorithm", ["RS256", "ES256"])
def test_it_accepts_our_tokens_through_jwks(algorithm: str, servers: Servers, tmp_path: Path) -> None:
    origin, token = signed_in(serve(servers, tmp_path, ADMIT_TOKENS__ALGORITHM=algorithm))
    key = jwt.PyJWKClient(f"{origin}/.well-known/jwks.json").get_signing_key_from_jwt(token)
    says = send(f"{origin}/protected", Authorization=f"Bearer {token}")
    assert_ours(verify_token(token, key, algorithm, origin), says)
    with pytest.raises(jwt.InvalidAlgorithmError):
        verify_token(token, key, "HS256", origin)
    with pytest.raises(jwt.InvalidAudienceError):
        jwt.decode(token, key, algorithms=[algorithm], audience="https://other.example", issuer=origin)


@pytest.mark.parametrize("secret", ["your-256-bit-secret", "short"])
def test_the_guides_own_secret_stops_the_start(secret: str, servers: Servers, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ADMIT_TOKENS__HS256_SECRET"):
        serve(servers, tmp_path, ADMIT_TOKENS__ALGORITHM="HS256", ADMIT_TOKENS__HS256_SECRET=secret)
