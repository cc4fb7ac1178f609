"""Lists of files in a store: kept under their digest, and damage is never taken for a list."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.digest import Digest
from registry.dir_store import DirStore
from registry.errors import InfrastructureError
from registry.manifest import Manifest, ManifestEntry
from registry.manifests import load_manifest, manifest_key, read_manifest, save_manifest

MANIFEST = Manifest({"config.json": ManifestEntry(Digest.of_bytes(b"{}"), 2)})


@pytest.fixture
def store(tmp_path: Path) -> DirStore:
    """An empty store."""
    return DirStore(tmp_path)


def test_what_is_saved_is_read_back(store: DirStore) -> None:
    """Under one digest, once however often; the empty list too."""
    digest = save_manifest(store, MANIFEST)
    assert save_manifest(store, MANIFEST) == digest
    assert list(store.list("manifests/")) == [manifest_key(digest)]
    assert read_manifest(store, digest) == load_manifest(store, digest) == MANIFEST
    assert load_manifest(store, save_manifest(store, Manifest({}))) == Manifest({})


def test_what_is_not_there_is_none_or_an_error(store: DirStore) -> None:
    """A store may have been copied in part; who needs the list says so."""
    digest = Digest.of_bytes(b"elsewhere")
    assert read_manifest(store, digest) is None
    with pytest.raises(InfrastructureError, match=r"list of files .* is missing.*Next: restore"):
        load_manifest(store, digest)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"files": {"a": 1}}', b'{"files": {}}', b"\xff"])
def test_a_changed_list_is_damage(store: DirStore, data: bytes) -> None:
    """Its name is the digest of its content."""
    digest = Digest.of_bytes(b"the real list")
    store.put_if_absent(manifest_key(digest), data)
    for read in (read_manifest, load_manifest):
        with pytest.raises(InfrastructureError, match=r"list of files .* is damaged"):
            read(store, digest)


def test_a_list_that_is_no_list_is_damage_even_under_its_own_digest(store: DirStore) -> None:
    """Whoever wrote it."""
    digest = Digest.of_bytes(b"[]")
    store.put_if_absent(manifest_key(digest), b"[]")
    with pytest.raises(InfrastructureError, match="damaged"):
        read_manifest(store, digest)
