"""Blobs: one copy of each content on disk, and folders made of links to it."""

from __future__ import annotations

import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import InfrastructureError
from registry.manifest import Manifest


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """An empty blob store."""
    return BlobStore(tmp_path / "blobs")


def _model(folder: Path) -> Path:
    (folder / "sub").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "copy.safetensors").write_bytes(b"weights")
    (folder / "sub" / "config.json").write_bytes(b"{}")
    return folder


def _other_disk(tmp_path: Path) -> Path | None:
    shared = Path("/dev/shm")
    usable = shared.is_dir() and shared.stat().st_dev != tmp_path.stat().st_dev
    return Path(tempfile.mkdtemp(dir=shared)) if usable else None


def test_a_file_taken_in_shares_its_data(blobs: BlobStore, tmp_path: Path) -> None:
    """Weights are not copied: the blob and the file are one inode, readable by all."""
    file = tmp_path / "file"
    file.write_bytes(b"weights")
    file.chmod(0o600)
    digest = blobs.add_file(file)
    assert digest == Digest.of_bytes(b"weights")
    assert blobs.has(digest)
    assert blobs.path(digest).samefile(file)
    assert blobs.path(digest).stat().st_mode & 0o777 == 0o644
    with blobs.open(digest) as stream:
        assert stream.read() == b"weights"


def test_taking_in_the_same_content_again_changes_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    """The first file stays the blob."""
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
        digest = blobs.add_file(tmp_path / name)
    assert blobs.path(digest).samefile(tmp_path / "a")


def test_a_symbolic_link_brings_in_what_it_points_at(blobs: BlobStore, tmp_path: Path) -> None:
    """Hub caches are full of them."""
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / "link").symlink_to("real")
    path = blobs.path(blobs.add_file(tmp_path / "link"))
    assert not path.is_symlink()
    assert path.samefile(tmp_path / "real")


def test_a_file_on_another_disk_is_copied_whole(blobs: BlobStore, tmp_path: Path) -> None:
    """Where no link is possible there is a copy, and no temporary file is left."""
    folder = _other_disk(tmp_path)
    if folder is None:
        pytest.skip("there is no second file system to copy from")
    try:
        (folder / "file").write_bytes(b"far")
        path = blobs.path(blobs.add_file(folder / "file"))
        assert path.read_bytes() == b"far"
        assert [p.name for p in path.parent.iterdir()] == [path.name]
    finally:
        shutil.rmtree(folder)


def test_a_folder_goes_in_and_comes_out_the_same(blobs: BlobStore, tmp_path: Path) -> None:
    """A server can load the folder that comes out, and it takes no space."""
    source = _model(tmp_path / "work")
    manifest = blobs.add_tree(source)
    assert sorted(manifest.files) == ["copy.safetensors", "model.safetensors", "sub/config.json"]
    target = blobs.link_tree(manifest, tmp_path / "cache" / "weights")
    assert blobs.add_tree(target) == manifest
    digest = manifest.files["model.safetensors"].digest
    assert (target / "model.safetensors").samefile(blobs.path(digest))
    assert [path.name for path in target.parent.iterdir()] == ["weights"]


def test_only_chosen_files_are_taken_in(blobs: BlobStore, tmp_path: Path) -> None:
    """A work folder may hold more than the model."""
    manifest = blobs.add_tree(_model(tmp_path / "work"), ["sub/config.json"])
    assert list(manifest.files) == ["sub/config.json"]


def test_a_whole_folder_is_left_alone(blobs: BlobStore, tmp_path: Path) -> None:
    """A server may be reading from it."""
    manifest = blobs.add_tree(_model(tmp_path / "work"))
    before = blobs.link_tree(manifest, tmp_path / "out").stat().st_ino
    assert blobs.link_tree(manifest, tmp_path / "out").stat().st_ino == before


