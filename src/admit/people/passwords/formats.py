"""The password hashes that other systems store: read strictly, computed by vetted libraries, within bounds.

Understood are argon2 (id, i, d) and bcrypt ($2a$, $2b$, $2y$) as such, Django's `pbkdf2_sha256$`,
`pbkdf2_sha1$`, `argon2$`, `bcrypt$`, `bcrypt_sha256$`, `scrypt$` (docs: "Password management in Django")
and passlib's `$pbkdf2-sha256$`, `$pbkdf2-sha512$`, `$pbkdf2$`, `$scrypt$`, `$bcrypt-sha256$` (docs:
"Modular Crypt Format").
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable

import argon2.exceptions
import bcrypt
from argon2.low_level import Type, verify_secret

from admit.people.passwords.profiles import Bounds

BCRYPT_BYTES = 72  # what bcrypt reads; the rest would not count

Check = Callable[[bytes], bool]
_Reader = Callable[["re.Match[str]", Bounds], "Check | None"]

_ARGON2_TYPES = {"id": Type.ID, "i": Type.I, "d": Type.D}


def recognise(stored: str, bounds: Bounds) -> Check | None:
    """What compares a password (UTF-8) with `stored`; None when it is malformed, unknown or out of bounds.

    Reads only; all cost is in the call of the result, which returns False instead of raising.
    """
    if len(stored) > bounds.stored:
        return None
    for pattern, reader in _FORMATS:
        found = pattern.fullmatch(stored)
        if found:
            try:
                check = reader(found, bounds)
            except (ValueError, Base64Error):
                return None
            return _quiet(check) if check else None
    return None


def _quiet(check: Check) -> Check:
    def checked(secret: bytes) -> bool:
        try:
            return check(secret)
        except (ValueError, argon2.exceptions.Argon2Error, argon2.exceptions.InvalidHashError):
            return False

    return checked


def _argon2(found: re.Match[str], bounds: Bounds) -> Check | None:
    memory, passes, lanes = (int(found[name]) for name in ("m", "t", "p"))
    if memory > bounds.memory or memory * passes > bounds.argon2_work or not 1 <= lanes <= bounds.lanes:
        return None
    encoded = found["phc"].encode()
    kind = _ARGON2_TYPES[found["type"]]

    def check(secret: bytes) -> bool:
        try:
            return verify_secret(encoded, secret, kind)
        except argon2.exceptions.VerifyMismatchError:
            return False

    return check


def _bcrypt(found: re.Match[str], bounds: Bounds) -> Check | None:
    compare = _bcrypt_of(found["mcf"], int(found["cost"]), bounds)
    # a longer password cannot have made this hash unless it was cut; it must not match, and must not be
    # quicker
    return compare and (lambda secret: compare(secret[:BCRYPT_BYTES]) and len(secret) <= BCRYPT_BYTES)


def _bcrypt_of(mcf: str, cost: int, bounds: Bounds) -> Check | None:
    if not 4 <= cost <= bounds.bcrypt_cost:
        return None
    return lambda secret: bcrypt.checkpw(secret, mcf.encode())


def _django_bcrypt_sha256(found: re.Match[str], bounds: Bounds) -> Check | None:
    compare = _bcrypt_of(found["mcf"], int(found["cost"]), bounds)
    return compare and (lambda secret: compare(hashlib.sha256(secret).hexdigest().encode()))


def _passlib_bcrypt_sha256(found: re.Match[str], bounds: Bounds) -> Check | None:
    cost, salt = int(found["cost"]), found["salt"]
    compare = _bcrypt_of(f"$2{found['minor']}${cost:02d}${salt}{found['digest']}", cost, bounds)
    if compare is None:
        return None
    if found["version"]:  # v=2 is keyed with the salt, so that a leaked bare SHA-256 is no password
        return lambda secret: compare(b64encode(hmac.digest(salt.encode(), secret, "sha256")))
    return lambda secret: compare(b64encode(hashlib.sha256(secret).digest()))


def _pbkdf2(algorithm: str, salt: bytes, rounds: int, digest: bytes, bounds: Bounds) -> Check | None:
    if not 1 <= rounds <= bounds.pbkdf2_rounds or not _plausible(digest):
        return None
    return lambda secret: hmac.compare_digest(hashlib.pbkdf2_hmac(algorithm, secret, salt, rounds, len(digest)), digest)


def _django_pbkdf2(found: re.Match[str], bounds: Bounds) -> Check | None:
    salt, digest = found["salt"].encode(), _base64(found["digest"])
    return _pbkdf2(found["algorithm"], salt, int(found["rounds"]), digest, bounds)


def _passlib_pbkdf2(found: re.Match[str], bounds: Bounds) -> Check | None:
    salt, digest = _base64(found["salt"]), _base64(found["digest"])
    return _pbkdf2(found["algorithm"] or "sha1", salt, int(found["rounds"]), digest, bounds)


def _scrypt(salt: bytes, cost: tuple[int, int, int], digest: bytes, bounds: Bounds) -> Check | None:
    n, r, p = cost
    memory = 128 * r * (n + p + 2)
    if not _plausible(digest) or n < 2 or n & (n - 1) or min(r, p) < 1:
        return None
    if memory > bounds.memory * 1024 or n * r * p > bounds.scrypt_work:
        return None
    return lambda secret: hmac.compare_digest(
        # OpenSSL counts a little more than the formula of RFC 7914; without a limit of ours it stops at
        # 32 MiB
        hashlib.scrypt(secret, salt=salt, n=n, r=r, p=p, maxmem=memory + 2**20, dklen=len(digest)),
        digest,
    )


def _django_scrypt(found: re.Match[str], bounds: Bounds) -> Check | None:
    cost = int(found["n"]), int(found["r"]), int(found["p"])
    return _scrypt(found["salt"].encode(), cost, _base64(found["digest"]), bounds)


def _passlib_scrypt(found: re.Match[str], bounds: Bounds) -> Check | None:
    cost = 1 << int(found["ln"]), int(found["r"]), int(found["p"])
    return _scrypt(_base64(found["salt"]), cost, _base64(found["digest"]), bounds)


def _plausible(digest: bytes) -> bool:
    # an empty digest equals an empty digest; a very long one multiplies the rounds
    return 16 <= len(digest) <= 64


def _base64(text: str) -> bytes:
    """Standard, or passlib's with `.` for `+`; padded or not."""
    bare = text.replace(".", "+").rstrip("=")
    return b64decode(bare + "=" * (-len(bare) % 4), validate=True)


