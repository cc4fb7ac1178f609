"""A tar layer that is a header, one file and an end mark: a value, and the stream of its bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from registry.blobs import BlobStore
from registry.digest import Digest
from registry.errors import InfrastructureError

LAYER_MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"
_BLOCK = 512
_END = bytes(2 * _BLOCK)  # two zero blocks end a tar archive


@dataclass(frozen=True)
class FileLayer:
    """The layer's parts: all header blocks, the blob that follows them, and the blob's size in bytes."""

    header: bytes
    blob: Digest
    blob_size: int

    @property
    def trailer(self) -> bytes:
        """Zeros up to a whole block, then the end of the archive."""
        return bytes(-self.blob_size % _BLOCK) + _END

    @property
    def size(self) -> int:
        """Bytes of the whole layer."""
        return len(self.header) + self.blob_size + len(self.trailer)

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values that ``from_json`` reads back."""
        header = base64.b64encode(self.header).decode()
        return {"header": header, "blob": str(self.blob), "blob_size": self.blob_size}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FileLayer:
        """Read a mapping written by ``to_json``; raises KeyError, TypeError or ValueError otherwise."""
        header = base64.b64decode(value["header"], validate=True)
        return cls(header, Digest.parse(value["blob"]), int(value["blob_size"]))


class LayerReader(io.RawIOBase):
    """The bytes of a layer, one part after the other; InfrastructureError when the blob's size is wrong."""

    def __init__(self, layer: FileLayer, blobs: BlobStore) -> None:
        super().__init__()
        blob = blobs.open(layer.blob)
        found = blob.seek(0, io.SEEK_END)
        blob.seek(0)
        if found != layer.blob_size:
            blob.close()
            raise InfrastructureError(
                f"Blob {layer.blob} has {found} bytes instead of {layer.blob_size}",
                why="a file that was handed in has been changed in place since",
                next_step=f"remove {blobs.path(layer.blob)} and release again from the source",
            )
        self._blob = blob
        self._parts: list[BinaryIO] = [io.BytesIO(layer.header), blob, io.BytesIO(layer.trailer)]

    def readable(self) -> bool:
        """Yes: that is all it can do."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer from the current part; 0 at the end of the layer."""
        view = memoryview(buffer)
        while self._parts:
            data = self._parts[0].read(len(view))
            if data:
                view[: len(data)] = data
                return len(data)
            self._parts.pop(0)
        return 0

    def close(self) -> None:
        """Close the blob."""
        self._blob.close()
        super().close()
