"""Is every layer quantized that has to be, and nothing else changed? Judged from headers alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from math import prod
from typing import Any

from eval_suites.artefact import Artefact, is_spare, is_tied_head
from eval_suites.quantized_layers import (
    FLOATS,
    Scheme,
    elements,
    expected_bytes,
    in_files,
    is_quantized,
    layers_of,
    size_of,
    wrong_parts,
)
from eval_suites.sanity_finding import finding
from judging.verdict import Finding
from registry.safetensors import DTYPE_BYTES, Tensor

OTHER_TENSORS = "other tensors"
"""The finding on what no recipe is about: it is the same whichever is chosen."""

_ALLOWED_BYTES = 1.02  # of what the format takes: room for the order of channels, which GPTQ may add
_COVERED = 0.9  # of the weights that a recipe is about; an engine may know better of a few
# Tensors that one writer keeps and another leaves out, or AWQ adds: none holds what a model has learned.
_COMPUTED = (".rotary_emb.inv_freq", ".masked_bias", ".act.scales")
_MASKS = (".attn.bias", ".attention.bias")  # when they have four dimensions: then they are no biases
_EXPERTS = ".experts."


def judge_layers(
    scheme: Scheme,
    targets: Collection[str],
    expected: Mapping[str, Tensor],
    source: Artefact,
    made: Artefact,
) -> Iterator[Finding]:
    """The findings on tensors: what of them is there, how it lies, and how many bytes it takes."""
    packed = {layer for layer, parts in layers_of(made.tensors).items() if is_quantized(parts)}
    wanted = in_files(targets, packed)
    shapes = {layer: source.tensors[f"{layer}.weight"].shape for layer in wanted if _is_linear(layer, source)}
    layers = {layer: (shape[0], shape[1]) for layer, shape in shapes.items()}
    yield _coverage(scheme, wanted, expected, made)
    yield _layers(scheme, layers, wanted - layers.keys(), source, made)
    yield _bytes(scheme, layers, source, made)
    yield _others(wanted, packed, source, made)


def _is_linear(layer: str, source: Artefact) -> bool:
    weight = source.tensors.get(f"{layer}.weight")
    return weight is not None and len(weight.shape) == 2


def _coverage(
    scheme: Scheme, wanted: Collection[str], expected: Mapping[str, Tensor], made: Artefact
) -> Finding:
    """How much of what the recipe is about the engine set out to quantize."""
    found = {layer: parts for layer, parts in layers_of(made.tensors).items() if layer in wanted}
    apart = {m: min(1.0, _below(scheme, m, found) / size) for m, size in _fused(expected).items()}
    sizes = {name: prod(tensor.shape) for name, tensor in expected.items()}
    shares = {
        name: 1.0 if name.removesuffix(".weight") in wanted else apart.get(_module(name), 0.0)
        for name in expected
    }
    share = sum(sizes[name] * shares[name] for name in expected) / max(1, sum(sizes.values()))
    low = expected and share < _COVERED
    about = "the weights that the recipe is about (ignored layers do not count)"
    said = f"the engine quantized {share:.4f} of {about}, of {_COVERED} at least"
    problems = [f"it left out {name}" for name in sorted(expected) if low and shares[name] < 1.0]
    return finding("coverage", problems, said, said, candidate=share, bound=_COVERED)


def _layers(
    scheme: Scheme,
    layers: Mapping[str, tuple[int, int]],
    apart: Collection[str],
    source: Artefact,
    made: Artefact,
) -> Finding:
    """Every target has to be packed; ``apart`` are those that are no layer of their own in the source."""
    found, fused = layers_of(made.tensors), _fused(source.tensors)
    wrong = {layer: wrong_parts(scheme, shape, found.get(layer, {})) for layer, shape in layers.items()}
    wrong |= {layer: _wrong_expert(found.get(layer, {}), layer, tuple(fused)) for layer in apart}
    problems = [f"{layer} {reason}" for layer, reason in sorted(wrong.items()) if reason]
    problems += [
        f"{module} has {held} weights of {wanted}"
        for module, wanted in sorted(fused.items())
        if (held := _held(scheme, module, made)) != wanted
    ]
    total = len(wrong) + len(fused)
    return finding(
        "layers",
        problems,
        f"all {total} layers are quantized as the recipe says ({scheme})",
        f"{len(problems)} of {total} layers are not quantized as the recipe says ({scheme})",
        candidate=float(total - len(problems)),
        bound=float(total),
    )


def _wrong_expert(parts: Mapping[str, Tensor], layer: str, modules: tuple[str, ...]) -> str:
    if not layer.startswith(modules):
        return "is not in the source"
    return "" if is_quantized(parts) else "is not quantized"


def _bytes(
    scheme: Scheme, layers: Mapping[str, tuple[int, int]], source: Artefact, made: Artefact
) -> Finding:
    found = layers_of(made.tensors)
    before = sum(source.tensors[f"{layer}.weight"].size for layer in layers)
    after = sum(size_of(found.get(layer, {}).values()) for layer in layers)
    width = {layer: DTYPE_BYTES[source.tensors[f"{layer}.weight"].dtype] for layer in layers}
    wanted = sum(expected_bytes(scheme, shape, max(2, width[layer])) for layer, shape in layers.items())
    share, bound = after / max(before, 1), _ALLOWED_BYTES * wanted / max(before, 1)
    said = f"the quantized layers take {share:.4f} of their bytes before, and may take {bound:.4f}"
    problems = ["they were saved larger than quantized weights are"] if share > bound else []
    return finding("bytes", problems, said, said, baseline=1.0, candidate=share, bound=bound)


def _others(wanted: Collection[str], packed: Collection[str], source: Artefact, made: Artefact) -> Finding:
    """What is no target must be as it was: there, in its shape, and not quantized."""
    judged = {*wanted, *packed}
    problems = [f"{layer} is quantized and should not be" for layer in sorted(judged - set(wanted))]
    experts = tuple(_fused(source.tensors))
    before = _but(source.tensors, judged, experts)
    after = _but(made.tensors, judged, experts)
    one_sided = {n: before.get(n) or after[n] for n in sorted(before.keys() ^ after.keys())}
    problems += [
        f"{name} is {'lost' if name in before else 'new'}"
        for name, tensor in one_sided.items()
        if not _may_go(name, tensor, source.config)
    ]
    problems += [
        f"{name} was {_described(before[name])} and is {_described(after[name])}"
        for name in sorted(before.keys() & after.keys())
        if not _alike(before[name], after[name])
    ]
    return finding(OTHER_TENSORS, problems, f"all {len(before)} other tensors are there, unquantized")


def _but(
    tensors: Mapping[str, Tensor], layers: Collection[str], modules: tuple[str, ...]
) -> dict[str, Tensor]:
    """The tensors that belong neither to these layers nor to these modules."""
    own = {
        f"{layer}.{part}" for layer, parts in layers_of(tensors).items() if layer in layers for part in parts
    }
    return {name: t for name, t in tensors.items() if name not in own and not name.startswith(modules)}


def _fused(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Weights by module of experts that lie in one tensor; a quantizer takes them apart."""
    found: dict[str, int] = {}
    for name, tensor in tensors.items():
        if len(tensor.shape) == 3 and _EXPERTS in name and tensor.dtype in FLOATS:
            found[_module(name)] = found.get(_module(name), 0) + prod(tensor.shape)
    return found


def _module(name: str) -> str:
    before, experts, _ = name.partition(_EXPERTS)
    return before + experts


def _below(scheme: Scheme, module: str, layers: Mapping[str, Mapping[str, Tensor]]) -> int:
    return sum(elements(scheme, parts) for layer, parts in layers.items() if layer.startswith(module))


def _held(scheme: Scheme, module: str, made: Artefact) -> int:
    """How many weights a module of experts has, taken apart or not, quantized or not."""
    return _below(scheme, module, layers_of(made.tensors)) + _fused(made.tensors).get(module, 0)


def _may_go(name: str, tensor: Tensor, config: Mapping[str, Any]) -> bool:
    """Whether a tensor may be in one of the two alone: what is computed, tied to another, or spare."""
    mask = name.endswith(_MASKS) and len(tensor.shape) == 4
    return mask or name.endswith(_COMPUTED) or is_tied_head(name, config) or is_spare(name, config)


def _alike(before: Tensor, after: Tensor) -> bool:
    # Another type of the same kind is the quantizer's to choose: norms of float32 become float16.
    kinds = (before.dtype in FLOATS, after.dtype in FLOATS)
    return before.shape == after.shape and (kinds == (True, True) or before.dtype == after.dtype)


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"
