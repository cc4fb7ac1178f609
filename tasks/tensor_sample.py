"""Looks at some of the numbers in safetensors: NaN and infinity mean that a model was broken before it came.

A sample, so that a file of gigabytes takes a fraction of a second; the same file gives the same sample.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from registry.safetensors import DTYPE_BYTES, Header, Tensor

_TENSORS = 64  # of a file
_PIECES = 16  # of a tensor
_PIECE = 64 << 10  # bytes
# How NaN and infinity look in bits: the type to read them as, and what the masked bits are then.
_NO_NUMBER = {
    "F64": ("<u8", 0x7FF0_0000_0000_0000, 0x7FF0_0000_0000_0000),
    "F32": ("<u4", 0x7F80_0000, 0x7F80_0000),
    "C64": ("<u4", 0x7F80_0000, 0x7F80_0000),
    "F16": ("<u2", 0x7C00, 0x7C00),
    "BF16": ("<u2", 0x7F80, 0x7F80),
    "F8_E5M2": ("u1", 0x7C, 0x7C),
    "F8_E4M3": ("u1", 0x7F, 0x7F),
    "F8_E8M0": ("u1", 0xFF, 0xFF),
    "F8_E4M3FNUZ": ("u1", 0xFF, 0x80),
    "F8_E5M2FNUZ": ("u1", 0xFF, 0x80),
}


def refuse_no_numbers(file: BinaryIO, header: Header, seed: str) -> None:
    """Raises ValueError when a sampled tensor of floating-point numbers has NaN or infinity.

    Up to 64 tensors of a file are sampled, and up to 1 MiB of each.
    """
    chosen = random.Random(seed)  # noqa: S311 - a sample, no secret
    names = sorted(name for name, tensor in header.tensors.items() if tensor.dtype in _NO_NUMBER)
    for name in sorted(chosen.sample(names, min(len(names), _TENSORS))):
        tensor = header.tensors[name]
        kind, mask, value = _NO_NUMBER[tensor.dtype]
        for begin, end in _pieces(tensor, chosen):
            file.seek(header.data_start + begin)
            bits = np.frombuffer(file.read(end - begin), dtype=kind)
            if count := int(np.count_nonzero((bits & bits.dtype.type(mask)) == value)):
                raise ValueError(f"{count} of {bits.size} numbers looked at in {name} are NaN or infinite")


def _pieces(tensor: Tensor, chosen: random.Random) -> Iterator[tuple[int, int]]:
    """Begin and end of the parts to look at, in bytes of the data; a small tensor is one part."""
    if tensor.size <= _PIECES * _PIECE:
        yield tensor.begin, tensor.end
        return
    width = DTYPE_BYTES[tensor.dtype]
    for _ in range(_PIECES):
        begin = tensor.begin + chosen.randrange((tensor.size - _PIECE) // width + 1) * width
        yield begin, begin + _PIECE
