"""The checklist: 17 lines, each with the one function that checks it."""

from __future__ import annotations

from admit.cli.doctor import api, passwords, tokens
from admit.cli.doctor.verdicts import Check, Line, Setup, outcome

LINES: tuple[Line, ...] = (
    Line("T1", "Tokens", "Always HTTPS", "critical", ("settings", "server"), tokens.https),
    Line("T2", "Tokens", "Tokens expire (15 minutes, 7 days)", "high", ("settings", "server"), tokens.expiry),
    Line("T3", "Tokens", "Secrets in the environment", "critical", ("settings",), tokens.secrets),
    Line("T4", "Tokens", "API keys hashed", "critical", ("store", "server"), tokens.hashed_keys),
    Line("T5", "Tokens", "Cookies are httpOnly", "high", ("server",), tokens.cookies),
    Line("T6", "Tokens", "Nothing sensitive in the payload", "high", ("server",), tokens.payload),
    Line("P1", "Passwords", "bcrypt or argon2", "critical", ("settings", "store"), passwords.slow_hash),
    Line("P2", "Passwords", "At least 12 characters", "high", ("settings", "server"), passwords.length),
    Line("P3", "Passwords", "Never plain text", "critical", ("store",), passwords.never_plain),
    Line("P4", "Passwords", "Compared in constant time", "medium", ("server",), passwords.constant_time),
    Line("P5", "Passwords", "Rate limit on login", "high", ("settings", "server"), passwords.guesses),
    Line("A1", "API", "All input validated", "high", ("server",), api.valid_input),
    Line("A2", "API", "Rate limiting", "medium", ("settings", "server"), api.rate_limits),
    Line("A3", "API", "CORS restrictions", "high", ("settings", "server"), api.cross_origin),
    Line("A4", "API", "CSRF protection", "high", ("server",), api.forgery),
    Line("A5", "API", "Authentication events logged", "medium", ("store", "server"), api.logged, together=True),
    Line("A6", "API", "Suspicious patterns watched", "medium", ("store",), api.watched),
)


def checks(setup: Setup) -> list[Check]:
    """Every line, judged."""
    return [outcome(line, setup) for line in LINES]
