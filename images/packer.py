"""The bytes of a weights image: which files, as which layers, under which config. Pure and reproducible.

One uncompressed tar layer per file under ``/models/``: quantized weights do not compress, layers travel
in parallel, and every consumer of images (engines, Kubernetes image volumes, KServe) reads this shape.
No clock, owner or folder of the machine enters, so the same manifest gives the same digests anywhere.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from registry.descriptor import MANIFEST_MEDIA_TYPE, Descriptor
from registry.digest import Digest, canonical_json
from registry.errors import UsageError
from registry.file_layer import FileLayer
from registry.manifest import Manifest, ManifestEntry

CONFIG_MEDIA_TYPE = "application/vnd.oci.image.config.v1+json"
MODELS = "models"
MAX_FILES = 120  # container engines mount at most 127 layers; some are left for a base image
_CREATED = "1970-01-01T00:00:00Z"


def plan_layers(manifest: Manifest) -> dict[str, FileLayer]:
    """The layer of each file by its path in the image, sorted; UsageError for too many files or none."""
    count = len(manifest.files)
    if not count:
        raise UsageError("There are no files to put into an image", next_step="check the model's source")
    if count > MAX_FILES:
        raise UsageError(
            f"The model has {count} files, and an image takes at most {MAX_FILES}",
            why="each file is a layer, and container engines mount at most 127 layers",
            next_step="save the weights in fewer, larger shards (2 to 5 GB each)",
        )
    return {f"{MODELS}/{path}": file_layer(f"{MODELS}/{path}", e) for path, e in manifest.files.items()}


def file_layer(path_in_image: str, entry: ManifestEntry) -> FileLayer:
    """The layer that holds this file and the folders above it.

    GNU headers, because ustar ends at 8 GiB and some readers miss the size in a pax header.
    """
    folders = [str(folder) for folder in PurePosixPath(path_in_image).parents if str(folder) != "."]
    headers = [_header(folder, tarfile.DIRTYPE, 0o755, 0) for folder in reversed(folders)]
    headers.append(_header(path_in_image, tarfile.REGTYPE, 0o644, entry.size))
    return FileLayer(b"".join(headers), entry.digest, entry.size)


def image_labels(
    *, source_uri: str, source_commit: str, weights_set: Digest, serve: Digest, runtime: Digest
) -> dict[str, str]:
    """What the image says about its origin: standard OCI keys where there is one, our own where not."""
    return {
        "org.opencontainers.image.source": source_uri,
        "org.opencontainers.image.revision": source_commit,
        "headgate.weights-set": str(weights_set),
        "headgate.serve-config": str(serve),
        "headgate.runtime": str(runtime),
    }


def image_config(layers: Mapping[str, Descriptor], labels: Mapping[str, str]) -> bytes:
    """The image config for layers by path in the image. Layers are plain tars: a diff id is a digest."""
    history = [{"created": _CREATED, "created_by": f"headgate: add {path}"} for path in layers]
    return canonical_json(
        {
            "created": _CREATED,
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(labels)},
            "rootfs": {"type": "layers", "diff_ids": [str(layer.digest) for layer in layers.values()]},
            "history": history,
        }
    )


def image_manifest(config: Descriptor, layers: Sequence[Descriptor]) -> bytes:
    """The image manifest. No artifactType: with one, CRI-O takes the image for an artifact."""
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "config": config.to_json(),
        "layers": [layer.to_json() for layer in layers],
    }
    return canonical_json(manifest)


def _header(path: str, kind: bytes, mode: int, size: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.mode, info.size = kind, mode, size
    return info.tobuf(tarfile.GNU_FORMAT, encoding="utf-8", errors="strict")
