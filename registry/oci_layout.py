"""An OCI image layout on disk whose weight layers are not second copies of the weights.

A weight layer is a tar of one file. Its bytes are a short header, the file, padding and an end mark, so
a small record of header and blob stands for it under ``file-layers/``, and reading the layer streams it
from the blob. The image layout specification allows this: a blob absent from ``blobs/`` is one that
another store holds. Which files become layers, and what the config says, is left to ``images``.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from registry.atomic import create_file, exclusive, write_file
from registry.blobs import BlobStore
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError, UsageError
from registry.file_layer import LAYER_MEDIA_TYPE, FileLayer, LayerReader

INDEX_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
_REF_NAME = "org.opencontainers.image.ref.name"
# The grammar of that annotation, in the image specification's annotations page.
_TAG = re.compile(r"[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*(/[A-Za-z0-9]+(([-._:@+]|--)[A-Za-z0-9]+)*)*")
_READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Descriptor:
    """What OCI says about a blob: its type, digest and size in bytes."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The descriptor as OCI writes it."""
        plain = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        return plain | ({"annotations": dict(self.annotations)} if self.annotations else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Descriptor:
        """Read OCI's form; raises KeyError, TypeError or ValueError otherwise."""
        annotations = dict(value.get("annotations") or {})
        return cls(value["mediaType"], Digest.parse(value["digest"]), int(value["size"]), annotations)


class OciLayout:
    """The layout under ``root``, with the weights in ``blobs``. Safe with many writers."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self._root = root
        self._blobs = blobs

    def put_blob(self, data: bytes, media_type: str) -> Descriptor:
        """Keep these bytes."""
        digest = Digest.of_bytes(data)
        create_file(self._blob_path(digest), data)
        return Descriptor(media_type, digest, len(data))

    def put_file_layer(self, layer: FileLayer, on_bytes: Callable[[int], None] | None = None) -> Descriptor:
        """Keep a layer by reference to its blob, reading it once to know its digest.

        ``on_bytes`` hears how many bytes each step read. Raises InfrastructureError when the blob is missing.
        """
        hasher = hashlib.sha256()
        with LayerReader(layer, self._blobs) as stream:
            while chunk := stream.read(_READ_SIZE):
                hasher.update(chunk)
                if on_bytes:
                    on_bytes(len(chunk))
        digest = Digest(hasher.hexdigest())
        write_file(self._layer_path(digest), canonical_json(layer.to_json()))
        return Descriptor(LAYER_MEDIA_TYPE, digest, layer.size)

    def put_manifest(self, data: bytes) -> Descriptor:
        """Keep an image manifest; whatever it names must be here already, or InfrastructureError."""
        for part in _parts(json.loads(data)):
            if not self.has(part.digest):
                raise _missing(part.digest, self._root)
        return self.put_blob(data, MANIFEST_MEDIA_TYPE)

    def tag(self, name: str, descriptor: Descriptor) -> None:
        """Point a tag at a manifest, in place of what it pointed at; UsageError for a bad name."""
        if not _TAG.fullmatch(name):
            why = "a tag is words of letters and digits, joined by one of - . _ : @ + or /"
            raise UsageError(f"{name!r} cannot be an image tag", why=why, next_step="choose another name")
        entry = descriptor.to_json() | {"annotations": {_REF_NAME: name}}
        with exclusive(self._root / ".lock"):
            # Entries of other tools, tagged or not, are kept as they are.
            manifests = [other for other in self._entries() if _tag_of(other) != name]
            manifests = sorted([*manifests, entry], key=_entry_order)
            index = {"schemaVersion": 2, "mediaType": INDEX_MEDIA_TYPE, "manifests": manifests}
            create_file(self._root / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
            write_file(self._root / "index.json", canonical_json(index))

    def resolve(self, name: str) -> Descriptor | None:
        """The manifest a tag points at, or None."""
        found = (Descriptor.from_json(e) for e in self._entries() if _tag_of(e) == name)
        return next((replace(descriptor, annotations={}) for descriptor in found), None)

    def has(self, digest: Digest) -> bool:
        """Whether ``open_blob`` can read this."""
        if self._blob_path(digest).is_file():
            return True
        layer = self._file_layer(digest)
        return layer is not None and self._blobs.has(layer.blob)

    def open_blob(self, digest: Digest) -> BinaryIO:
        """The bytes of a config, manifest or layer, as a stream; InfrastructureError when it is not here."""
        path = self._blob_path(digest)
        if path.is_file():
            return path.open("rb")
        layer = self._file_layer(digest)
        if layer is None:
            raise _missing(digest, self._root)
        return io.BufferedReader(LayerReader(layer, self._blobs), _READ_SIZE)

    def contents(self, manifest: Digest) -> list[Descriptor]:
        """The config and then the layers of an image manifest, in order: what a push sends before it."""
        with self.open_blob(manifest) as stream:
            return _parts(json.loads(stream.read()))

    def _entries(self) -> list[dict[str, Any]]:
        path = self._root / "index.json"
        try:
            entries: list[dict[str, Any]] = json.loads(path.read_bytes())["manifests"]
            for entry in entries:
                Descriptor.from_json(entry)
            return entries
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError, AttributeError) as problem:
            why = f"it is not an OCI image index ({type(problem).__name__}: {problem})"
            next_step = "move it away and release again: the index is written anew from the blobs beside it"
            raise InfrastructureError(f"{path} cannot be read", why=why, next_step=next_step) from problem

    def _file_layer(self, digest: Digest) -> FileLayer | None:
        try:
            return FileLayer.from_json(json.loads(self._layer_path(digest).read_bytes()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # a damaged record counts as absent: building the image writes it again

    def _blob_path(self, digest: Digest) -> Path:
        return self._root / "blobs" / "sha256" / digest.hex

    def _layer_path(self, digest: Digest) -> Path:
        return self._root / "file-layers" / "sha256" / f"{digest.hex}.json"


def _parts(manifest: Mapping[str, Any]) -> list[Descriptor]:
    return [Descriptor.from_json(part) for part in (manifest["config"], *manifest["layers"])]


def _tag_of(entry: Mapping[str, Any]) -> str | None:
    tag: str | None = (entry.get("annotations") or {}).get(_REF_NAME)
    return tag


def _entry_order(entry: Mapping[str, Any]) -> tuple[str, str]:
    return _tag_of(entry) or "", entry["digest"]


def _missing(digest: Digest, root: Path) -> InfrastructureError:
    return InfrastructureError(
        f"{digest} is missing from the image layout {root}",
        why="the image was not built completely, or its files were removed",
        next_step="release again: what is missing is built once more",
    )
