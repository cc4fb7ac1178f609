"""Trusted keys: which keys there can be, who signed, and what a key may sign."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from registry.signing import KeySigner
from registry.trust import Trust, TrustedKey, read_public_key, write_public_key

_SIGNER, _OTHER = KeySigner.generate(), KeySigner.generate()


def _pem(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda c: c.name)
def test_each_curve_signs_and_verifies(curve: ec.EllipticCurve) -> None:
    """With the hash that belongs to it."""
    signer = KeySigner(ec.generate_private_key(curve))
    key = TrustedKey("k", signer.public_pem)
    assert key.key_id == signer.key_id
    assert key.verifies(signer.sign(b"data"), b"data")
    assert not key.verifies(signer.sign(b"data"), b"other")
    assert not key.verifies(b"no signature", b"data")


def test_a_key_is_known_by_the_digest_of_its_pem() -> None:
    """As model-signing names it; how the PEM was wrapped changes nothing."""
    key = TrustedKey("k", _SIGNER.public_pem)
    assert key.key_id == hashlib.sha256(_SIGNER.public_pem.encode()).hexdigest()
    windows = TrustedKey("k", "a note\r\n" + _SIGNER.public_pem.replace("\n", "\r\n"))
    assert windows == key


@pytest.mark.parametrize(
    "pem",
    [
        _pem(ec.generate_private_key(ec.SECP256K1()).public_key()),
        _pem(ec.generate_private_key(ec.BrainpoolP256R1()).public_key()),
        _pem(rsa.generate_private_key(65537, 2048).public_key()),
        _pem(ed25519.Ed25519PrivateKey.generate().public_key()),
        KeySigner.generate().to_pem().decode(),
        KeySigner.generate().public_pem[:-40],
        "",
        "\ud800",
    ],
    ids=["secp256k1", "brainpool", "rsa", "ed25519", "private", "cut", "empty", "no text"],
)
def test_other_keys_are_refused(pem: str) -> None:
    """One algorithm per curve is what cosign and model-signing verify."""
    with pytest.raises(ValueError, match="not a"):
        TrustedKey("k", pem)


@given(st.text())
def test_any_text_is_a_value_error_at_worst(text: str) -> None:
    """What a person pastes may be anything."""
    with pytest.raises(ValueError, match="not a public key"):
        read_public_key(text)


def test_a_public_key_reads_back() -> None:
    """Through its PEM."""
    public = read_public_key(_SIGNER.public_pem)
    assert write_public_key(public) == _SIGNER.public_pem


def test_a_key_may_sign_what_it_is_trusted_for() -> None:
    """Without kinds it may sign everything; with none of them, nothing."""
    assert TrustedKey("k", _SIGNER.public_pem).may_sign("scan")
    approver = TrustedKey("k", _SIGNER.public_pem, frozenset({"approval"}))
    assert approver.may_sign("approval")
    assert not approver.may_sign("scan")
    assert not TrustedKey("k", _SIGNER.public_pem, frozenset()).may_sign("scan")


def test_keys_are_found_by_their_id() -> None:
    """A key that is not trusted is not found."""
    first, second = TrustedKey("a", _SIGNER.public_pem), TrustedKey("b", _OTHER.public_pem)
    trust = Trust((first, second))
    assert trust.find(_OTHER.key_id) is second
    assert trust.find("0" * 64) is None


def test_a_name_has_several_keys_and_a_key_one_name() -> None:
    """A rotation must not make two people of one, and who signed must not be a guess."""
    first, second = TrustedKey("a", _SIGNER.public_pem), TrustedKey("a", _OTHER.public_pem)
    assert Trust((first, second)).of("a") == (first, second)
    assert Trust((first, second)).of("b") == ()
    with pytest.raises(ValueError, match="a and b are the same key"):
        Trust((first, TrustedKey("b", _SIGNER.public_pem)))
    with pytest.raises(ValueError, match="a key is listed twice"):
        Trust((first, TrustedKey("a", _SIGNER.public_pem, frozenset({"scan"}))))


@pytest.mark.parametrize("name", ["", "Alice", "a b", "../a", "a\n"])
def test_a_key_needs_a_plain_name(name: str) -> None:
    """It is shown in sentences and typed in commands."""
    with pytest.raises(ValueError, match="not a name"):
        TrustedKey(name, _SIGNER.public_pem)
