"""The blobs of an OCI image layout: kept, read, claimed and removed by their digests.

A weight layer is a tar of one file. Its bytes are a short header, the file, padding and an end mark, so
a small record of header and blob stands for it under ``file-layers/``, and reading the layer streams it
from the blob. The image layout specification allows this: a blob absent from ``blobs/`` is one that
another store holds. Tags and referrers are ``oci_layout``'s.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from registry.atomic import create_file, exclusive, explained, shared, write_file
from registry.blobs import BlobStore, changed, erase, touch
from registry.data_errors import worded
from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.errors import InfrastructureError
from registry.file_layer import LAYER_MEDIA_TYPE, FileLayer, LayerReader
from registry.remedy import put_anew

_READ_SIZE = 1 << 20
_LISTS = ("manifest", "index")  # words in the media types of what names other blobs, OCI's and Docker's


class LayoutBlobs:
    """The blobs of the layout under ``root``, with the weights in ``blobs``. Safe with many writers."""

    def __init__(self, root: Path, blobs: BlobStore) -> None:
        self._root = root
        self._blobs = blobs
        self._claims = root / ".claims"  # claims share this lock, removals have it alone: as in BlobStore

    def put_blob(self, data: bytes, media_type: str) -> Descriptor:
        """Keep these bytes, claimed as a blob of the ``BlobStore`` is."""
        digest = Digest.of_bytes(data)
        with shared(self._claims):
            if not create_file(self._blob_path(digest), data):
                touch(self._blob_path(digest))
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
        with shared(self._claims):
            write_file(self._layer_path(digest), canonical_json(layer.to_json()))
        return Descriptor(LAYER_MEDIA_TYPE, digest, layer.size)

    def put_manifest(self, data: bytes) -> Descriptor:
        """Keep an image manifest; whatever it names must be here already, or InfrastructureError."""
        manifest = json.loads(data)
        for part in map(Descriptor.from_json, (manifest["config"], *manifest["layers"])):
            if not self.claim(part):
                raise _missing(part.digest, self._root)
        return self.put_blob(data, MANIFEST_MEDIA_TYPE)

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
        return self.parts(Descriptor(MANIFEST_MEDIA_TYPE, manifest, 0))

    def streamed_from(self, layer: Digest) -> Digest | None:
        """The blob that ``open_blob`` reads a layer's file from, or None: the layer is kept whole."""
        kept = None if self._blob_path(layer).is_file() else self._file_layer(layer)
        return kept.blob if kept else None

    def file_of(self, digest: Digest) -> Path:
        """The file that a blob, or what a layer holds, is read from."""
        blob = self.streamed_from(digest)
        return self._blobs.path(blob) if blob else self._blob_path(digest)

    def read(self, digest: Digest) -> bytes:
        """A small blob, which is what its digest says."""
        with self.open_blob(digest) as stream:
            data = stream.read()
        if Digest.of_bytes(data) != digest:
            raise InfrastructureError(
                f"The blob {digest} of the image layout {self._root} is damaged",
                why=f"its content has the digest {Digest.of_bytes(data)}",
                next_step=put_anew(self._blob_path(digest)),
            )
        return data

    def claim(self, descriptor: Descriptor) -> bool:
        """Whether this and everything it is made of is here, weights included; then it stays.

        It stays as long as this run lives, or a record names it (``BlobStore.claim``).
        """
        digest = descriptor.digest
        with shared(self._claims):
            layer = self.streamed_from(digest)
            path = self._layer_path(digest) if layer else self._blob_path(digest)
            if not path.is_file() or (layer and not self._blobs.claim([layer])):
                return False
            touch(path)
        return all(self.claim(part) for part in self.parts(descriptor))

    def parts(self, descriptor: Descriptor) -> list[Descriptor]:
        """What a manifest or an index that is here is made of, another tool's too; nothing for other blobs.

        Raises InfrastructureError when it cannot be read.
        """
        if not any(word in descriptor.media_type for word in _LISTS):
            return []
        try:
            value = json.loads(self.read(descriptor.digest))
            listed = [value["config"]] if "config" in value else []
            for name in ("manifests", "layers", "blobs"):
                listed += value.get(name) or []
            return [Descriptor.from_json(part) for part in listed]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
            raise InfrastructureError(
                f"{descriptor.digest} of the image layout {self._root} cannot be read",
                why=f"it is no {descriptor.media_type} ({worded(problem)})",
                next_step="remove its entry from the layout's index.json, or put the image there again",
            ) from problem

    def kept(self) -> Iterator[tuple[Digest, Path]]:
        """Every file that holds a blob or stands for a layer, with the digest it is known by, in no order."""
        for folder in (self._root / "blobs" / "sha256", self._root / "file-layers" / "sha256"):
            for path in folder.iterdir() if folder.is_dir() else ():
                with contextlib.suppress(ValueError):
                    yield Digest(path.name.removesuffix(".json")), path

    def claimed(self, digest: Digest) -> float:
        """When a blob or layer was last claimed, in seconds since the epoch; 0 when it is not here."""
        paths = (self._blob_path(digest), self._layer_path(digest))
        return max((changed(path) for path in paths if path.is_file()), default=0.0)

    def discard(self, digest: Digest, before: float) -> int:
        """Remove a blob or a layer's record unless it was claimed at ``before`` or later.

        ``before`` is in seconds since the epoch; returns the bytes that became free.
        """
        with exclusive(self._claims), explained(self._root):
            paths = (self._blob_path(digest), self._layer_path(digest))
            return sum([erase(path) for path in paths if changed(path) < before])

    def _file_layer(self, digest: Digest) -> FileLayer | None:
        try:
            return FileLayer.from_json(json.loads(self._layer_path(digest).read_bytes()))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None  # a damaged record counts as absent: building the image writes it again

    def _blob_path(self, digest: Digest) -> Path:
        return self._root / "blobs" / "sha256" / digest.hex

    def _layer_path(self, digest: Digest) -> Path:
        return self._root / "file-layers" / "sha256" / f"{digest.hex}.json"


def _missing(digest: Digest, root: Path) -> InfrastructureError:
    return InfrastructureError(
        f"{digest} is missing from the image layout {root}",
        why="the image was not built completely, or its files were removed",
        next_step="release again: what is missing is built once more",
    )
