"""OCI's descriptor - type, digest and size of a blob - and the media types Headgate writes. Pure.

Source: the image specification v1.1, ``descriptor.md`` and ``media-types.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from registry.digest import Digest

INDEX_MEDIA_TYPE = "application/vnd.oci.image.index.v1+json"
MANIFEST_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
EMPTY_MEDIA_TYPE = "application/vnd.oci.empty.v1+json"


@dataclass(frozen=True)
class Descriptor:
    """What OCI says about a blob: its type, digest and size in bytes; of an artifact also what it holds."""

    media_type: str
    digest: Digest
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    def to_json(self) -> dict[str, Any]:
        """The descriptor as OCI writes it."""
        plain = {"mediaType": self.media_type, "digest": str(self.digest), "size": self.size}
        artifact = {"artifactType": self.artifact_type} if self.artifact_type else {}
        return plain | artifact | ({"annotations": dict(self.annotations)} if self.annotations else {})

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Descriptor:
        """Read OCI's form; raises KeyError, TypeError or ValueError otherwise."""
        annotations = dict(value.get("annotations") or {})
        digest, size = Digest.parse(value["digest"]), int(value["size"])
        return cls(value["mediaType"], digest, size, annotations, str(value.get("artifactType") or ""))
