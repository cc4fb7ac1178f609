"""Signing keys for tests, made in memory."""

from __future__ import annotations

from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey


def signer_and_trust(name: str = "builder") -> tuple[KeySigner, Trust]:
    """A new key, and a trust that knows it by this name."""
    signer = KeySigner.generate()
    return signer, Trust((TrustedKey(name, signer.public_pem),))
