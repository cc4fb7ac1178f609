"""Whose signatures count, and for what. Pure: public keys in, yes or no out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from registry.version import check_name

SIGNING_CURVE = SECP256R1()
HASHES = {"secp256r1": SHA256(), "secp384r1": SHA384(), "secp521r1": SHA512()}
"""The hash that goes with each curve: what DSSE signers and sigstore use."""


@dataclass(frozen=True)
class TrustedKey:
    """An EC public key (P-256, P-384, P-521) in PEM, under the name of its holder: a person, or a CI.

    ``kinds`` are the kinds of evidence it may sign (``quality``, ``scan``, ``approval``); None is all.
    Raises ValueError for a malformed name or key.
    """

    name: str
    pem: str
    kinds: frozenset[str] | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "pem", write_public_key(self.public))  # one key, one text

    @cached_property
    def public(self) -> EllipticCurvePublicKey:
        """The key itself."""
        return read_public_key(self.pem)

    @cached_property
    def key_id(self) -> str:
        """What signatures name the key by."""
        return key_id(self.public)

    def may_sign(self, kind: str) -> bool:
        """Whether evidence of this kind counts when this key signed it."""
        return self.kinds is None or kind in self.kinds

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether the key made this signature of these bytes."""
        try:
            self.public.verify(signature, data, ECDSA(HASHES[self.public.curve.name]))
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Trust:
    """All trusted keys. A name is whoever holds its keys: several after a rotation, the newest last.

    Raises ValueError when one key has two names or two entries: who signed would be anybody's guess.
    """

    keys: tuple[TrustedKey, ...] = ()

    def __post_init__(self) -> None:
        by_id: dict[str, str] = {}
        for key in self.keys:
            if (name := by_id.setdefault(key.key_id, key.name)) != key.name:
                raise ValueError(f"{name} and {key.name} are the same key")
        if len(by_id) < len(self.keys):
            raise ValueError("a key is listed twice")

    def find(self, key_id: str) -> TrustedKey | None:
        """The trusted key of this id, or None."""
        return next((trusted for trusted in self.keys if trusted.key_id == key_id), None)

    def of(self, name: str) -> tuple[TrustedKey, ...]:
        """The trusted keys of this holder."""
        return tuple(key for key in self.keys if key.name == name)


def read_public_key(pem: str) -> EllipticCurvePublicKey:
    """An EC public key in PEM; ValueError for anything else."""
    try:
        public = load_pem_public_key(pem.encode())
    except (UnsupportedAlgorithm, ValueError) as problem:
        raise ValueError("not a public key in PEM") from problem
    if not isinstance(public, EllipticCurvePublicKey) or public.curve.name not in HASHES:
        raise ValueError("not an EC key on P-256, P-384 or P-521")
    return public


def write_public_key(public: EllipticCurvePublicKey) -> str:
    """The key in PEM."""
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def check_curve(public: EllipticCurvePublicKey) -> None:
    """ValueError for a key that should not sign here: cosign 3 takes SHA-256, and so P-256, for granted.

    Keys on the other curves are trusted all the same: model-signing signs with the hash of the curve.
    """
    if public.curve.name != SIGNING_CURVE.name:
        raise ValueError("it is not an EC key on P-256, the one curve that every verifier agrees about")


def key_id(public: EllipticCurvePublicKey) -> str:
    """The sha256 of the key's PEM, in hex: what model-signing gives as a hint (``sign_ec_key.py`` 1.1.1)."""
    return hashlib.sha256(write_public_key(public).encode()).hexdigest()
