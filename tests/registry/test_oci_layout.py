"""The image layout: valid to other tools, safe with many writers, and no second copy of weights."""

from __future__ import annotations

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.blobs import BlobStore
from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest
from registry.errors import InfrastructureError, UsageError
from registry.file_layer import FileLayer, LayerReader
from registry.oci_layout import OciLayout
from registry.referrers import bundle_manifest, fallback_tag
from tests.simulators.images import CONFIG, bundle, image
from tests.simulators.keys import signer_and_trust


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """An empty blob store."""
    return BlobStore(tmp_path / "blobs")


@pytest.fixture
def layout(tmp_path: Path, blobs: BlobStore) -> OciLayout:
    """An empty layout beside the blobs."""
    return OciLayout(tmp_path / "oci", blobs)


def _layer(blobs: BlobStore, folder: Path, content: bytes, name: str = "models/file") -> FileLayer:
    (folder / "content").write_bytes(content)
    digest = blobs.add_file(folder / "content")
    (folder / "content").unlink()
    info = tarfile.TarInfo(name)
    info.size = len(content)
    return FileLayer(info.tobuf(tarfile.GNU_FORMAT), digest, len(content))


def _manifest(config: Descriptor, *layers: Descriptor) -> bytes:
    return json.dumps({"config": config.to_json(), "layers": [layer.to_json() for layer in layers]}).encode()


@given(content=st.binary(max_size=1100) | st.integers(0, 3).map(lambda n: bytes(512 * n)))
def test_a_layer_of_any_size_is_a_tar_of_that_file(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """Padding is right at and around every block's end."""
    folder = tmp_path_factory.mktemp("layer", numbered=True)
    layer = _layer(BlobStore(folder / "blobs"), folder, content)
    with LayerReader(layer, BlobStore(folder / "blobs")) as reader:
        data = reader.readall()
    assert len(data) == layer.size
    assert len(data) % 512 == 0
    assert data.endswith(bytes(1024))
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        member = archive.extractfile("models/file")
        assert member
        assert member.read() == content
    assert FileLayer.from_json(layer.to_json()) == layer


def test_a_layer_is_streamed_from_its_blob(layout: OciLayout, blobs: BlobStore, tmp_path: Path) -> None:
    """Its bytes have the digest and size of its descriptor, and take a thousandth of the space."""
    heard: list[int] = []
    content = bytes(range(256)) * 8192
    descriptor = layout.put_file_layer(_layer(blobs, tmp_path, content), heard.append)
    with layout.open_blob(descriptor.digest) as stream:
        data = stream.read()
    assert Digest.of_bytes(data) == descriptor.digest
    assert len(data) == descriptor.size == sum(heard)
    assert layout.has(descriptor.digest)
    assert sum(f.stat().st_size for f in (tmp_path / "oci").rglob("*") if f.is_file()) < 2000


def test_the_layout_is_one_other_tools_read(layout: OciLayout, tmp_path: Path) -> None:
    """Marker file, index, and blobs where the image layout specification has them."""
    config = layout.put_blob(b"{}", "application/vnd.oci.image.config.v1+json")
    manifest = layout.put_manifest(_manifest(config))
    layout.tag("tiny/3", manifest)
    assert json.loads((tmp_path / "oci/oci-layout").read_bytes()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((tmp_path / "oci/index.json").read_bytes())
    assert index["schemaVersion"] == 2
    assert index["mediaType"] == "application/vnd.oci.image.index.v1+json"
    annotations = {"org.opencontainers.image.ref.name": "tiny/3"}
    assert index["manifests"] == [{**manifest.to_json(), "annotations": annotations}]
    for blob in (config, manifest):
        assert (tmp_path / "oci/blobs/sha256" / blob.digest.hex).stat().st_size == blob.size
    assert layout.resolve("tiny/3") == manifest
    assert layout.contents(manifest.digest) == [config]


def test_a_tag_moves_and_foreign_entries_stay(layout: OciLayout, tmp_path: Path) -> None:
    """Another tool's images in the same layout are not lost."""
    first, second = layout.put_blob(b"1", "t"), layout.put_blob(b"2", "t")
    layout.tag("x", first)
    index = json.loads((tmp_path / "oci/index.json").read_bytes())
    foreign = {**first.to_json(), "platform": {"os": "linux", "architecture": "arm64"}}
    index["manifests"].append(foreign)
    (tmp_path / "oci/index.json").write_text(json.dumps(index))
    layout.tag("x", second)
    assert layout.resolve("x") == second
    assert foreign in json.loads((tmp_path / "oci/index.json").read_bytes())["manifests"]
    assert layout.resolve("y") is None


def test_tags_written_at_once_are_all_kept(layout: OciLayout) -> None:
    """Read, change, write is one step."""
    images = [layout.put_blob(str(n).encode(), "t") for n in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: layout.tag(f"tiny/{n}", images[n]), range(12)))
    assert [layout.resolve(f"tiny/{n}") for n in range(12)] == images


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/", "a//b", "é", "a\n"])
def test_a_name_that_is_no_tag_is_refused(layout: OciLayout, name: str) -> None:
    """The grammar is the specification's."""
    with pytest.raises(UsageError, match="cannot be an image tag"):
        layout.tag(name, layout.put_blob(b"1", "t"))


def test_a_manifest_waits_for_its_parts(layout: OciLayout, blobs: BlobStore, tmp_path: Path) -> None:
    """Whoever finds a manifest finds everything it names, so a build that died shows no image."""
    config = layout.put_blob(b"{}", "t")
    layer = _layer(blobs, tmp_path, b"weights")
    descriptor = layout.put_file_layer(layer)
    assert layout.put_manifest(_manifest(config, descriptor))
    blobs.path(layer.blob).unlink()
    with pytest.raises(InfrastructureError, match=f"{descriptor.digest} is missing"):
        layout.put_manifest(_manifest(config, descriptor))
    with pytest.raises(InfrastructureError, match="is missing"):
        layout.open_blob(descriptor.digest)


def test_a_damaged_layer_record_counts_as_missing(
    layout: OciLayout, blobs: BlobStore, tmp_path: Path
) -> None:
    """And building the layer again mends it."""
    layer = _layer(blobs, tmp_path, b"weights")
    descriptor = layout.put_file_layer(layer)
    record = next((tmp_path / "oci/file-layers").rglob("*.json"))
    record.write_bytes(record.read_bytes()[:20])
    assert not layout.has(descriptor.digest)
    assert layout.put_file_layer(layer) == descriptor
    assert layout.has(descriptor.digest)


def test_a_blob_changed_in_place_is_noticed(layout: OciLayout, blobs: BlobStore, tmp_path: Path) -> None:
    """A layer of the wrong length would be a broken image."""
    layer = _layer(blobs, tmp_path, b"weights")
    blobs.path(layer.blob).write_bytes(b"other weights")
    with pytest.raises(InfrastructureError, match="13 bytes instead of 7"):
        layout.put_file_layer(layer)


@pytest.mark.parametrize("damage", ["", "[]", '{"manifests": [1]}', '{"manifests": [{}]}'])
def test_a_damaged_index_is_named(layout: OciLayout, tmp_path: Path, damage: str) -> None:
    """It is not written over: it may hold another tool's images."""
    layout.tag("x", layout.put_blob(b"1", "t"))
    (tmp_path / "oci/index.json").write_text(damage)
    with pytest.raises(InfrastructureError, match=r"index\.json cannot be read"):
        layout.tag("y", layout.put_blob(b"1", "t"))


def _image(layout: OciLayout) -> Digest:
    layout.put_blob(CONFIG, "application/vnd.oci.image.config.v1+json")
    manifest = layout.put_manifest(image())
    layout.tag("tiny/1", manifest)
    return manifest.digest


def test_evidence_lies_beside_its_image(layout: OciLayout) -> None:
    """Once however often it is attached, listed under the fallback tag as in a registry."""
    digest, (signer, _) = _image(layout), signer_and_trust()
    first, second = bundle(signer, digest), bundle(signer, digest, "scan")
    referrer = layout.put_referrer(digest, first)
    assert layout.put_referrer(digest, first) == referrer
    layout.put_referrer(digest, second)
    assert layout.bundles(digest) == {Digest.of_bytes(data): data for data in (first, second)}
    assert referrer in layout.referrers(digest)
    assert set(layout.tagged()) == {"tiny/1", fallback_tag(digest)}
    layout.tag("tiny/2", layout.tagged()["tiny/1"])
    assert len(layout.referrers(digest)) == 2


def test_a_referrer_is_the_same_in_a_layout_and_in_a_registry(layout: OciLayout) -> None:
    """So what one holds is known to be in the other."""
    digest, (signer, _) = _image(layout), signer_and_trust()
    data = bundle(signer, digest)
    subject = Descriptor(MANIFEST_MEDIA_TYPE, digest, len(image()))
    assert layout.put_referrer(digest, data).digest == Digest.of_bytes(bundle_manifest(subject, data))


def test_evidence_attached_at_once_is_all_kept(layout: OciLayout) -> None:
    """Read, change, write is one step."""
    digest, (signer, _) = _image(layout), signer_and_trust()
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda n: layout.put_referrer(digest, bundle(signer, digest, number=n)), range(12)))
    assert len(layout.bundles(digest)) == 12


