"""Signing keys in memory: written, read back, and never shown."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from registry.signing import KeySigner


@pytest.mark.parametrize("passphrase", [None, "correct horse é"])
def test_a_key_reads_back(passphrase: str | None) -> None:
    """In the clear, or under its passphrase."""
    signer = KeySigner.generate()
    pem = signer.to_pem(passphrase)
    assert (b"ENCRYPTED" in pem) == (passphrase is not None)
    assert KeySigner.from_pem(pem, passphrase).public_pem == signer.public_pem


@pytest.mark.parametrize("passphrase", [None, "", "wrong"])
def test_a_wrong_passphrase_is_a_value_error(passphrase: str | None) -> None:
    """So is none at all."""
    with pytest.raises(ValueError, match="passphrase"):
        KeySigner.from_pem(KeySigner.generate().to_pem("right"), passphrase)


def test_other_private_keys_are_refused() -> None:
    """RSA, curves that only look alike, and those for which verifiers choose different hashes."""
    curves = (ec.SECP256K1(), ec.SECP384R1(), ec.SECP521R1())
    for key in (rsa.generate_private_key(65537, 2048), *map(ec.generate_private_key, curves)):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with pytest.raises(ValueError, match="not an EC key"):
            KeySigner.from_pem(pem)


@given(st.binary())
def test_any_bytes_are_a_value_error(data: bytes) -> None:
    """A file somebody named by mistake, for one."""
    with pytest.raises(ValueError, match="not a private key"):
        KeySigner.from_pem(data)


def test_a_key_is_not_shown() -> None:
    """Neither in a traceback nor in a log."""
    signer = KeySigner.generate()
    secret = signer.to_pem().decode().splitlines()[1]
    assert secret not in repr(signer)
    assert "PRIVATE" not in repr(signer)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
def test_openssl_verifies_a_signature(tmp_path: Path) -> None:
    """With the public key as it is exported."""
    signer = KeySigner.generate()
    (tmp_path / "k.pub").write_text(signer.public_pem)
    (tmp_path / "data").write_bytes(b"data")
    (tmp_path / "sig").write_bytes(signer.sign(b"data"))
    command = ["openssl", "dgst", "-sha256", "-verify", "k.pub", "-signature", "sig", "data"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified OK" in done.stdout
