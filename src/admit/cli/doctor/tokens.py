"""The lines T1 to T6: tokens, keys and cookies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from admit.cli.doctor.answers import Answer, Cookie
from admit.cli.doctor.verdicts import Found, Setup, skipped
from admit.cli.doctor.visit import Seen
from admit.cli.inspection import parts_of_jwt
from admit.crypto.claims import RESERVED
from admit.crypto.known import KNOWN_SECRETS
from admit.crypto.opaque import KeyParts, api_key_format, api_key_shape, sha256
from admit.serve.checklist import ACCESS_AT_MOST, ACCESS_FOR, REFRESH_AT_MOST
from admit.settings import Settings

_DIGEST = 32
_TAMPERED = "Look at what stands between clients and the server (proxy, middleware): it changes what the server sends."
# claims that tell something of a person, whatever they hold; OpenID Connect Core section 5.1 puts them in ID tokens,
# which only the client reads, or in the userinfo answer
_PERSONAL = frozenset(
    """
    email mail phone phonenumber mobile address street birthdate birthday dateofbirth dob gender iban taxid passport
    nationalid salary diagnosis religion
    """.split()  # noqa: SIM905  # reads better than quoted words
)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_CARD = re.compile(r"(?:\d[ -]?){13,19}")
_PEM = "-----BEGIN"


def https(setup: Setup) -> Iterator[Found]:
    """T1 always HTTPS."""
    seen = setup.seen
    if seen is None:
        return
    door = seen.open_door
    if door is None:
        yield from skipped(seen, "open_door")
        return
    plain = seen.url.startswith("http://")
    if plain and setup.settings.secure and door.code != "https_required":
        yield Found(
            "fail", "A credential that came over plain http was looked at instead of refused.",
            "Let the proxy end TLS, and name only that proxy in trusted_proxies. Whatever tells the server that a "
            "plain request came by https must go.",
        )  # fmt: skip
    hsts = door.header("strict-transport-security")
    if setup.settings.secure and hsts is None:
        yield Found("fail", "Answers carry no Strict-Transport-Security header.", _TAMPERED, "medium")
    if plain and not setup.settings.secure and setup.settings.production:
        yield Found("fail", "The server is reached over plain http.", "Put TLS in front of it.")


def expiry(setup: Setup) -> Iterator[Found]:
    """T2 tokens expire: 15 minutes, 7 days."""
    seen = setup.seen
    if seen is None:
        return
    claims = _claims(seen)
    if claims is None:
        yield from _no_token(seen)
        return
    began, ends = claims.get("iat"), claims.get("exp")
    if not isinstance(began, int) or not isinstance(ends, int):
        yield Found("fail", "The server's access token has no exp or no iat.", "Issue tokens with `admit serve` only.")
        return
    if ends - began > ACCESS_FOR.total_seconds():
        yield Found(
            "fail" if ends - began > ACCESS_AT_MOST.total_seconds() else "warn",
            f"The running server issues access tokens for {ends - began} seconds.",
            "Set tokens.access_for to 15 minutes and restart the server.",
        )  # fmt: skip
    for cookie in _cookies(seen):
        lives = cookie.attributes.get("max-age", "")
        if cookie.name.endswith("refresh") and (not lives.isdigit() or int(lives) > REFRESH_AT_MOST.total_seconds()):
            yield Found(
                "fail", "The cookie of the refresh token outlives 30 days.", "Set tokens.refresh_idle to 7 days."
            )


def secrets(setup: Setup) -> Iterator[Found]:
    """T3 secrets in the environment: the rest of this line is in the settings' own list."""
    tokens = setup.settings.tokens
    secret = tokens.hs256_secret
    if secret is not None and secret.get_secret_value().lower() in KNOWN_SECRETS:
        yield Found("fail", "The HS256 secret is one of those in tutorials.", "Make one with `admit secret`.")


