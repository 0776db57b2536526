"""What makes a secret or an RSA key unfit: short, well known, guessable, or made by a broken generator.

RFC 8725 section 3.5 and RFC 7518 section 3.2 ask for random keys as long as the hash. Nothing here
proves that a secret is random; it stops the ones that people copy, pad, type or repeat.
"""

from __future__ import annotations

import base64
import math
from collections import Counter
from itertools import pairwise

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_der_public_key

from admit.crypto.known import KNOWN_SECRETS, TELLING_PARTS

#: RFC 7518 section 3.2: a key of the same size as the hash output or larger
MINIMUM_BYTES = 32
#: half of the bits asked for: hexadecimal digits of a 128-bit value stay below it, 32 random bytes far above
MINIMUM_ENTROPY = 128.0

_PUBLIC_MARKS = (b"-----BEGIN", b"ssh-", b"ecdsa-sha2-")


def secret_problem(secret: bytes) -> str | None:
    """Why `secret` must not key a MAC or wrap keys, in words that follow "it …"; None when it may."""
    if not secret:
        return "is empty"
    folded = secret.decode("latin-1").strip().lower()
    # the bytes of a sample are as public as its text
    if not KNOWN_SECRETS.isdisjoint((folded, secret.hex(), _base64url(secret).lower())):
        return "is a well-known sample value"
    if len(secret) < MINIMUM_BYTES:
        return f"has {len(secret) * 8} bits; at least {MINIMUM_BYTES * 8} are needed"
    if _is_public_key(secret):
        return "is a public key, which everyone may have"
    return _guessable(secret, folded)


def _base64url(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def _guessable(secret: bytes, folded: str) -> str | None:
    if any(part in folded for part in TELLING_PARTS):
        return "looks like a placeholder"
    if _period(secret) <= len(secret) // 2 or _runs(secret):
        return "repeats itself"
    if _entropy(secret) < MINIMUM_ENTROPY:
        return "is not random enough"
    return None


def _is_public_key(secret: bytes) -> bool:
    # CVE-2022-29217, CVE-2024-33663: a public key served as HMAC secret lets anyone sign
    if secret.lstrip().startswith(_PUBLIC_MARKS) or b'"kty"' in secret:
        return True
    from cryptography.x509 import load_der_x509_certificate  # 4 MB that only a shared secret needs

    for load in (load_der_public_key, load_der_x509_certificate):
        try:
            load(secret)
        except (ValueError, UnsupportedAlgorithm):
            continue
        return True
    return False


def _period(secret: bytes) -> int:
    """The length of the shortest unit that `secret` is a repetition of ("changemechangeme…" has 8)."""
    size = len(secret)
    return next((n for n in range(1, size) if secret[n:] == secret[: size - n]), size)


def _runs(secret: bytes) -> bool:
    """Whether most bytes equal, follow or precede their neighbour, as in "abcdefgh…" or "aaaabbbb…"."""
    near = sum(1 for left, right in pairwise(secret) if abs(left - right) <= 1)
    return near > len(secret) // 2


def _entropy(secret: bytes) -> float:
    """Shannon entropy of the byte counts times the length, in bits: an upper bound on what was put in."""
    size = len(secret)
    return -sum(n * math.log2(n / size) for n in Counter(secret).values())


# primes of the ROCA fingerprint (CVE-2017-15361) that carry nearly all of its power: the moduli of the
# broken generator are powers of 65537 modulo each of them
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_FERMAT_ROUNDS = 100


def rsa_problem(modulus: int, exponent: int) -> str | None:
    """Why an RSA key must not be used, in words that complete "the RSA key …"; None when it may."""
    if modulus.bit_length() < 2048:
        return f"has {modulus.bit_length()} bits; at least 2048 are needed"
    if exponent < 65537 or exponent % 2 == 0:
        return "has an unsafe public exponent"
    if all(modulus % prime in _powers(prime) for prime in _ROCA_PRIMES):
        return "was made by a broken generator (CVE-2017-15361)"
    if _has_close_primes(modulus):
        return "has primes that are too close to each other"
    return None


def _powers(prime: int) -> set[int]:
    found, value = set[int](), 1
    while value not in found:
        found.add(value)
        value = value * 65537 % prime
    return found


def _has_close_primes(modulus: int) -> bool:
    """Fermat's factoring, a hundred rounds: finds p and q that share their upper half."""
    middle = math.isqrt(modulus - 1) + 1
    for _ in range(_FERMAT_ROUNDS):
        rest = middle * middle - modulus
        if math.isqrt(rest) ** 2 == rest:
            return True
        middle += 1
    return False
