"""Custom claims: what an application may put into an access token, which anyone who holds it can read."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

#: bytes of all custom claims as JSON; tokens travel in every request, and proxies cut headers at 8 KB
LARGEST = 2048
_DEEPEST = 8

#: registered or ours (RFC 7519 4.1, 7800, 8693, 9068, 9396, OpenID Connect Core 2, back-channel logout)
RESERVED: frozenset[str] = frozenset(
    """
    iss sub aud exp nbf iat jti client_id scope scp sid typ cnf act may_act azp auth_time acr amr nonce
    at_hash c_hash s_hash events toe txn sub_id authorization_details org_id tenant alg kid crit htm htu ath
    """.split()  # noqa: SIM905  # reads better than 40 quoted words
)

#: words that give a secret away wherever they stand in a name (`user_password`, `cardPin`)
_SENSITIVE_WORDS: frozenset[str] = frozenset(
    """
    password passwords passwd pwd passphrase passcode secret secrets token tokens ssn cvv cvc otp totp hotp
    pin mnemonic credential credentials
    """.split()  # noqa: SIM905  # as above
)
#: names of two words, compared without separators
_SENSITIVE_PARTS = (
    "password", "passwd", "creditcard", "cardnumber", "apikey", "privatekey", "secretkey", "signingkey",
    "socialsecurity", "accesstoken", "refreshtoken", "sessionid", "recoverycode", "bankaccount", "seedphrase",
)  # fmt: skip

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def check_custom_claims(claims: Mapping[str, Any]) -> None:
    """Passes claims that may be in a token; `ValueError` naming the claim for a reserved or sensitive-looking
    name (nested ones too), a value that is not JSON, or more than 2048 bytes in all.
    """
    for name, value in claims.items():
        if isinstance(name, str) and _folded(name) in RESERVED:
            raise ValueError(f"the claim {name!r} is reserved")
        _check((name,), value)
    try:
        size = len(json.dumps(dict(claims), ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise ValueError(f"the claims {', '.join(sorted(claims))!r} hold half a surrogate pair") from None
    if size > LARGEST:
        raise ValueError(f"the claims {', '.join(sorted(claims))} take {size} bytes; {LARGEST} are allowed")


def _check(path: tuple[Any, ...], value: Any) -> None:
    shown = ".".join(str(step) for step in path)
    name = path[-1]
    if not isinstance(name, (str, int)) or len(path) > _DEEPEST:
        raise ValueError(f"the claim {shown!r} is not a JSON value of at most {_DEEPEST} levels")
    if isinstance(name, str) and _is_sensitive(name):
        raise ValueError(f"the claim {shown!r} looks sensitive, and whoever holds a token can read it")
    if type(value) is dict:
        for inner, item in value.items():
            _check((*path, inner if isinstance(inner, str) else None), item)
    elif type(value) is list:
        for index, item in enumerate(value):
            _check((*path, index), item)
    elif not _is_leaf(value):
        raise ValueError(f"the claim {shown!r} is not a JSON value")


def _is_leaf(value: object) -> bool:
    # exact types: an enum or a str subclass may encode to something else than it shows
    if type(value) is float:
        return math.isfinite(value)
    # what `strict_json` would refuse to read back must not be written
    return value is None or type(value) in (str, bool) or (type(value) is int and abs(value) < 2**53)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _is_sensitive(name: str) -> bool:
    plain = unicodedata.normalize("NFKC", name)
    words = [word.lower() for word in _WORDS.findall(plain)]
    joined = "".join(words)
    return not _SENSITIVE_WORDS.isdisjoint(words) or any(part in joined for part in _SENSITIVE_PARTS)