def hashed_keys(setup: Setup) -> Iterator[Found]:
    """T4 API keys hashed."""
    kept, seen = setup.kept, setup.seen
    make_anew = "Revoke those keys, have their owners make new ones, and find out what wrote the rows."
    if kept is not None:
        brand = setup.settings.brand.encode()
        open_ = [key for key in kept.keys if len(key.digest) != _DIGEST or key.digest.startswith(brand + b"_")]
        if open_:
            yield Found("fail", f"{len(open_)} API keys are stored in another form than a SHA-256 digest.", make_anew)
        if shown := [key for key in kept.keys if len(key.hint) > len(brand) + 24]:
            yield Found("fail", f"{len(shown)} API keys stand in their own hint.", make_anew)
        if kept.api_keys_in:
            yield Found("fail", f"A new API key stands in the open in {', '.join(kept.api_keys_in)}.", make_anew)
    if seen is None:
        return
    if seen.api_key is None:
        yield from skipped(seen, "api_keys")
        return
    if seen.key_list is not None and seen.api_key in seen.key_list.text:
        yield Found("fail", "The list of API keys shows a key after it was made.", _TAMPERED)
    if kept is not None and kept.digests and _secret_digest(seen.api_key, setup.settings) not in kept.digests:
        yield Found(
            "warn", "The key that the server made is not in this store.", "Check that the settings are the server's."
        )


def cookies(setup: Setup) -> Iterator[Found]:
    """T5 httpOnly cookies."""
    seen = setup.seen
    if seen is None:
        return
    if not any(seen.sign_ins.get(deliver, Answer(0)).cookies for deliver in ("session", "cookie", "spa")):
        yield from skipped(seen, "sign_ins")
        return
    for cookie in _cookies(seen):
        lacking = [name for name in ("HttpOnly", "SameSite") if name.lower() not in cookie.attributes]
        if setup.settings.secure and "secure" not in cookie.attributes:
            lacking.append("Secure")
        if cookie.attributes.get("samesite", "lax").lower() not in ("lax", "strict"):
            lacking.append("SameSite=Lax")
        if lacking:
            yield Found("fail", f"The cookie {cookie.name} comes without {', '.join(lacking)}.", _TAMPERED)
    for deliver, hidden in (("session", ()), ("cookie", ("access_token",)), ("spa", ())):
        body = seen.sign_ins.get(deliver, Answer(0)).json
        if shown := [name for name in (*hidden, "refresh_token", "session_token") if name in body]:
            yield Found(
                "fail", f"Delivery {deliver!r}: {', '.join(shown)} is in the body, where scripts read it.", _TAMPERED
            )


def payload(setup: Setup) -> Iterator[Found]:
    """T6 nothing sensitive in the payload."""
    seen = setup.seen
    if seen is None:
        return
    claims = _claims(seen)
    if claims is None:
        yield from _no_token(seen)
        return
    leaks = sorted(set(_leaks(claims, setup)))
    if leaks:
        yield Found(
            "fail", f"Whoever holds an access token can read {', '.join(leaks)} in it.",
            "Take it out of your `claims` function. The API can look it up by `sub`, or ask GET /auth/me.",
        )  # fmt: skip


def _leaks(claims: Mapping[str, Any], setup: Setup) -> Iterator[str]:
    own = {name: value for name, value in claims.items() if name.casefold() not in RESERVED}
    known = [text for text in ((setup.patient.identifier, setup.patient.password) if setup.patient else ()) if text]
    for path, value in _leaves(own):
        name = re.sub(r"[^a-z]", "", path.rpartition(".")[2].lower())
        text = str(value)
        if name in _PERSONAL or _EMAIL.fullmatch(text) or _is_card(text) or _PEM in text or text in known:
            yield f"the claim {path!r}"
        elif text.startswith(f"{setup.settings.brand}_") or parts_of_jwt(text) is not None:
            yield f"a credential in the claim {path!r}"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner, path)
    else:
        yield path, value


def _is_card(text: str) -> bool:
    if not _CARD.fullmatch(text):
        return False
    digits = [int(letter) for letter in reversed(text) if letter.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) if odd % 2 else digit for odd, digit in enumerate(digits))
    return sum(doubled) % 10 == 0  # ISO/IEC 7812-1 annex B


def _claims(seen: Seen) -> dict[str, Any] | None:
    parts = None if seen.access_token is None else parts_of_jwt(seen.access_token)
    return None if parts is None else parts.claims


def _no_token(seen: Seen) -> Iterator[Found]:
    yield from skipped(seen, "sign_ins")
    if not seen.problems:
        yield Found("not-checked", "the server's access token is no JWT")


def _cookies(seen: Seen) -> list[Cookie]:
    return [
        cookie for deliver in ("session", "cookie", "spa") for cookie in seen.sign_ins.get(deliver, Answer(0)).cookies
    ]


def _secret_digest(key: str, settings: Settings) -> bytes | None:
    shape = api_key_shape(settings.brand, key)
    payload_ = api_key_format(settings.brand, *shape).parse(key) if shape is not None else None
    return None if payload_ is None else sha256(KeyParts.unpack(payload_).secret)