def test_evidence_waits_for_its_image(layout: OciLayout) -> None:
    """And what is no signed statement is not attached."""
    signer, _ = signer_and_trust()
    nowhere = Digest.of_bytes(b"nowhere")
    with pytest.raises(InfrastructureError, match="is missing"):
        layout.put_referrer(nowhere, bundle(signer, nowhere))
    with pytest.raises(ValueError, match="not a signed statement"):
        layout.put_referrer(_image(layout), b"{}")
    assert layout.bundles(nowhere) == {}


@pytest.mark.parametrize("which", ["bundle", "manifest", "list"])
def test_damaged_evidence_is_named(layout: OciLayout, tmp_path: Path, which: str) -> None:
    """One flipped bit in any of its parts."""
    digest, (signer, _) = _image(layout), signer_and_trust()
    data = bundle(signer, digest)
    referrer = layout.put_referrer(digest, data)
    listed = layout.tagged()[fallback_tag(digest)]
    damaged = {"bundle": Digest.of_bytes(data), "manifest": referrer.digest, "list": listed.digest}[which]
    path = tmp_path / "oci/blobs/sha256" / damaged.hex
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InfrastructureError, match=f"{damaged} .* is damaged"):
        layout.bundles(digest)


def test_a_tag_is_taken_away(layout: OciLayout, tmp_path: Path) -> None:
    """What it pointed at stays for others; what is not there is no error."""
    digest = _image(layout)
    layout.tag("tiny/2", layout.tagged()["tiny/1"])
    layout.untag("tiny/1", "never/1")
    assert list(layout.tagged()) == ["tiny/2"]
    assert layout.has(digest)
    before = (tmp_path / "oci/index.json").stat().st_mtime_ns
    layout.untag("never/1")
    assert (tmp_path / "oci/index.json").stat().st_mtime_ns == before
