"""Small safetensors files, made without the library."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping


def safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    """A file of these tensors: type, shape and bytes by name."""
    header: dict[str, object] = {}
    end = 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(data for _, _, data in tensors.values())


def shard(size: int, seed: int | None = None) -> bytes:
    """One tensor of this many bytes: zeros, or those of a seed."""
    data = bytes(size) if seed is None else random.Random(seed).randbytes(size)
    return safetensors({f"t{size}-{seed}": ("U8", (size,), data)})