@pytest.mark.parametrize("damage", ["missing", "extra", "size", "a file"])
def test_a_folder_that_is_not_exactly_the_set_is_made_again(
    blobs: BlobStore, tmp_path: Path, damage: str
) -> None:
    """A file more could change what a server does as much as one less."""
    manifest = blobs.add_tree(_model(tmp_path / "work"))
    out = blobs.link_tree(manifest, tmp_path / "out")
    if damage == "extra":
        (out / "generation_config.json").write_text("{}")
    else:
        (out / "model.safetensors").unlink()
    if damage == "size":
        (out / "model.safetensors").write_bytes(b"short")
    if damage == "a file":
        shutil.rmtree(out)
        out.write_bytes(b"")
    blobs.link_tree(manifest, out)
    assert blobs.add_tree(out) == manifest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blobs", "out", "work"]


def test_many_can_make_the_same_folder_at_once(blobs: BlobStore, tmp_path: Path) -> None:
    """All of them find it whole afterwards."""
    manifest = blobs.add_tree(_model(tmp_path / "work"))
    with ThreadPoolExecutor(4) as pool:
        folders = list(pool.map(lambda _: blobs.link_tree(manifest, tmp_path / "out"), range(8)))
    assert all(blobs.add_tree(folder) == manifest for folder in folders)


def test_a_missing_blob_is_named_and_leaves_no_folder(blobs: BlobStore, tmp_path: Path) -> None:
    """A folder with a hole would only fail later, in a server."""
    manifest: Manifest = blobs.add_tree(_model(tmp_path / "work"))
    lost = manifest.files["sub/config.json"].digest
    blobs.path(lost).unlink()
    with pytest.raises(InfrastructureError, match=str(lost)):
        blobs.link_tree(manifest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _age(path: Path, seconds: float = 1000.0) -> float:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))
    return then


def test_a_claimed_blob_is_not_discarded(blobs: BlobStore, tmp_path: Path) -> None:
    """Whoever claims it after the collector began to look keeps it; taking it in again is a claim too."""
    (tmp_path / "file").write_bytes(b"weights")
    digest = blobs.add_file(tmp_path / "file")
    for claim in (lambda: blobs.claim([digest]), lambda: blobs.add_file(tmp_path / "file")):
        _age(blobs.path(digest))
        before = blobs.now()
        assert claim()
        assert blobs.discard(digest, before) == 0
        assert blobs.has(digest)


def test_a_claim_says_whether_everything_is_here(blobs: BlobStore, tmp_path: Path) -> None:
    """A result with a hole in it is no result."""
    (tmp_path / "file").write_bytes(b"weights")
    digest = blobs.add_file(tmp_path / "file")
    assert blobs.claim([digest])
    assert blobs.claim([])
    assert not blobs.claim([digest, Digest.of_bytes(b"absent")])


def test_bytes_are_free_with_the_last_link(blobs: BlobStore, tmp_path: Path) -> None:
    """A discarded blob that a folder still holds frees nothing; the folder then frees it all."""
    manifest = blobs.add_tree(_model(tmp_path / "work"))
    shutil.rmtree(tmp_path / "work")
    folder = blobs.link_tree(manifest, tmp_path / "out")
    later = blobs.now() + 10
    assert [blobs.discard(digest, later) for digest in list(blobs.digests())] == [0, 0]
    assert list(blobs.digests()) == []
    assert blobs.missing(manifest) == list(manifest.files)
    assert blobs.discard_tree(folder, later) == len(b"weights") + len(b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["blobs"]
    assert blobs.discard_tree(folder, later) == 0


def test_a_folder_that_was_asked_for_again_stays(blobs: BlobStore, tmp_path: Path) -> None:
    """So do its blobs; that other folders share a blob makes a folder no younger."""
    manifest = blobs.add_tree(_model(tmp_path / "work"))
    mine, other = tmp_path / "mine", tmp_path / "other"
    for path in (blobs.link_tree(manifest, mine), blobs.link_tree(manifest, other)):
        _age(path)
    before = blobs.now()
    blobs.link_tree(manifest, mine)
    assert blobs.discard_tree(mine, before) == 0
    assert blobs.discard_tree(other, before) == 0  # nothing became free, and yet
    assert mine.exists()
    assert not other.exists()
    assert all(blobs.discard(digest, before) == 0 for digest in blobs.digests())
    assert blobs.missing(manifest) == []
