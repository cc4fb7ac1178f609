"""Signatures of weights: other people's verifier takes ours, and ours takes theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.bundle import seal
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.errors import InfrastructureError
from registry.evidence import Evidence, keep, list_bundles, list_evidence, read_evidence, record
from registry.manifest import Manifest, ManifestEntry
from registry.predicates import MODEL_SIGNING, WEIGHTS_SIGNATURE
from registry.signing import KeySigner
from registry.statement import Statement
from registry.weights_signature import root_digest, signed_set, weights_predicate
from tests.simulators.json_values import mangled
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import digest

_FILES = {"config.json": b"{}", "model.safetensors": b"w" * 999, "sub/a b.txt": b"x", "sub-x.json": b"y"}
_SIGNER, _TRUST = signer_and_trust("builder")

_PARTS = st.text("ab-./ ", min_size=1, max_size=3).filter(lambda part: part.strip("./") == part)
_PATHS = st.lists(_PARTS, min_size=1, max_size=3).map("/".join)
_ENTRIES = st.builds(ManifestEntry, st.binary(max_size=2).map(Digest.of_bytes), st.integers(0, 9))


def _manifest(folder: Path) -> Manifest:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return Manifest({n: ManifestEntry(Digest.of_file(p), p.stat().st_size) for n, p in found.items()})


def _cli(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "model_signing", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A small folder of weights."""
    for name, content in _FILES.items():
        (tmp_path / "weights" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "weights" / name).write_bytes(content)
    return tmp_path / "weights"


@pytest.fixture
def verify(tmp_path: Path, weights: Path) -> Callable[[str], tuple[int, str]]:
    """Signs the weights with our key as our evidence does; verifies with the public command line."""
    store = DirStore(tmp_path / "store")
    manifest = _manifest(weights)
    facts = weights_predicate(manifest)
    record(store, _SIGNER, Evidence(kind=WEIGHTS_SIGNATURE, subject=manifest.set_digest, facts=facts))
    (bundle,) = list_bundles(store, manifest.set_digest).values()
    (tmp_path / "model.sig").write_bytes(bundle)

    def run(public_pem: str) -> tuple[int, str]:
        (tmp_path / "k.pub").write_text(public_pem)
        keys = ("--public_key", tmp_path / "k.pub", "--signature", tmp_path / "model.sig")
        done = _cli("verify", "key", *keys, weights)
        return done.returncode, done.stdout + done.stderr

    return run


def _add(weights: Path) -> None:
    (weights / "extra.json").write_text("{}")


def _change(weights: Path) -> None:
    (weights / "model.safetensors").write_bytes(b"w" * 998 + b"v")


def _remove(weights: Path) -> None:
    (weights / "sub" / "a b.txt").unlink()


def test_the_public_command_line_verifies_our_signature(verify: Callable[[str], tuple[int, str]]) -> None:
    """Though no byte of the weights was read to make it."""
    code, told = verify(_SIGNER.public_pem)
    assert (code, "Verification succeeded" in told) == (0, True), told


@pytest.mark.parametrize(
    ("harm", "told"),
    [(_change, "Hash mismatch"), (_add, "Extra files"), (_remove, "Missing files")],
    ids=["changed byte", "extra file", "missing file"],
)
def test_it_refuses_other_weights(
    verify: Callable[[str], tuple[int, str]], weights: Path, harm: Callable[[Path], None], told: str
) -> None:
    """Our signature says as much as one of its own."""
    harm(weights)
    code, said = verify(_SIGNER.public_pem)
    assert (code, told in said) == (1, True), said


def test_it_refuses_another_key(verify: Callable[[str], tuple[int, str]]) -> None:
    """Named in the bundle or not."""
    assert verify(KeySigner.generate().public_pem)[0] == 1


