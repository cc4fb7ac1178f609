"""Weights images: reproducible to the bit, readable by tar, and within the limits of engines."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from images.layout_builder import build_image
from images.packer import MAX_FILES, file_layer, image_labels, plan_layers
from registry.blobs import BlobStore
from registry.descriptor import Descriptor
from registry.digest import Digest
from registry.errors import UsageError
from registry.manifest import Manifest, ManifestEntry
from registry.oci_layout import OciLayout
from tests.simulators.records import digest

_FILES = {"model.safetensors": b"w" * 700, "config.json": b"{}", "sub/deep/tokenizer.json": b""}
_LABELS = image_labels(
    source_uri="hf://acme/tiny",
    source_commit="a" * 40,
    weights_set=digest("weights"),
    serve=digest("serve"),
    runtime=digest("runtime"),
)


def _built(home: Path, mtime: int) -> tuple[OciLayout, Descriptor]:
    blobs, work = BlobStore(home / "blobs"), home / "work"
    for path, content in sorted(_FILES.items(), reverse=mtime % 2 == 0):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_bytes(content)
        os.utime(work / path, (mtime, mtime))
    layout = OciLayout(home / "oci", blobs)
    return layout, build_image(layout, blobs.add_tree(work), _LABELS, "tiny")


def _json(layout: OciLayout, blob: Digest) -> dict[str, object]:
    with layout.open_blob(blob) as stream:
        value: dict[str, object] = json.loads(stream.read())
    return value


def test_the_same_files_make_the_same_image_anywhere(tmp_path: Path) -> None:
    """Folder, order, time and a second build change nothing."""
    layout, first = _built(tmp_path / "one", mtime=1)
    _, second = _built(tmp_path / "two", mtime=2_000_000)
    _, again = _built(tmp_path / "one", mtime=3)
    assert first == second == again
    assert layout.resolve(f"tiny-{first.digest.short}") == first


def test_the_same_weights_served_otherwise_are_an_image_beside_the_first(tmp_path: Path) -> None:
    """Each keeps a tag: an image that none points at is garbage, and its version was one until now."""
    layout, first = _built(tmp_path, mtime=1)
    weights = BlobStore(tmp_path / "blobs").add_tree(tmp_path / "work")
    other = build_image(layout, weights, {**_LABELS, "serve": "otherwise"}, "tiny")
    assert sorted(map(str, (first.digest, other.digest))) == sorted(
        str(d.digest) for d in layout.tagged().values()
    )


def test_an_image_holds_the_files_under_models(tmp_path: Path) -> None:
    """Each layer opens with tar: plain files, mode 0644, root's, and their folders."""
    layout, image = _built(tmp_path, mtime=1)
    found: dict[str, bytes] = {}
    folders: set[str] = set()
    for layer in layout.contents(image.digest)[1:]:
        with tarfile.open(fileobj=layout.open_blob(layer.digest), mode="r|") as archive:
            for member in archive:
                assert (member.uid, member.gid, member.uname, member.mtime) == (0, 0, "", 0)
                assert member.mode == (0o755 if member.isdir() else 0o644)
                if content := archive.extractfile(member):
                    found[member.name] = content.read()
                else:
                    folders.add(member.name)
    assert found == {f"models/{path}": content for path, content in _FILES.items()}
    assert folders == {"models", "models/sub", "models/sub/deep"}


def test_config_and_manifest_say_what_consumers_read(tmp_path: Path) -> None:
    """Standard types, no artifact type, diff ids equal to digests, a fixed time, and the labels."""
    layout, image = _built(tmp_path, mtime=1)
    manifest = _json(layout, image.digest)
    config_blob, *layers = layout.contents(image.digest)
    config = _json(layout, config_blob.digest)
    assert manifest["mediaType"] == image.media_type == "application/vnd.oci.image.manifest.v1+json"
    assert "artifactType" not in manifest
    assert config_blob.media_type == "application/vnd.oci.image.config.v1+json"
    assert {layer.media_type for layer in layers} == {"application/vnd.oci.image.layer.v1.tar"}
    assert config["rootfs"] == {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers]}
    assert config["created"] == "1970-01-01T00:00:00Z"
    assert config["config"] == {"Labels": _LABELS}
    assert (config["os"], config["architecture"]) == ("linux", "amd64")


@pytest.mark.parametrize("path", ["models/" + "n" * 300, "models/" + "é" * 80, "models/a/" + "d/" * 60 + "f"])
def test_long_names_survive(path: str) -> None:
    """They need extra header blocks."""
    layer = file_layer(path, ManifestEntry(Digest.of_bytes(b""), 0))
    with tarfile.open(fileobj=io.BytesIO(layer.header + layer.trailer)) as archive:
        assert archive.getnames()[-1] == path


def test_a_file_over_eight_gigabytes_has_a_header() -> None:
    """One shard may be that large, and ustar headers end there."""
    size = 9 * 2**30
    layer = file_layer("models/big", ManifestEntry(Digest.of_bytes(b""), size))
    assert tarfile.TarInfo.frombuf(layer.header[-512:], "utf-8", "strict").size == size
    assert layer.size == 1024 + size + 1024


@pytest.mark.parametrize(
    ("count", "fits"), [(0, False), (1, True), (MAX_FILES, True), (MAX_FILES + 1, False)]
)
def test_engines_limit_the_number_of_files(count: int, fits: bool) -> None:
    """The message says what to do about it."""
    entry = ManifestEntry(Digest.of_bytes(b""), 0)
    manifest = Manifest({f"{n}.safetensors": entry for n in range(count)})
    if fits:
        assert len(plan_layers(manifest)) == count
    else:
        with pytest.raises(UsageError, match="Next: "):
            plan_layers(manifest)
