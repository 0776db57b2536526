"""Why a request was answered as it was, check by check, from what the resolver really found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from admit.audit.reasons import REASON_HELP
from admit.demo.home import SCOPES
from admit.ground.errors import Refusal
from admit.ground.principal import Facts
from admit.web.context import RequestContext
from admit.web.csrf import SAFE

_NEEDS = {
    ("GET", "/posts"): "read:posts",
    ("POST", "/posts"): "write:posts",
    ("DELETE", "/posts"): "delete:posts",
}
_KINDS = {"access_token": "an access token", "session": "a session", "api_key": "an API key"}
_OWN = {
    "/auth/login": "The password is right. The sign-in begins in one transaction with its event in the log.",
    "/auth/refresh": "The refresh token is the newest of its family. It was spent, and a successor made.",
    "/auth/logout": "The sign-in has ended. Its credentials are void on every node from now on.",
    "/auth/csrf": "A CSRF token, bound to this credential.",
}


class Step(NamedTuple):
    """One check: its name, what it found, and whether it passed."""

    name: str
    text: str
    ok: bool = True


def explain(
    context: RequestContext, method: str, path: str, sent: Mapping[str, str], status: int
) -> tuple[Step, ...]:  # fmt: skip
    """The checks of one request in their order; the one that refused is the last."""
    refusal = context.refusal
    facts = context.resolved.facts if context.resolved is not None else None
    ambient = context.resolved is not None and context.resolved.ambient
    steps = [Step("Credential", _found(sent))]
    if facts is not None:
        steps.append(Step("Alive", _alive(facts)))
    if ambient and method not in SAFE:
        steps.append(Step("CSRF", "Not from another site, and the token belongs to this very credential."))
    if refusal is not None:
        return (*steps, _refused(refusal))
    needed = _NEEDS.get((method, "/posts" if path.startswith("/posts") else path))
    if needed is not None and facts is not None:
        steps.append(Step("Scopes", f"The route needs {needed} ({SCOPES[needed]}). The caller holds it."))
    if path in _OWN:
        steps.append(Step("Done", _OWN[path]))
    steps += [
        Step("Limit", f"{hit.remaining} of {hit.limit.max} left in this window.") for hit in context.hits
    ]  # fmt: skip
    if status >= 400:
        steps.append(Step("Application", "Admit let the caller through; the application itself says no.", ok=False))
    return tuple(steps)


def _found(sent: Mapping[str, str]) -> str:
    if "Authorization" in sent:
        return "A bearer token in the Authorization header, sent on purpose."
    if "X-API-Key" in sent:
        return "A key in the X-API-Key header, sent on purpose."
    if "Cookie" in sent:
        return "Only cookies, which a browser sends unasked: these need more care."
    return "None was sent."


def _alive(facts: Facts) -> str:
    name = f' "{facts.credential.name}"' if facts.credential.name else ""
    held = ", ".join(sorted(facts.scopes)) or "none"
    return (
        f"It is {_KINDS[facts.credential.kind]}{name} of {facts.subject.id}, and nothing it hangs on was revoked. "
        f"Scopes now: {held}."
    )


def _refused(refusal: Refusal) -> Step:
    meaning = REASON_HELP[refusal.reason].meaning if refusal.reason in REASON_HELP else refusal.detail
    missing = refusal.fields.get("scopes")
    more = f" Missing: {', '.join(missing)}." if missing else ""
    return Step(f"Refused: {refusal.code}", f"{meaning}{more}", ok=False)