def test_a_signature_made_by_the_public_command_line_counts(tmp_path: Path, weights: Path) -> None:
    """Kept as it is, under the weights it lists, and the same as ours in everything but the model's name."""
    (tmp_path / "k.pem").write_bytes(_SIGNER.to_pem())
    done = _cli("sign", "key", "--private_key", tmp_path / "k.pem", "--signature", tmp_path / "s", weights)
    assert done.returncode == 0, done.stderr
    store, manifest = DirStore(tmp_path / "store"), _manifest(weights)
    keep(store, manifest.set_digest, (tmp_path / "s").read_bytes())
    (found,) = list_evidence(store, manifest.set_digest, _TRUST)
    assert (found.kind, found.signer, found.subject) == (WEIGHTS_SIGNATURE, "builder", manifest.set_digest)
    ours, theirs = weights_predicate(manifest), dict(found.facts)
    theirs["serialization"]["ignore_paths"].sort()  # a set, in their words
    assert theirs == ours


def test_a_signature_cannot_be_filed_under_other_weights(tmp_path: Path, weights: Path) -> None:
    """Neither made for them nor moved to them."""
    store, manifest = DirStore(tmp_path / "store"), _manifest(weights)
    facts = weights_predicate(manifest)
    with pytest.raises(ValueError, match="not the weights"):
        record(store, _SIGNER, Evidence(kind=WEIGHTS_SIGNATURE, subject=digest("other"), facts=facts))
    record(store, _SIGNER, Evidence(kind=WEIGHTS_SIGNATURE, subject=manifest.set_digest, facts=facts))
    (bundle,) = list_bundles(store, manifest.set_digest).values()
    keep(store, digest("other"), bundle)
    with pytest.raises(InfrastructureError, match="it speaks of"):
        list_evidence(store, digest("other"), _TRUST)


def test_a_root_digest_that_does_not_follow_from_the_files_is_refused() -> None:
    """As the public verifier refuses it: a list that was changed after its root was taken."""
    predicate = weights_predicate(Manifest({"a": ManifestEntry(digest("a"), 1)}))
    said = Statement(predicate_type=MODEL_SIGNING, subjects={"m": digest("a")}, predicate=predicate)
    with pytest.raises(ValueError, match="have the root digest"):
        read_evidence(seal(said, _SIGNER), _TRUST)


@given(st.dictionaries(_PATHS, _ENTRIES, min_size=1, max_size=6))
def test_the_set_digest_follows_from_what_is_signed(files: dict[str, ManifestEntry]) -> None:
    """In the order that the public tool lists files in."""
    try:
        manifest = Manifest(files)
    except ValueError:
        return
    predicate = weights_predicate(manifest)
    names = [resource["name"] for resource in predicate["resources"]]
    assert signed_set(predicate) == manifest.set_digest
    assert names == sorted(names, key=PurePosixPath)


_PREDICATE = weights_predicate(
    Manifest({name: ManifestEntry(Digest.of_bytes(content), 1) for name, content in _FILES.items()})
)


@settings(max_examples=300)
@given(mangled(_PREDICATE))
def test_a_mangled_signature_is_refused_or_speaks_of_what_it_lists(predicate: Any) -> None:
    """Only errors that the reader of evidence expects."""
    try:
        found = (signed_set(predicate), root_digest(predicate))
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    same = predicate["resources"] == _PREDICATE["resources"]
    assert (found == (signed_set(_PREDICATE), root_digest(_PREDICATE))) == same


@pytest.mark.parametrize(
    "change",
    [
        {"serialization": {**_PREDICATE["serialization"], "method": "shards"}},
        {"serialization": {**_PREDICATE["serialization"], "hash_type": "blake3"}},
        {"resources": [*_PREDICATE["resources"], _PREDICATE["resources"][0]]},
        {"resources": []},
        {"resources": [{**_PREDICATE["resources"][0], "name": "../up"}]},
        {"resources": [{**_PREDICATE["resources"][0], "algorithm": "blake2b"}]},
    ],
    ids=["shards", "blake3", "twice", "none", "outside", "blake2b"],
)
def test_what_does_not_name_whole_files_by_sha256_is_refused(change: dict[str, Any]) -> None:
    """Their other ways to hash say nothing about our digests."""
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        signed_set(json.loads(json.dumps({**_PREDICATE, **change})))
