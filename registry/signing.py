"""Signing keys: made, and opened from a PEM file's text. A key service is another ``bundle.Signer``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from registry.trust import HASHES, SIGNING_CURVE, check_curve, key_id, write_public_key


@dataclass(frozen=True)
class KeySigner:
    """A ``bundle.Signer`` over an EC private key in memory. ``repr`` never shows the key."""

    _private: EllipticCurvePrivateKey

    @classmethod
    def generate(cls) -> KeySigner:
        """A new key on P-256."""
        return cls(generate_private_key(SIGNING_CURVE))

    @classmethod
    def from_pem(cls, pem: bytes, passphrase: str | None = None) -> KeySigner:
        """The P-256 key in a PEM; ValueError for anything else, or for a wrong passphrase."""
        try:
            private = load_pem_private_key(pem, passphrase.encode() if passphrase else None)
        except (TypeError, UnsupportedAlgorithm, ValueError) as problem:
            raise ValueError("not a private key in PEM, or it needs another passphrase") from problem
        if not isinstance(private, EllipticCurvePrivateKey):
            raise ValueError("it is not an EC key")
        check_curve(private.public_key())
        return cls(private)

    @cached_property
    def public_pem(self) -> str:
        """The public half in PEM."""
        return write_public_key(self._private.public_key())

    @cached_property
    def key_id(self) -> str:
        """What the public half is known by."""
        return key_id(self._private.public_key())

    def sign(self, data: bytes) -> bytes:
        """The ECDSA signature in DER."""
        return self._private.sign(data, ECDSA(HASHES[self._private.curve.name]))

    def to_pem(self, passphrase: str | None = None) -> bytes:
        """The private key in PKCS#8 PEM, encrypted when there is a passphrase."""
        encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
        return self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
