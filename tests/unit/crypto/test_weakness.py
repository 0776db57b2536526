"""Secrets and RSA keys that must not be used, and that random ones are never mistaken for them."""

from __future__ import annotations

import math
import random

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from admit.crypto.known import KNOWN_SECRETS
from admit.crypto.weakness import rsa_problem, secret_problem

GOOD = bytes.fromhex("8f1d0c5be2a947f6b13e7a90d4c85f2217e6ab09c3d4518e7f60a2b9d31c4e75")


@pytest.mark.proof("ASVS-13.3.1", "RFC8725-3.5", "ASVS-11.2.3")
@pytest.mark.parametrize(
    ("secret", "problem"),
    [
        (b"", "is empty"),
        (b"your-256-bit-secret", "well-known"),
        (b"YOUR-256-bit-secret\n", "well-known"),
        (b"changeme", "well-known"),
        (b"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7", "well-known"),
        (bytes.fromhex("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"), "well-known"),
        (GOOD[:31], "248 bits"),
        (bytes(32), "repeats"),
        (b"a" * 64, "repeats"),
        (b"kqzv8f2m" * 8, "repeats"),
        (GOOD[:16] * 2, "repeats"),
        (bytes(range(100, 140)), "repeats"),
        (b"aabbccddeeffgghhiijjkkllmmnnooppqqrr", "repeats"),
        (b"my very own SECRET that nobody knows about 42", "placeholder"),
        (b"kd83hf-change-me-please-kd83hf-2947dhe2", "placeholder"),
        (b"9f3a1c7be2d84065b1f7093ad5c6e28f", "random"),
        (b"ab9ba9ab99abab9ba99bba9ab9ab9baabb9a", "random"),
        (b'{"kty":"oct","k":"c29tZSBvdGhlciBrZXkgYWx0b2dldGhlcg"}', "public key"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB8f1d0c5be2a947f6b13e7a90d4c85f22", "public key"),
    ],
)
def test_an_unfit_secret_is_named(secret: bytes, problem: str) -> None:
    assert problem in (secret_problem(secret) or "")


@pytest.mark.parametrize("known", sorted(KNOWN_SECRETS))
def test_no_known_secret_is_fit_in_any_case(known: str) -> None:
    assert secret_problem(known.encode()) == "is a well-known sample value"
    assert secret_problem(known.upper().encode()) == "is a well-known sample value"


@pytest.mark.parametrize("kind", ["RSA", "EC", "Ed25519"])
def test_a_public_key_in_any_spelling_is_no_secret(kind: str) -> None:
    key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey
    if kind == "RSA":
        key = rsa.generate_private_key(65537, 2048).public_key()
    elif kind == "EC":
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
    else:
        key = ed25519.Ed25519PrivateKey.generate().public_key()
    spki = PublicFormat.SubjectPublicKeyInfo
    forms = [
        key.public_bytes(Encoding.PEM, spki),
        key.public_bytes(Encoding.DER, spki),
        key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
    ]
    for form in forms + [b"\n" + form for form in forms[::2]]:
        assert secret_problem(form) == "is a public key, which everyone may have"


def test_random_secrets_pass_in_every_spelling() -> None:
    # a fixed seed: the test must not fail once in a billion runs
    source = random.Random(1)
    for _ in range(500):
        raw = source.randbytes(32)
        letters = "".join(source.choices("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=45))
        for secret in (raw, raw.hex().encode(), letters.encode(), source.randbytes(64)):
            assert secret_problem(secret) is None


def _primes_near(start: int, count: int) -> list[int]:
    found: list[int] = []
    candidate = start | 1
    while len(found) < count:
        if all(pow(base, candidate - 1, candidate) == 1 for base in (2, 3, 5, 7)):
            found.append(candidate)
        candidate += 2
    return found


@pytest.mark.proof("ASVS-11.6.1", "ASVS-11.2.3")
def test_weak_rsa_keys_are_named() -> None:
    good = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    p, q = _primes_near(2**1023 + 2**1022 + 12345, 2)
    assert rsa_problem(good.n, good.e) is None
    assert rsa_problem(good.n >> 1024, 65537) == "has 1024 bits; at least 2048 are needed"
    for exponent in (1, 3, 17, 65536, 65538):
        assert rsa_problem(good.n, exponent) == "has an unsafe public exponent"
    assert rsa_problem(p * q, 65537) == "has primes that are too close to each other"


def test_the_fingerprint_of_the_broken_generator_is_found() -> None:
    # such a modulus is a power of 65537 modulo the product of the first primes (Nemec and others, 2017)
    product = math.prod((2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89,
                         97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157))  # fmt: skip
    modulus = pow(65537, 4711, product) + product * (2**2047 // product + 1)
    assert rsa_problem(modulus, 65537) == "was made by a broken generator (CVE-2017-15361)"


@pytest.mark.proof("ASVS-11.6.1")
def test_generated_keys_have_neither_fault() -> None:
    for _ in range(3):
        numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
        assert rsa_problem(numbers.n, numbers.e) is None