_B64 = r"[A-Za-z0-9+/]+"
_MCF = r"(?P<mcf>\$2[aby]\$(?P<cost>[0-9]{2})\$[A-Za-z0-9./]{53})"
_PHC = (
    r"(?P<phc>\$argon2(?P<type>id|i|d)\$(?:v=(?:16|19)\$)?"
    rf"m=(?P<m>[0-9]{{1,9}}),t=(?P<t>[0-9]{{1,9}}),p=(?P<p>[0-9]{{1,9}})\${_B64}\${_B64})"
)
_DIGEST = r"(?P<digest>[A-Za-z0-9./+]+={0,2})"

_COUNT = "[0-9]{1,9}"
_SALT = r"(?P<salt>[!-#%-~]+)"  # Django's: any printable text without a dollar sign
_AB64_SALT = r"(?P<salt>[A-Za-z0-9./]*)"
_PASSLIB_BCRYPT = (
    r"\$bcrypt-sha256\$(?:(?P<version>v=2),t=)?2(?P<minor>[ab]),(?:r=)?(?P<cost>[0-9]{1,2})"
    r"\$(?P<salt>[A-Za-z0-9./]{22})\$(?P<digest>[A-Za-z0-9./]{31})"
)
_DJANGO_PBKDF2 = rf"pbkdf2_(?P<algorithm>sha1|sha256)\$(?P<rounds>{_COUNT})\${_SALT}\${_DIGEST}"
_PASSLIB_PBKDF2 = rf"\$pbkdf2(?:-(?P<algorithm>sha1|sha256|sha512))?\$(?P<rounds>{_COUNT})\${_AB64_SALT}\${_DIGEST}"
_DJANGO_SCRYPT = rf"scrypt\$(?P<n>{_COUNT})\${_SALT}\$(?P<r>{_COUNT})\$(?P<p>{_COUNT})\${_DIGEST}"
_PASSLIB_SCRYPT = rf"\$scrypt\$ln=(?P<ln>[0-9]{{1,2}}),r=(?P<r>{_COUNT}),p=(?P<p>{_COUNT})\$(?P<salt>{_B64})\${_DIGEST}"

_FORMATS: tuple[tuple[re.Pattern[str], _Reader], ...] = (
    (re.compile(rf"(?:argon2)?{_PHC}"), _argon2),
    (re.compile(rf"(?:bcrypt\$)?{_MCF}"), _bcrypt),
    (re.compile(rf"bcrypt_sha256\${_MCF}"), _django_bcrypt_sha256),
    (re.compile(_PASSLIB_BCRYPT), _passlib_bcrypt_sha256),
    (re.compile(_DJANGO_PBKDF2), _django_pbkdf2),
    (re.compile(_PASSLIB_PBKDF2), _passlib_pbkdf2),
    (re.compile(_DJANGO_SCRYPT), _django_scrypt),
    (re.compile(_PASSLIB_SCRYPT), _passlib_scrypt),
)
