"""The same model in every place that models come from, each with the faults such a place can have."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from images.layout_builder import build_image
from registry.blobs import BlobStore
from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.oci_layout import OciLayout
from registry.referrers import EMPTY_BLOB
from tests.simulators.hub import HubSimulator
from tests.simulators.oci_registry import RegistrySimulator
from tests.simulators.s3_servers import BUCKET, S3Server
from tests.simulators.weights import shard

WEIGHTS = "model.safetensors"


def model_files(seed: int = 1) -> dict[str, bytes]:
    """A small model; weights of a seed."""
    return {
        "config.json": json.dumps({"model_type": "llama"}).encode(),
        "tokenizer.json": b'{"version": "1.0"}',
        "merges.txt": b"",
        "LICENSE": b"Do what you like.",
        WEIGHTS: shard(3_000_000, seed=seed),
    }


@dataclass
class Place:
    """Where the model is, and what can be done to it there.

    ``put`` replaces a file behind the listing's back where the place lets that happen, ``remove`` takes one
    away; ``requests`` are those for files' bytes.
    """

    uri: str
    env: Mapping[str, str]
    put: Callable[[str, bytes], None]
    remove: Callable[[str], None]


@contextmanager
def in_a_folder(tmp: Path) -> Iterator[Place]:
    folder = tmp / "my model"
    folder.mkdir()
    for path, data in model_files().items():
        (folder / path).write_bytes(data)

    def put(path: str, data: bytes) -> None:
        (folder / path).write_bytes(data)

    yield Place(folder.as_uri(), {}, put, lambda path: (folder / path).unlink())


@contextmanager
def in_a_bucket(server: S3Server, prefix: str, via: str | None = None) -> Iterator[Place]:
    client = server.client()
    for path, data in model_files().items():
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path}", Body=data)
    env = server.environment | ({"AWS_ENDPOINT_URL_S3": via} if via else {})

    def put(path: str, data: bytes) -> None:
        client.put_object(Bucket=BUCKET, Key=f"{prefix}/{path}", Body=data)

    def remove(path: str) -> None:
        client.delete_object(Bucket=BUCKET, Key=f"{prefix}/{path}")

    yield Place(f"s3://{BUCKET}/{prefix}", env, put, remove)


@contextmanager
def on_a_hub() -> Iterator[Place]:
    with HubSimulator() as hub:
        hub.push("acme/tiny", model_files())

        def put(path: str, data: bytes) -> None:
            hub.served["acme/tiny", path] = data

        def remove(path: str) -> None:
            hub.drop("acme/tiny", hub.repositories["acme/tiny"].branches["main"])
            del path

        yield Place("hf://acme/tiny", {"HF_ENDPOINT": hub.endpoint}, put, remove)


@contextmanager
def in_a_registry(tmp: Path, *, as_image: bool) -> Iterator[Place]:
    """As a weights image of ours, or as an artifact of plain files."""
    with RegistrySimulator() as registry:
        name = "acme/tiny"
        blobs_of = push_image(registry, tmp, name) if as_image else push_artifact(registry, name)

        def put(path: str, data: bytes) -> None:
            key = (name, "blobs", str(blobs_of[path]))
            kept = registry.kept[key]
            start = kept.index(model_files()[path])
            registry.kept[key] = kept[:start] + data + kept[start + len(model_files()[path]) :]

        def remove(path: str) -> None:
            del registry.kept[name, "blobs", str(blobs_of[path])]

        env = {"DOCKER_CONFIG": str(tmp)}
        yield Place(f"oci://{registry.host}/{name}:v1", env, put, remove)


def push_image(registry: RegistrySimulator, tmp: Path, name: str) -> dict[str, Digest]:
    """Put the model there as Headgate packs it; returns the layer of each file."""
    folder, blobs = tmp / "packed", BlobStore(tmp / "image-blobs")
    folder.mkdir()
    for path, data in model_files().items():
        (folder / path).write_bytes(data)
    layout = OciLayout(tmp / "layout", blobs)
    manifest = blobs.add_tree(folder)
    image = build_image(layout, manifest, {}, "v1")
    parts = layout.contents(image.digest)
    for part in parts:
        with layout.open_blob(part.digest) as stream:
            registry.kept[name, "blobs", str(part.digest)] = stream.read()
    _tag(registry, name, layout.read(image.digest))
    return dict(zip(manifest.files, (layer.digest for layer in parts[1:]), strict=True))


def push_artifact(registry: RegistrySimulator, name: str, **more: Any) -> dict[str, Digest]:
    """Put the model there as ``oras push`` does; returns the blob of each file."""
    layers = []
    for path, data in model_files().items():
        digest = Digest.of_bytes(data)
        registry.kept[name, "blobs", str(digest)] = data
        kind = "application/vnd.oci.image.layer.v1.tar"
        title = {"org.opencontainers.image.title": path}
        layers.append(Descriptor(kind, digest, len(data), title).to_json())
    empty = Descriptor("application/vnd.oci.empty.v1+json", Digest.of_bytes(EMPTY_BLOB), len(EMPTY_BLOB))
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST_MEDIA_TYPE, "config": empty.to_json()}
    _tag(registry, name, canonical_json(manifest | {"layers": layers} | more))
    return {path: Digest.of_bytes(data) for path, data in model_files().items()}


def _tag(registry: RegistrySimulator, name: str, manifest: bytes) -> None:
    for reference in ("v1", str(Digest.of_bytes(manifest))):
        registry.kept[name, "manifests", reference] = manifest
