"""One place that turns a refusal into an answer: problem+json (RFC 9457), WWW-Authenticate, Retry-After."""

from __future__ import annotations

import json
import math
from datetime import timedelta

from admit.ground.errors import Refusal, Unavailable

Header = tuple[bytes, bytes]


def refusal_of(error: Refusal | Unavailable) -> Refusal:
    """The refusal behind either; a part that is down is `unavailable`."""
    if isinstance(error, Refusal):
        return error
    return Refusal("request.unavailable", private=error.part, retry_after=error.retry_after)


def body(refusal: Refusal, request_id: str) -> bytes:
    """The problem+json body. Nothing private is in it."""
    problem = {
        "type": f"urn:admit:problem:{refusal.code}",
        "title": refusal.title,
        "status": refusal.status,
        "code": refusal.code,
        "detail": refusal.detail,
        "request_id": request_id,
        **refusal.fields,
    }
    return json.dumps(problem, ensure_ascii=False).encode("utf-8", "replace")


def headers(refusal: Refusal, realm: str) -> list[Header]:
    """The headers of the answer, beside Content-Length."""
    found: list[Header] = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    if refusal.status == 401 or refusal.code == "insufficient_scope":
        found.append((b"www-authenticate", challenge(refusal, realm).encode("latin-1", "replace")))
    if refusal.retry_after is not None:
        found.append((b"retry-after", str(seconds(refusal.retry_after)).encode()))
    return found


def challenge(refusal: Refusal, realm: str) -> str:
    """The WWW-Authenticate value (RFC 6750 section 3, RFC 9470 section 3)."""
    parts = [f'realm="{realm}"']
    error = _ERRORS.get(refusal.code)
    if error is not None:
        parts += [f'error="{error}"', f'error_description="{refusal.title}"']
    if refusal.code == "insufficient_scope" and (scopes := refusal.fields.get("scopes")):
        parts.append(f'scope="{" ".join(scopes)}"')
    if refusal.code == "step_up_required" and "max_age" in refusal.fields:
        parts.append(f'max_age="{refusal.fields["max_age"]}"')
    return "Bearer " + ", ".join(parts)


def seconds(wait: timedelta) -> int:
    """Whole seconds, at least one: a client told to wait 0 s would come back at once."""
    return max(1, math.ceil(wait.total_seconds()))


# RFC 6750 section 3.1: a request without a credential gets no error code
_ERRORS = {
    "token_expired": "invalid_token",
    "token_invalid": "invalid_token",
    "token_type_invalid": "invalid_token",
    "api_key_invalid": "invalid_token",
    "api_key_expired": "invalid_token",
    "api_key_disabled": "invalid_token",
    "insufficient_scope": "insufficient_scope",
    "step_up_required": "insufficient_user_authentication",
}
