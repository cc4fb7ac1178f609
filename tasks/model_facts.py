"""What a model's files say about it, read from its blobs: the configuration, and every tensor's header."""

from __future__ import annotations

import json

from registry.admission import CONFIG, is_weights
from registry.blobs import BlobStore
from registry.errors import Refused
from registry.manifest import Manifest
from registry.safetensors import Tensor, read_header
from tasks.engine_limits import Model


def model_of(blobs: BlobStore, manifest: Manifest) -> Model:
    """Reads config.json and headers, no tensor. Raises Refused for a file that is not what its name says."""
    tensors: dict[str, Tensor] = {}
    try:
        with blobs.open(manifest.files[CONFIG].digest) as file:
            config = json.load(file)
        for path, entry in manifest.files.items():
            if is_weights(path):
                with blobs.open(entry.digest) as file:
                    tensors |= read_header(file, entry.size).tensors
    except (KeyError, ValueError) as problem:
        raise Refused(
            "The model's files cannot be read", why=str(problem), next_step="fetch it again"
        ) from None
    return Model(config, tensors)
