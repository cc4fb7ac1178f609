"""The headers of safetensors files: which tensors a file holds, of which type and shape, and where.

A reader of its own, and stricter than the format's: it needs no torch, never allocates what a header
claims, and refuses whatever two readers could understand differently. Reads nothing but the header.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from registry.strict_json import read_strictly, shown

# Types of less than a byte (F4, F6) are not here: quantized weights come packed in integers.
DTYPE_BYTES: Mapping[str, int] = MappingProxyType(
    dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 1)
    | dict.fromkeys(("U16", "I16", "F16", "BF16"), 2)
    | dict.fromkeys(("U32", "I32", "F32"), 4)
    | dict.fromkeys(("U64", "I64", "F64", "C64"), 8)
)
"""Bytes of one element, by the format's name of the type."""

_LENGTH_BYTES = 8  # of the number in front of the header
_LARGEST_HEADER = 100_000_000  # bytes; the format's own limit
_LARGEST_COUNT = 2**63  # elements of a tensor; readers count in 64 bits
_METADATA = "__metadata__"
_KEYS = frozenset({"dtype", "shape", "data_offsets"})
_LONGEST_NAME = 1000  # characters


@dataclass(frozen=True)
class Tensor:
    """A tensor's type, shape, and where its bytes are, counted from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Its bytes."""
        return self.end - self.begin


@dataclass(frozen=True)
class Header:
    """The tensors of a file by name, its free-form metadata, and the offset in bytes where data begins."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    data_start: int


def read_header(file: BinaryIO, size: int) -> Header:
    """The header of the ``size`` bytes long file, read from its beginning.

    Raises ValueError, with the reason as half a sentence, unless its tensors fill the file exactly.
    """
    length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
    start = _LENGTH_BYTES + length
    if size < _LENGTH_BYTES:
        raise ValueError(f"it has {size} bytes, and the length of its header alone takes {_LENGTH_BYTES}")
    if length > _LARGEST_HEADER:
        raise ValueError(f"its header would have {length} bytes, and at most {_LARGEST_HEADER} are allowed")
    if start > size:
        raise ValueError(f"its header would have {length} bytes, and the file has {size}")
    content = _parse(file.read(length))
    metadata = _metadata(content.pop(_METADATA, {}))
    tensors = {name: _tensor(name, value) for name, value in content.items()}
    _refuse_gaps(tensors, size - start)
    return Header(MappingProxyType(tensors), MappingProxyType(metadata), start)


def read_headers(folder: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of all these files of a folder together, by name.

    Raises ValueError for a bad header, naming the file, and for a tensor that two files hold; OSError.
    """
    found: dict[str, Tensor] = {}
    for name in names:
        path = folder / name
        try:
            with path.open("rb") as file:
                tensors = read_header(file, path.stat().st_size).tensors
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        if twice := sorted(found.keys() & tensors.keys()):
            raise ValueError(f"{name}: the tensor {twice[0]} is in another file too")
        found |= tensors
    return found


def _parse(data: bytes) -> dict[str, Any]:
    if not data.startswith(b"{"):
        raise ValueError("its header does not begin with a brace")
    try:
        content: dict[str, Any] = read_strictly(data)
    except ValueError as error:
        raise ValueError(f"its header is not readable: {error}") from None
    return content


def _metadata(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise ValueError(f"its {_METADATA} are not texts by name")
    return value


def _tensor(name: str, value: Any) -> Tensor:
    if not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise ValueError(f"a tensor is called {shown(name)}, which is no name that can be printed")
    if not isinstance(value, dict) or value.keys() != _KEYS:
        raise ValueError(f"the tensor {name} is not described by {', '.join(sorted(_KEYS))} alone")
    dtype, shape, offsets = value["dtype"], _whole(value["shape"]), _whole(value["data_offsets"])
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        raise ValueError(f"the tensor {name} is of the type {shown(dtype)}, which is not known")
    if shape is None:
        raise ValueError(f"the tensor {name} has the shape {shown(value['shape'])}")
    if offsets is None or len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"the tensor {name} is said to lie at {shown(value['data_offsets'])}")
    tensor = Tensor(dtype, shape, *offsets)
    expected = _count(name, shape) * DTYPE_BYTES[dtype]
    if tensor.size != expected:
        raise ValueError(
            f"the tensor {name} has {tensor.size} bytes, and {dtype} of the shape {shown(list(shape))} "
            f"takes {expected}"
        )
    return tensor


def _whole(value: Any) -> tuple[int, ...] | None:
    """A list of numbers that are whole and fit 63 bits; None for anything else."""
    # By type and not by isinstance: true is an int, too.
    if isinstance(value, list) and all(type(n) is int and 0 <= n < _LARGEST_COUNT for n in value):
        return tuple(value)
    return None


def _count(name: str, shape: tuple[int, ...]) -> int:
    count = 1
    for length in shape:
        count *= length
        if count >= _LARGEST_COUNT:  # at each step: a product of many would grow without bounds
            raise ValueError(f"the tensor {name} has more elements than can be counted in 64 bits")
    return count


def _refuse_gaps(tensors: Mapping[str, Tensor], size: int) -> None:
    """Every byte after the header must belong to exactly one tensor."""
    end, previous = 0, ""
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.end > size:
            raise ValueError(f"the tensor {name} ends at byte {tensor.end} of {size}")
        if tensor.begin < end:
            raise ValueError(f"the tensors {previous} and {name} overlap")
        if tensor.begin > end:
            raise ValueError(f"{tensor.begin - end} bytes before the tensor {name} belong to none")
        end, previous = tensor.end, name
    if end != size:
        raise ValueError(f"{size - end} bytes at its end belong to no tensor")
