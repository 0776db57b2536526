"""The lines A1 to A6: the API around the credentials."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from admit.cli.doctor.verdicts import Found, Setup, skipped
from admit.cli.doctor.visit import STRANGER
from admit.ground.clock import micros

_TAMPERED = "Look at what stands between clients and the server (proxy, middleware): it changes what passes."
#: how old the oldest event may be that no detector has seen
UNWATCHED = timedelta(minutes=5)
#: what a visit leaves in the log
EXPECTED = (("login.succeeded", "a sign-in"), ("login.failed", "a refused sign-in"))


def valid_input(setup: Setup) -> Iterator[Found]:
    """A1 validate all input."""
    seen = setup.seen
    if seen is None:
        return
    if not seen.malformed:
        yield from skipped(seen, "malformed_input")
        return
    # 401 would mean that the content was taken for a sign-in
    taken = sorted(name for name, answer in seen.malformed.items() if answer.status not in (400, 413, 415, 422))
    if taken:
        yield Found("fail", f"The sign-in took, or broke at, {', '.join(taken)}.", _TAMPERED)


def rate_limits(setup: Setup) -> Iterator[Found]:
    """A2 rate limiting."""
    seen = setup.seen
    if seen is None:
        return
    if not seen.key_uses:
        yield from skipped(seen, "api_keys")
        return
    if seen.key_uses[-1].status != 429:
        yield Found("fail", "An API key with a limit of two was served a third time.", _TAMPERED)
    elif seen.key_uses[0].header("ratelimit-policy") is None:
        yield Found("warn", "Answers do not tell the limit (RateLimit-Policy).", "See what removes the header.", "low")


def cross_origin(setup: Setup) -> Iterator[Found]:
    """A3 CORS restrictions."""
    seen = setup.seen
    if seen is None:
        return
    if not seen.strangers:
        yield from skipped(seen, "cross_origin")
        return
    allowed = {name: answer.header("access-control-allow-origin") for name, answer in seen.strangers.items()}
    if let_in := sorted(name for name, origin in allowed.items() if origin in ("*", "null", STRANGER)):
        yield Found(
            "fail", f"Pages of other sites may read answers ({', '.join(let_in)}).",
            "List exact origins in cors.origins only, and take CORS headers out of proxies and middleware.",
        )  # fmt: skip


def forgery(setup: Setup) -> Iterator[Found]:
    """A4 CSRF."""
    seen = setup.seen
    if seen is None:
        return
    yield from skipped(seen, "forged_requests")
    wrong = sorted(
        name for name, answer in seen.forgeries.items()
        if answer.status != 403 or answer.code not in ("csrf_missing", "csrf_invalid", "csrf_cross_site")
    )  # fmt: skip
    if wrong:
        yield Found(
            "fail", f"A forged request went through: {', '.join(wrong)}.",
            "Let cookies reach the server as cookies: what turns them into headers takes the protection away.",
        )  # fmt: skip


def logged(setup: Setup) -> Iterator[Found]:
    """A5 log authentication events."""
    kept, seen = setup.kept, setup.seen
    if kept is None or seen is None:
        yield Found("not-checked", "takes both the store and a running server")
        return
    if kept.events is None or "sign_ins" in seen.problems:
        yield from skipped(seen, "sign_ins")
        return
    types = {type_ for type_, _ in kept.events}
    lacking = [words for type_, words in EXPECTED if type_ not in types]
    if not seen.wrong_known:
        lacking = [words for words in lacking if words != "a refused sign-in"]
    if lacking:
        yield Found(
            "fail", f"The log has nothing of {' and '.join(lacking)}.",
            "Check that the settings name the server's own database, and that nothing deletes from admit_events.",
        )  # fmt: skip


def watched(setup: Setup) -> Iterator[Found]:
    """A6 monitor for suspicious patterns."""
    kept = setup.kept
    if kept is None:
        return
    oldest = kept.behind.oldest
    late = oldest is not None and (setup.seen is not None or kept.now - oldest > micros(UNWATCHED))
    if late:
        yield Found(
            "fail" if setup.seen is not None else "warn",
            f"No detector has looked at {kept.behind.events} events.",
            "Let the application's lifespan open Admit (or run `admit serve`): the detectors run in the background.",
        )  # fmt: skip
