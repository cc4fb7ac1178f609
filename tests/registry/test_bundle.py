"""Signed statements: no change of one byte goes unseen, and other people's tools read them."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

from registry.bundle import BUNDLE_MEDIA_TYPE, Sealed, seal, unseal
from registry.digest import Digest
from registry.evidence import Evidence
from registry.predicates import IMAGE_SIGNATURE, QUALITY
from registry.signing import KeySigner
from registry.statement import Statement
from registry.trust import Trust, TrustedKey, read_public_key
from tests.simulators.json_values import mangled
from tests.simulators.keys import signer_and_trust
from tests.simulators.programs import need_program
from tests.simulators.records import digest

_SIGNER, _TRUST = signer_and_trust("builder")
_SAID = Statement(
    predicate_type="urn:x", subjects={"subject": digest("x")}, predicate={"verdict": "pass", "note": "é"}
)
_BUNDLE = seal(_SAID, _SIGNER)


def _with_statement(said: Statement) -> bytes:
    """The bundle with another payload under the same signature."""
    value = json.loads(_BUNDLE)
    value["dsseEnvelope"]["payload"] = base64.b64encode(said.to_bytes()).decode()
    return json.dumps(value).encode()


def test_a_signed_statement_reads_back_with_its_signer() -> None:
    """By the name the key is trusted under."""
    assert unseal(_BUNDLE, _TRUST) == Sealed(_SAID, _SIGNER.key_id, "builder")


@settings(max_examples=400)
@given(st.integers(0, len(_BUNDLE) - 1), st.integers(1, 255))
def test_no_changed_byte_changes_what_a_trusted_key_said(position: int, flip: int) -> None:
    """The record is refused, or doubted, or says the same: never something else in the signer's name."""
    changed = bytearray(_BUNDLE)
    changed[position] ^= flip
    try:
        read = unseal(bytes(changed), _TRUST)
    except ValueError:
        return
    assert read.signer is None or read.statement == _SAID
    assert bool(read.doubt) == (read.signer is None)


@settings(max_examples=300)
@given(mangled(json.loads(_BUNDLE)))
def test_a_mangled_bundle_is_a_value_error_at_worst(value: Any) -> None:
    """Whatever JSON lies in a registry, reading it ends in an answer."""
    try:
        read = unseal(json.dumps(value).encode(), _TRUST)
    except ValueError:
        return
    assert read.signer is None or read.statement == _SAID


@given(st.binary())
def test_any_bytes_are_a_value_error_at_worst(data: bytes) -> None:
    """A truncated or foreign file among them."""
    with pytest.raises(ValueError, match="not a signed statement"):
        unseal(data, _TRUST)


def test_deep_nesting_is_a_value_error() -> None:
    """It exhausts Python's stack while it is parsed."""
    with pytest.raises(ValueError, match="it is nested too deeply"):
        unseal(b"[" * 200_000, _TRUST)


def test_an_untrusted_key_leaves_a_doubt_that_names_it() -> None:
    """The statement is shown, and does not count."""
    stranger = KeySigner.generate()
    read = unseal(seal(_SAID, stranger), _TRUST)
    assert (read.statement, read.signer) == (_SAID, None)
    assert stranger.key_id[:12] in read.doubt


def test_a_stranger_under_a_trusted_keys_name_is_doubted() -> None:
    """The hint is not signed: it only says which key to try."""
    value = json.loads(seal(_SAID, KeySigner.generate()))
    value["verificationMaterial"]["publicKey"]["hint"] = _SIGNER.key_id
    read = unseal(json.dumps(value).encode(), _TRUST)
    assert (read.signer, read.doubt) == (None, "its signature by builder does not match its content")


def test_another_statement_under_an_old_signature_is_doubted() -> None:
    """A signature speaks of its own bytes only."""
    changed = Statement(predicate_type="urn:x", subjects=_SAID.subjects, predicate={"verdict": "fail"})
    assert unseal(_with_statement(changed), _TRUST).signer is None


def test_a_rotated_key_still_vouches() -> None:
    """Old evidence counts as long as the old public key is trusted."""
    new = KeySigner.generate()
    both = Trust((*_TRUST.keys, TrustedKey("builder-2", new.public_pem)))
    assert unseal(_BUNDLE, both).signer == "builder"
    assert unseal(seal(_SAID, new), both).signer == "builder-2"
    assert unseal(_BUNDLE, Trust(both.keys[1:])).signer is None


def test_another_dsse_implementation_verifies_the_envelope() -> None:
    """securesystemslib, which in-toto and TUF use."""
    envelope = json.loads(_BUNDLE)["dsseEnvelope"]
    key = SSlibKey.from_crypto(read_public_key(_SIGNER.public_pem), keyid="k")
    signatures = [{"sig": entry["sig"], "keyid": "k"} for entry in envelope["signatures"]]
    read = Envelope.from_dict({**envelope, "signatures": signatures})
    assert read.verify([key], 1) == {"k": key}
    assert json.loads(read.payload)["predicate"] == _SAID.predicate


@pytest.mark.parametrize("kind", ["rollout", IMAGE_SIGNATURE, QUALITY])
def test_the_real_cosign_verifies_a_bundle(tmp_path: Path, kind: str) -> None:
    """Offline, with the public key alone; not with another key, nor for another subject."""
    cosign = need_program("cosign")
    facts = {} if kind == IMAGE_SIGNATURE else {"at": "2025-11-21T10:00:00+00:00"}
    said = Evidence(kind=kind, subject=Digest.of_bytes(b"subject"), facts=facts).statement
    (tmp_path / "bundle.json").write_bytes(seal(said, _SIGNER))

    def accepts(subject: bytes, signer: KeySigner) -> bool:
        (tmp_path / "subject").write_bytes(subject)
        (tmp_path / "k.pub").write_text(signer.public_pem)
        files = ["--key", "k.pub", "--bundle", "bundle.json", "--type", said.predicate_type, "subject"]
        command = [cosign, "verify-blob-attestation", "--insecure-ignore-tlog=true", *files]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode == 0 and "Verified OK" in done.stderr

    assert accepts(b"subject", _SIGNER)
    assert not accepts(b"subject", KeySigner.generate())
    assert not accepts(b"another", _SIGNER)


def test_the_bundle_names_its_form_and_key() -> None:
    """What cosign and model-signing look at first."""
    value = json.loads(_BUNDLE)
    assert value["mediaType"] == BUNDLE_MEDIA_TYPE
    assert value["verificationMaterial"]["publicKey"]["hint"] == _SIGNER.key_id
