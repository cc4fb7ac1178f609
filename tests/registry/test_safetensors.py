"""Headers of safetensors: read like the format's own reader, and never trusted."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from registry.safetensors import DTYPE_BYTES, Header, Tensor, read_header, read_headers
from tests.simulators.weights import safetensors as made

NUMPY = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "uint16": "U16",
    "int16": "I16",
    "float16": "F16",
    "uint32": "U32",
    "int32": "I32",
    "float32": "F32",
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
}


def read(data: bytes) -> Header:
    """The header of a file with this content."""
    return read_header(io.BytesIO(data), len(data))


def framed(text: bytes, data: bytes = b"") -> bytes:
    """A file with this header."""
    return struct.pack("<Q", len(text)) + text + data


def test_a_header_says_what_is_where() -> None:
    """Types, shapes and places as they are in the file; a scalar has an empty shape."""
    header = read(
        made({"w": ("BF16", (2, 3), bytes(12)), "s": ("I64", (), bytes(8)), "e": ("F32", (0,), b"")})
    )
    assert header.tensors["w"] == Tensor("BF16", (2, 3), 0, 12)
    assert header.tensors["s"] == Tensor("I64", (), 12, 20)
    assert header.tensors["e"].size == 0


names = st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=1, max_size=20)
tensors = st.dictionaries(
    names.filter(lambda name: name != "__metadata__"),
    st.sampled_from(sorted(NUMPY)).flatmap(
        lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_side=3, min_side=0))
    ),
    max_size=6,
)


@given(tensors, st.dictionaries(names, names, max_size=3))
def test_what_the_formats_own_writer_writes_is_read_as_its_reader_does(
    values: dict[str, np.ndarray], metadata: dict[str, str]
) -> None:
    """Same names, types, shapes, metadata, and the very bytes."""
    values = {name: np.asarray(value) for name, value in values.items()}
    data = safetensors.numpy.save(values, metadata or None)
    header = read(data)
    assert dict(header.metadata) == metadata
    assert header.tensors.keys() == values.keys()
    for name, tensor in header.tensors.items():
        assert (tensor.dtype, tensor.shape) == (NUMPY[values[name].dtype.name], values[name].shape)
        found = data[header.data_start + tensor.begin : header.data_start + tensor.end]
        assert found == values[name].tobytes()


pieces = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 40) | st.text(max_size=3) | st.sampled_from([*DTYPE_BYTES]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["dtype", "shape", "data_offsets", "__metadata__", "a"]), inner)
    ),
    max_leaves=12,
)


@given(st.binary(max_size=60) | pieces.map(lambda value: framed(json.dumps(value).encode(), bytes(20))))
def test_whatever_the_bytes_there_is_a_header_or_a_reason(data: bytes) -> None:
    """Nothing but ValueError; and what passes here, the format's own reader takes too."""
    try:
        header = read(data)
    except ValueError:
        return
    assert {name for name, _ in safetensors.deserialize(data)} == header.tensors.keys()


@given(tensors.filter(bool), st.data())
def test_one_changed_byte_is_noticed_or_does_no_harm(
    values: dict[str, np.ndarray], choose: st.DataObject
) -> None:
    """A header that still passes covers the file exactly."""
    data = bytearray(safetensors.numpy.save({name: np.asarray(value) for name, value in values.items()}))
    at = choose.draw(st.integers(0, int.from_bytes(data[:8], "little") + 7))
    data[at] = choose.draw(st.integers(0, 255))
    try:
        header = read(bytes(data))
    except ValueError:
        return
    assert header.data_start + sum(tensor.size for tensor in header.tensors.values()) == len(data)


def test_a_huge_claim_is_not_believed_before_it_is_checked() -> None:
    """No memory is taken for a header, or a tensor, that the file cannot hold."""
    with pytest.raises(ValueError, match="at most 100000000"):
        read(struct.pack("<Q", 2**62))
    many = json.dumps({"a": {"dtype": "U8", "shape": [2**62] * 5000, "data_offsets": [0, 0]}}).encode()
    with pytest.raises(ValueError, match="64 bits"):
        read(framed(many))


def test_the_headers_of_shards_together(tmp_path: Path) -> None:
    """By tensor; an error names the file."""
    (tmp_path / "1").write_bytes(made({"a": ("U8", (1,), b"a")}))
    (tmp_path / "2").write_bytes(made({"b": ("U8", (1,), b"b")}))
    assert read_headers(tmp_path, ["1", "2"]).keys() == {"a", "b"}
    (tmp_path / "2").write_bytes(made({"a": ("U8", (1,), b"b")}))
    with pytest.raises(ValueError, match="2: the tensor a is in another file"):
        read_headers(tmp_path, ["1", "2"])
    (tmp_path / "2").write_bytes(b"")
    with pytest.raises(ValueError, match="2: it has 0 bytes"):
        read_headers(tmp_path, ["1", "2"])
