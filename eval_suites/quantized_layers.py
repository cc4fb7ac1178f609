"""How quantized linear layers lie in safetensors: which tensors, of which type, shape and size. Pure.

Two formats: AWQ's GEMM layout, as autoawq writes it (input channels first, eight 4-bit numbers in an int32),
and compressed-tensors as llm-compressor does (output channels first). Both are what vLLM loads.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

from registry.safetensors import DTYPE_BYTES, Tensor

FLOATS = frozenset({"F16", "BF16", "F32"})
SCALES = ("scales", "weight_scale")
ZERO_POINTS = ("qzeros", "weight_zero_point")
PACKED = ("qweight", "weight_packed")
_INT_BITS = 32
_IN_BLOCK = re.compile(r"\.(?:layers|h|blocks)\.\d+\..*")
_PARTS = frozenset({*PACKED, *SCALES, *ZERO_POINTS, "weight", "weight_shape", "weight_g_idx"})
_OPTIONAL = frozenset({"weight_g_idx"})  # the order of channels, when GPTQ does not keep it


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How a recipe says weights are stored. ``group_size`` is None where a channel has one scale."""

    engine: str
    method: str
    bits: int
    group_size: int | None
    zero_point: bool

    @classmethod
    def of(cls, recipe: Mapping[str, Any]) -> Scheme:
        """The scheme of a recipe as it was recorded; raises KeyError for one of no engine."""
        return cls(
            engine=recipe["engine"],
            method=recipe.get("method", "awq"),
            bits=recipe["bits"],
            group_size=recipe.get("group_size"),
            zero_point=bool(recipe.get("zero_point")),
        )

    @property
    def is_gemm(self) -> bool:
        """Whether it is AWQ's own layout."""
        return self.engine == "autoawq"

    def __str__(self) -> str:
        return f"{self.method}, {self.bits} bits"


@dataclass(frozen=True)
class Part:
    """What a tensor of a layer has to be."""

    dtypes: frozenset[str]
    shape: tuple[int, ...]

    def fits(self, tensor: Tensor) -> bool:
        """Whether it is that."""
        return tensor.dtype in self.dtypes and tensor.shape == self.shape

    def __str__(self) -> str:
        return f"{'/'.join(sorted(self.dtypes))} {list(self.shape)}"


def expected_parts(scheme: Scheme, shape: tuple[int, int]) -> dict[str, Part]:
    """The tensors of a linear layer whose weight was of this shape: output channels, input channels."""
    outputs, inputs = shape
    if scheme.group_size is None:
        return {"weight": _part("I8", outputs, inputs), "weight_scale": Part(FLOATS, (outputs, 1))}
    groups, in_word = ceil(inputs / scheme.group_size), _INT_BITS // scheme.bits
    if scheme.is_gemm:
        return {
            "qweight": _part("I32", inputs, ceil(outputs / in_word)),
            "qzeros": _part("I32", groups, ceil(outputs / in_word)),
            "scales": Part(FLOATS, (groups, outputs)),
        }
    zero = {"weight_zero_point": _part("I32", ceil(outputs / in_word), groups)} if scheme.zero_point else {}
    return {
        "weight_packed": _part("I32", outputs, ceil(inputs / in_word)),
        "weight_scale": Part(FLOATS, (outputs, groups)),
        "weight_shape": _part("I64", 2),
        **zero,
    }


def expected_bytes(scheme: Scheme, shape: tuple[int, int], scale_bytes: int) -> int:
    """Bytes of those tensors, with scales of this many bytes each."""
    parts = expected_parts(scheme, shape)
    return sum(_bytes(part, scale_bytes) for part in parts.values())


def wrong_parts(scheme: Scheme, shape: tuple[int, int], found: Mapping[str, Tensor]) -> str:
    """What of a layer's tensors is not as it has to be, as half a sentence; empty when all is."""
    expected = expected_parts(scheme, shape)
    if not any(name in found for name in expected if name != "weight"):
        held = ", ".join(f"{name} {tensor.dtype}" for name, tensor in sorted(found.items()))
        return f"is not quantized (it has {held})" if found else "is not there"
    for name, part in expected.items():
        if name not in found:
            return f"has no {name}"
        if not part.fits(found[name]):
            return f"has a {name} of {found[name].dtype} {list(found[name].shape)} where {part} is needed"
    extra = sorted(found.keys() - expected.keys() - _OPTIONAL)
    return f"has a {extra[0]} that its format does not know" if extra else ""


def layers_of(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """The tensors a linear layer can have, by layer and by the last part of their names."""
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        layer, _, part = name.rpartition(".")
        if part in _PARTS:
            found.setdefault(layer, {})[part] = tensor
    return found


def is_quantized(parts: Mapping[str, Tensor]) -> bool:
    """Whether a layer's tensors are those of any quantized one."""
    return any(name in parts for name in (*PACKED, "weight_scale"))


def in_files(targets: Iterable[str], packed: Collection[str]) -> frozenset[str]:
    """An engine's targets by their names in the file, among layers that are quantized there.

    Libraries rename what stands before the decoder's blocks when they load a model, and rename it back.
    """
    wanted = frozenset(targets)
    tails = {layer: _tail(layer) for layer in packed if layer not in wanted}
    times = Counter(tails.values())
    renamed = {tail: layer for layer, tail in tails.items() if times[tail] == 1}
    return frozenset(t if t in packed else renamed.get(_tail(t), t) for t in wanted)


def _tail(layer: str) -> str:
    found = _IN_BLOCK.search(layer)
    return found[0] if found else layer


def elements(scheme: Scheme, parts: Mapping[str, Tensor]) -> int:
    """How many weights a layer holds, quantized or not."""
    if not is_quantized(parts):
        weight = parts.get("weight")
        return prod(weight.shape) if weight and len(weight.shape) == 2 else 0
    weights = (tensor for name, tensor in parts.items() if name in {*PACKED, "weight"})
    return sum(8 * tensor.size // scheme.bits for tensor in weights)


def size_of(parts: Iterable[Tensor]) -> int:
    """Bytes of all these tensors."""
    return sum(tensor.size for tensor in parts)


def _part(dtype: str, *shape: int) -> Part:
    return Part(frozenset({dtype}), shape)


def _bytes(part: Part, scale_bytes: int) -> int:
    count = 1
    for length in part.shape:
        count *= length
    return count * (scale_bytes if part.dtypes == FLOATS else DTYPE_BYTES[min(part.dtypes)])
