"""Contents: what is here of a version, and what is only known by its digest."""

from __future__ import annotations

from pathlib import Path

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.dir_store import DirStore
from registry.evidence import record
from registry.manifests import save_manifest
from registry.version import ModelVersion
from registry.version_contents import read_contents
from tests.simulators.history import evidence_of
from tests.simulators.keys import signer_and_trust
from tests.simulators.records import draft

SIGNER, TRUST = signer_and_trust()


def published(root: Path, files: dict[str, str]) -> tuple[DirStore, BlobStore, ModelVersion]:
    """A version of these files, its list in the store and its bytes in the blobs."""
    store, blobs, folder = DirStore(root / "store"), BlobStore(root / "blobs"), root / "files"
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    manifest = blobs.add_tree(folder)
    weights = {"weights_manifest": save_manifest(store, manifest), "weights_set": manifest.set_digest}
    return store, blobs, draft(**weights).numbered(1)


def test_configuration_is_read_and_weights_are_not(tmp_path: Path) -> None:
    """Only small files that say how the model behaves."""
    files = {"config.json": '{"layers": 2}', "chat_template.jinja": "{{ x }}", "model.safetensors": "bytes"}
    store, blobs, version = published(tmp_path, files)
    for evidence in evidence_of(version):
        record(store, SIGNER, evidence)
    contents = read_contents(store, blobs, TRUST, version)
    assert contents.files is not None
    assert [*contents.files.files] == sorted(files)
    assert contents.texts == {"config.json": '{"layers": 2}', "chat_template.jinja": "{{ x }}"}
    assert {e.kind for e in contents.evidence} >= {"fetch", "quality", "release", "rollout", "sbom"}


def test_what_was_collected_is_named(tmp_path: Path) -> None:
    """The record stays when the bytes went: that is no error."""
    store, blobs, version = published(tmp_path, {"config.json": "{}", "generation_config.json": '{"a": 1}'})
    blobs.path(Digest.of_bytes(b"{}")).unlink()
    contents = read_contents(store, blobs, TRUST, version)
    assert (contents.gone, [*contents.texts]) == (("config.json",), ["generation_config.json"])


def test_a_version_whose_list_is_not_here_has_no_files(tmp_path: Path) -> None:
    """A store may have been copied in part."""
    contents = read_contents(DirStore(tmp_path), BlobStore(tmp_path), TRUST, draft().numbered(1))
    assert (contents.files, contents.texts, contents.gone) == (None, {}, ())
