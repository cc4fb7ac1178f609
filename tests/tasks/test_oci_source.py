"""Models from image registries: our own images and artifacts of files, and what is neither."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from registry.blobs import BlobStore
from registry.descriptor import INDEX_MEDIA_TYPE, MANIFEST_MEDIA_TYPE
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, Refused, UsageError
from registry.manifest import Manifest
from registry.oci_client import OciClient, Repository
from tasks.download import download
from tasks.oci_source import OciSource
from tests.simulators.model_places import WEIGHTS, model_files, push_artifact, push_image
from tests.simulators.oci_registry import RegistrySimulator
from tests.simulators.registries import docker_registry

NAME = "acme/tiny"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def nothing(_message: str, _fraction: float | None) -> None:
    """Progress that nobody hears."""


@pytest.fixture
def registry() -> Iterator[RegistrySimulator]:
    with RegistrySimulator() as simulator:
        yield simulator


def source(host: str, tmp: Path, reference: str = ":v1") -> OciSource:
    return OciSource(f"oci://{host}/{NAME}{reference}", {"DOCKER_CONFIG": str(tmp)})


def fetched(found: OciSource, tmp: Path) -> Manifest:
    listing = found.resolve("main", nothing)
    return download(found, listing, tmp / "dest", BlobStore(tmp / "blobs"), nothing).manifest


def test_a_real_registry_gives_ranges(registry: RegistrySimulator, tmp_path: Path) -> None:
    """Half of a file is gone on with, inside of its layer."""
    push_image(registry, tmp_path, NAME)
    with docker_registry(tmp_path) as host, OciClient(Repository.parse(f"{host}/{NAME}")) as client:
        for (_, kind, reference), data in sorted(registry.kept.items()):
            if kind == "blobs":
                client.put_blob(data)
            elif reference == "v1":
                client.put_manifest(data, "v1")
        got = bytearray()
        (layer,) = (Digest.of_bytes(d) for d in registry.kept.values() if len(d) > 1_000_000)
        client.read_blob(layer, 2_000_000, 2_000_010, got.extend)
        assert bytes(got) == registry.kept[NAME, "blobs", str(layer)][2_000_000:2_000_010]
        assert set(fetched(source(host, tmp_path), tmp_path).files) == set(model_files())


def test_a_digest_in_the_address_is_what_is_taken(registry: RegistrySimulator, tmp_path: Path) -> None:
    """Whatever the tag points at by then."""
    push_artifact(registry, NAME)
    pinned = Digest.of_bytes(registry.kept[NAME, "manifests", "v1"])
    push_artifact(registry, NAME, annotations={"a": "b"})
    assert source(registry.host, tmp_path, f"@{pinned}").resolve("main", nothing).commit == str(pinned)
    moved = source(registry.host, tmp_path).resolve("main", nothing).commit
    assert moved != str(pinned)
    with pytest.raises(UsageError, match="is not what the release is pinned to"):
        source(registry.host, tmp_path).resolve(str(pinned), nothing)


def test_an_index_of_one_image_is_that_image(registry: RegistrySimulator, tmp_path: Path) -> None:
    """Build tools write such; what they attest beside it is passed over. Of two, one has to be named."""
    push_artifact(registry, NAME)
    manifest = registry.kept[NAME, "manifests", "v1"]
    entry = {
        "mediaType": MANIFEST_MEDIA_TYPE,
        "digest": str(Digest.of_bytes(manifest)),
        "size": len(manifest),
    }
    attested = {**entry, "platform": {"os": "unknown", "architecture": "unknown"}}
    tag(registry, {"mediaType": INDEX_MEDIA_TYPE, "manifests": [entry, attested]})
    assert source(registry.host, tmp_path).resolve("main", nothing).commit == entry["digest"]
    tag(registry, {"mediaType": INDEX_MEDIA_TYPE, "manifests": [entry, entry]})
    with pytest.raises(UsageError, match="a list of 2 images"):
        source(registry.host, tmp_path).resolve("main", nothing)


def tag(registry: RegistrySimulator, manifest: dict[str, Any]) -> None:
    registry.kept[NAME, "manifests", "v1"] = canonical_json({"schemaVersion": 2, **manifest})


def tar_of(*files: str, folders: tuple[str, ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:") as tar:
        for name in folders:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
        for name in files:
            info = tarfile.TarInfo(name)
            info.size = 20_000
            tar.addfile(info, io.BytesIO(bytes(20_000)))
    return out.getvalue()


@pytest.mark.parametrize(
    ("kind", "layer", "annotations", "words"),
    [
        (f"{LAYER}+gzip", b"x", {}, "is a application/vnd.oci.image.layer.v1.tar+gzip"),
        ("application/vnd.cncf.model.weight.v1.tar+gzip", b"x", {"org.cncf.model.filepath": "a"}, "tar+gzip"),
        (
            LAYER,
            b"",
            {"org.opencontainers.image.title": "m", "io.deis.oras.content.unpack": "true"},
            "packed folder",
        ),
        (LAYER, tar_of("models/a", "models/b"), {}, "does not hold one file alone"),
        (LAYER, tar_of(folders=("models",)), {}, "does not hold one file alone"),
        (LAYER, b"no tar" * 100, {}, "does not hold one file alone"),
        (LAYER, b"", {}, "does not hold one file alone"),
        ("application/octet-stream", b"x", {}, "is a application/octet-stream"),
    ],
)
def test_what_holds_no_files_as_we_take_them(
    registry: RegistrySimulator,
    tmp_path: Path,
    kind: str,
    layer: bytes,
    annotations: dict[str, str],
    words: str,
) -> None:
    """Each says what it is, and what would do."""
    digest = Digest.of_bytes(layer)
    registry.kept[NAME, "blobs", str(digest)] = layer
    described = {"mediaType": kind, "digest": str(digest), "size": len(layer), "annotations": annotations}
    tag(registry, {"mediaType": MANIFEST_MEDIA_TYPE, "config": described, "layers": [described]})
    with pytest.raises(UsageError, match="holds no model that can be taken") as caught:
        source(registry.host, tmp_path).resolve("main", nothing)
    assert words in str(caught.value)


def test_a_path_out_of_the_folder_is_refused(registry: RegistrySimulator, tmp_path: Path) -> None:
    """A title may say anything."""
    push_artifact(registry, NAME)
    manifest = json.loads(registry.kept[NAME, "manifests", "v1"])
    manifest["layers"][0]["annotations"]["org.opencontainers.image.title"] = "../evil.json"
    tag(registry, manifest)
    with pytest.raises(Refused, match=r"\.\./evil\.json"):
        fetched(source(registry.host, tmp_path), tmp_path)


def test_a_registry_that_wants_a_password(registry: RegistrySimulator, tmp_path: Path) -> None:
    """It says which command gives one."""
    push_artifact(registry, NAME)
    registry.password = ("ada", "secret")
    with pytest.raises(UsageError) as caught:
        fetched(source(registry.host, tmp_path), tmp_path)
    assert "docker login" in caught.value.next_step
    assert "may read there" in caught.value.next_step


def test_a_busy_registry_is_asked_again(registry: RegistrySimulator, tmp_path: Path) -> None:
    """While a layer is read too."""
    push_image(registry, tmp_path, NAME)
    found = source(registry.host, tmp_path)
    listing = found.resolve("main", nothing)
    registry.busy = 2
    files = download(found, listing, tmp_path / "dest", BlobStore(tmp_path / "blobs"), nothing).manifest
    assert WEIGHTS in files.files


def test_a_registry_that_stays_busy_is_said(
    registry: RegistrySimulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as a model that is damaged."""
    monkeypatch.setattr("registry.oci_client._WAITS", (0.0, 0.0))
    push_image(registry, tmp_path, NAME)
    found = source(registry.host, tmp_path)
    listing = found.resolve("main", nothing)
    registry.busy = 10_000
    with pytest.raises(InfrastructureError, match="503"):
        download(found, listing, tmp_path / "dest", BlobStore(tmp_path / "blobs"), nothing)
