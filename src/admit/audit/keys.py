"""The audit key: Ed25519, apart from the keys that sign tokens."""

from __future__ import annotations

import base64
import hashlib
from typing import Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class Verifier(Protocol):
    """Something that can tell whether a signature is its own."""

    @property
    def kid(self) -> str: ...

    def verify(self, data: bytes, signature: bytes) -> bool:
        """Whether `signature` is this key's over `data`; never raises."""
        ...


class Signer(Verifier, Protocol):
    """An audit key that can sign."""

    def sign(self, data: bytes) -> bytes:
        """The signature over `data`."""
        ...


class PublicAuditKey:
    """The public half: enough to verify the log anywhere. `kid` is derived from the key, so it cannot be another's."""

    def __init__(self, public: Ed25519PublicKey) -> None:
        self._public = public
        digest = hashlib.sha256(b"admit audit key\0" + self.raw()).digest()
        self._kid = "audit-" + base64.urlsafe_b64encode(digest[:12]).decode()

    @classmethod
    def from_raw(cls, raw: bytes) -> Self:
        """From the 32 bytes of `raw()`."""
        return cls(Ed25519PublicKey.from_public_bytes(raw))

    @property
    def kid(self) -> str:
        return self._kid

    def raw(self) -> bytes:
        """The 32 bytes of the public key."""
        return self._public.public_bytes_raw()

    def verify(self, data: bytes, signature: bytes) -> bool:
        try:
            self._public.verify(signature, data)
        except InvalidSignature:
            return False
        return True


class AuditKey(PublicAuditKey):
    """The whole key. `seed()` (32 bytes) is what gets sealed at rest."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        super().__init__(private.public_key())
        self._private = private

    @classmethod
    def from_seed(cls, seed: bytes) -> AuditKey:
        """From 32 secret bytes: `kit.random(32)` for a new key, the unsealed `seed()` for a known one."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def seed(self) -> bytes:
        return self._private.private_bytes_raw()

    def sign(self, data: bytes) -> bytes:
        return self._private.sign(data)

    def __repr__(self) -> str:
        return f"AuditKey({self.kid})"
