"""M35: RSA signatures that a lenient check of the padding would take for ours, and the right one that it must."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key

from admit.crypto.keys import generate_key

MESSAGE = b"header.payload"
HASH = hashlib.sha256(MESSAGE).digest()
#: RFC 8017 section 9.2, note 1: DigestInfo of each hash, without the digest
PREFIXES = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha1": bytes.fromhex("3021300906052b0e03021a05000414"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
KEY, PSS_KEY = generate_key("RS256", 0), generate_key("PS256", 0)


def native(secret: bytes) -> rsa.RSAPrivateKey:
    found = load_der_private_key(secret, None)
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


NUMBERS = native(KEY.secret).private_numbers()
MODULUS = NUMBERS.public_numbers.n
SIZE = (MODULUS.bit_length() + 7) // 8
RIGHT_INFO = PREFIXES["sha256"] + HASH


def raw_signature(block: bytes) -> bytes:
    """The RSA operation alone, over whatever the block holds."""
    number = int.from_bytes(block, "big")
    # by the two primes (RFC 8017 section 5.1.2), a quarter of the time
    of_p, of_q = pow(number, NUMBERS.dmp1, NUMBERS.p), pow(number, NUMBERS.dmq1, NUMBERS.q)
    return (of_q + NUMBERS.iqmp * (of_p - of_q) % NUMBERS.p * NUMBERS.q).to_bytes(SIZE, "big")


def block(
    info: bytes, *, head: bytes = b"\0\1", fill: bytes = b"\xff", stop: bytes = b"\0", tail: bytes = b""
) -> bytes:
    return head + fill * (SIZE - len(head) - len(stop) - len(info) - len(tail)) + stop + info + tail


def bad_blocks() -> Iterator[tuple[str, bytes]]:
    right = block(RIGHT_INFO)
    for position in range(SIZE):
        changed = bytearray(right)
        changed[position] ^= 1
        # a changed first byte may give a number above the modulus; a block of zeros stands for it
        yield f"byte {position}", bytes(changed) if position else b"\0\1" + bytes(SIZE - 2)
    for spare in (1, 2, 8, 16, 64, 128, 194):
        yield f"{spare} bytes after the digest", block(RIGHT_INFO, tail=b"\xaa" * spare)
        yield f"{spare} zeros after the digest", block(RIGHT_INFO, tail=bytes(spare))
    yield "no digest info", block(HASH)
    yield "no padding", bytes(SIZE - len(RIGHT_INFO)) + RIGHT_INFO
    yield "block type 0", block(RIGHT_INFO, head=b"\0\0", fill=b"\0")
    yield "block type 2", block(RIGHT_INFO, head=b"\0\2", fill=b"\x5a")
    yield "no stop", block(RIGHT_INFO, stop=b"")
    yield "two stops", block(RIGHT_INFO, stop=b"\0\0")
    yield "no NULL", block(bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + HASH)
    yield "long length", block(bytes.fromhex("308131300d060960864801650304020105000420") + HASH)
    yield "indefinite length", block(bytes.fromhex("3080300d060960864801650304020105000420") + HASH + b"\0\0")
    yield "short digest", block(PREFIXES["sha256"] + HASH[:-1])
    for name in ("sha1", "sha384", "sha512"):
        yield name, block(PREFIXES[name] + hashlib.new(name, MESSAGE).digest())
        yield f"{name} over our digest", block(PREFIXES[name] + HASH)


@pytest.mark.rfc("RFC 8017 8.2.2")
@pytest.mark.proof("RFC8725-3.3")
def test_only_the_one_right_block_is_taken() -> None:
    assert KEY.verify(MESSAGE, raw_signature(block(RIGHT_INFO)))
    bad = dict(bad_blocks())
    assert len(bad) > 200
    assert [name for name, wrong in bad.items() if KEY.verify(MESSAGE, raw_signature(wrong))] == []


@pytest.mark.rfc("RFC 8017 8.2.2")
def test_a_signature_has_one_number_and_one_length() -> None:
    right = raw_signature(block(RIGHT_INFO))
    number = int.from_bytes(right, "big")
    twins = [b"\0" + right, right + b"\0", right[1:], (number + MODULUS).to_bytes(SIZE + 1, "big"), b"", right * 2]
    assert [twin for twin in twins if KEY.verify(MESSAGE, twin)] == []


def pss(hash_: hashes.HashAlgorithm, mask: hashes.HashAlgorithm, salt: int) -> bytes:
    return native(PSS_KEY.secret).sign(MESSAGE, padding.PSS(padding.MGF1(mask), salt), hash_)


@pytest.mark.rfc("RFC 7518 3.5")
def test_a_pss_signature_has_the_salt_and_hashes_of_its_name() -> None:
    sha256, sha384, sha512 = hashes.SHA256(), hashes.SHA384(), hashes.SHA512()
    assert PSS_KEY.verify(MESSAGE, pss(sha256, sha256, 32))
    wrong = {f"salt {salt}": pss(sha256, sha256, salt) for salt in (0, 20, 31, 33, 64, 222)}
    wrong |= {
        "sha384": pss(sha384, sha384, 48),
        "sha512": pss(sha512, sha512, 64),
        "mask sha384": pss(sha256, sha384, 32),
        "mask sha1": pss(sha256, hashes.SHA1(), 32),  # noqa: S303  # the forgery is the point
        "PKCS1": native(PSS_KEY.secret).sign(MESSAGE, padding.PKCS1v15(), sha256),
    }
    assert [name for name, signature in wrong.items() if PSS_KEY.verify(MESSAGE, signature)] == []
    # and the other way: a key for RS256 takes no PSS signature
    other = native(KEY.secret).sign(MESSAGE, padding.PSS(padding.MGF1(sha256), 32), sha256)
    assert not KEY.verify(MESSAGE, other)


@pytest.mark.rfc("RFC 7518 3.4")
def test_an_ecdsa_signature_in_der_or_over_another_hash_is_refused() -> None:
    key = generate_key("ES256", 0)
    private = load_der_private_key(key.secret, None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    der = private.sign(MESSAGE, ec.ECDSA(hashes.SHA256()))
    assert not key.verify(MESSAGE, der)
    assert not key.verify(MESSAGE, key.sign(MESSAGE)[:63])
    assert not key.verify(HASH, key.sign(MESSAGE))
