"""Is a quantized artefact what its recipe says, and otherwise its source? Judged from files alone. Pure.

Quantizers fail in ways that no loader reports: weights saved as they were (llm-compressor 1533, 1566), half
of the layers left out, a key of config.json changed (llm-compressor 81), generation_config.json dropped
(GPTQModel 1291). Each costs hours of evaluation, or shows only in users' answers. This takes seconds, and
runs before any server starts. What the artefact answers when served is ``sanity_answers``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from eval_suites.artefact import Artefact, differences, is_spare
from eval_suites.quantization_settings import wrong_settings
from eval_suites.quantized_layers import (
    FLOATS,
    SCALES,
    Scheme,
    elements,
    expected_bytes,
    is_quantized,
    layers_of,
    size_of,
    wrong_parts,
)
from eval_suites.tensor_values import Sample
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.safetensors import DTYPE_BYTES, Tensor

_QUANTIZATION = "quantization_config"
_ALLOWED_BYTES = 1.02  # of what the format takes: room for the order of channels, which GPTQ may add
_ZERO_SCALES = 0.01  # of a layer's: those of channels that are dead already underflow
_SHOWN = 3  # problems in a sentence
_READABLE = 0o004
# Tensors that one writer keeps and another leaves out, or AWQ adds: none holds what a model has learned.
_COMPUTED = (".rotary_emb.inv_freq", ".masked_bias", ".attn.bias", ".act.scales")
_TIED = "lm_head.weight"
_EXPERTS = ".experts."


def judge(
    scheme: Scheme,
    targets: Collection[str],
    source: Artefact,
    made: Artefact,
    samples: Mapping[str, Sample],
) -> Verdict:
    """The verdict on ``made``, which a recipe of this scheme made from ``source``.

    ``targets`` are the linear layers that the recipe is to quantize, by name; ``samples`` are of scales and
    of packed weights, by tensor name.
    """
    if not targets and not _fused(source.tensors):
        return Verdict.of([_nothing_to_do()])
    shapes = {layer: source.tensors[f"{layer}.weight"].shape for layer in targets}
    layers = {layer: (shape[0], shape[1]) for layer, shape in shapes.items()}
    return Verdict.of(
        [
            _layers(scheme, layers, source, made),
            _bytes(scheme, layers, source, made),
            _others(layers, source, made),
            _settings(scheme, made.config),
            *_numbers(samples),
            _config(source.config, made.config),
            _files(source, made),
            _modes(made.modes),
        ]
    )


def untouched() -> Verdict:
    """The verdict on weights that ship as they came."""
    said = "the weights are the source's own, which were looked into when they came in"
    return Verdict.of([_finding("files", [], said)])


def unreadable(reason: str) -> Verdict:
    """The verdict on an artefact whose files cannot be read at all."""
    return Verdict.of([_finding("weights", [reason], "")])


def _layers(
    scheme: Scheme, layers: Mapping[str, tuple[int, int]], source: Artefact, made: Artefact
) -> Finding:
    found = layers_of(made.tensors)
    wrong = {layer: wrong_parts(scheme, shape, found.get(layer, {})) for layer, shape in layers.items()}
    problems = [f"{layer} {reason}" for layer, reason in sorted(wrong.items()) if reason]
    fused = _fused(source.tensors)
    problems += [
        f"{module} has {held} quantized weights of {wanted}"
        for module, wanted in sorted(fused.items())
        if (held := _below(scheme, module, found)) != wanted
    ]
    total = len(layers) + len(fused)
    return _finding(
        "layers",
        problems,
        f"all {total} layers are quantized as the recipe says ({scheme})",
        f"{len(problems)} of {total} layers are not quantized as the recipe says ({scheme})",
        candidate=float(total - len(problems)),
        bound=float(total),
    )


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
    return _finding("bytes", problems, said, said, baseline=1.0, candidate=share, bound=bound)


def _others(layers: Mapping[str, Any], source: Artefact, made: Artefact) -> Finding:
    """What is no target must be as it was: there, in its shape, and not quantized."""
    experts = tuple(_fused(source.tensors))
    packed = {layer for layer, parts in layers_of(made.tensors).items() if is_quantized(parts)}
    uninvited = sorted(layer for layer in packed - layers.keys() if not layer.startswith(experts))
    problems = [f"{layer} is quantized and should not be" for layer in uninvited]
    judged = packed | layers.keys()
    before = _but(source.tensors, judged, experts)
    after = _but(made.tensors, judged, experts)
    one_sided = sorted(name for name in before.keys() ^ after.keys() if not _may_go(name, source.config))
    problems += [f"{name} is {'lost' if name in before else 'new'}" for name in one_sided]
    problems += [
        f"{name} was {_described(before[name])} and is {_described(after[name])}"
        for name in sorted(before.keys() & after.keys())
        if not _alike(before[name], after[name])
    ]
    return _finding("other tensors", problems, f"all {len(before)} other tensors are there, unquantized")


def _but(
    tensors: Mapping[str, Tensor], layers: Collection[str], modules: tuple[str, ...]
) -> dict[str, Tensor]:
    """The tensors that belong neither to these layers nor to these modules."""
    own = {
        f"{layer}.{part}" for layer, parts in layers_of(tensors).items() if layer in layers for part in parts
    }
    return {name: t for name, t in tensors.items() if name not in own and not name.startswith(modules)}


def _settings(scheme: Scheme, config: Mapping[str, Any]) -> Finding:
    written = config.get(_QUANTIZATION)
    if not isinstance(written, Mapping):
        missing = "config.json has none, so a server would take the model for unquantized"
        return _finding(_QUANTIZATION, [missing], "")
    problems = wrong_settings(scheme, written)
    return _finding(_QUANTIZATION, problems, "config.json says of the quantization what the recipe does")


def _numbers(samples: Mapping[str, Sample]) -> Iterator[Finding]:
    scales = {name: sample for name, sample in samples.items() if name.endswith(SCALES)}
    problems = [
        f"{name} {reason}" for name, sample in sorted(scales.items()) if (reason := _bad_scales(sample))
    ]
    least = min((sample.least for sample in scales.values()), default=0.0)
    count = sum(sample.count for sample in scales.values())
    yield _finding(
        "scales",
        problems if scales else ["no scale was found"],
        f"{count} scales of {len(scales)} layers were looked at: numbers, and positive",
        candidate=least,
        bound=0.0,
    )
    weights = {name: sample for name, sample in samples.items() if name not in scales}
    dead = [f"{name} holds nothing but one number" for name, s in sorted(weights.items()) if s.alike]
    yield _finding("weights", dead, f"the weights of {len(weights)} layers were looked at: none is blank")


def _bad_scales(sample: Sample) -> str:
    if sample.no_numbers:
        return f"has NaN or infinity in {sample.no_numbers} of {sample.count}"
    if sample.negative:
        return f"has {sample.negative} of {sample.count} below 0"
    if sample.zero > _ZERO_SCALES * sample.count:
        return f"has {sample.zero} of {sample.count} at 0, so its weights are lost"
    return ""


def _config(before: Mapping[str, Any], after: Mapping[str, Any]) -> Finding:
    rest = {key: value for key, value in after.items() if key != _QUANTIZATION}
    return _finding(
        "config.json", list(differences(before, rest)), f"config.json differs in {_QUANTIZATION} alone"
    )


def _files(source: Artefact, made: Artefact) -> Finding:
    names = sorted({*source.files, *made.files})
    problems = [said for name in names if (said := _file(name, source, made))]
    return _finding("files", problems, f"{len(names)} other files are the source's, byte for byte")


def _file(name: str, source: Artefact, made: Artefact) -> str:
    before, after = source.files.get(name), made.files.get(name)
    if before == after:
        return ""
    if after is None:
        return f"{name} is missing"
    if before is None:
        return f"{name} was not in the source"
    if name not in source.json or name not in made.json:
        return f"{name} differs: {before.short} before, {after.short} now"
    keys = list(differences(source.json[name], made.json[name]))
    return f"{name} differs: {_first(keys)}" if keys else f"{name} differs, though it says the same"


def _modes(modes: Mapping[str, int]) -> Finding:
    closed = [
        f"{name} has the mode {mode:04o}" for name, mode in sorted(modes.items()) if not mode & _READABLE
    ]
    return _finding("file modes", closed, f"all {len(modes)} files can be read by a server that is not root")


def _fused(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Weights by module of experts that lie in one tensor; a quantizer takes them apart."""
    found: dict[str, int] = {}
    for name, tensor in tensors.items():
        if len(tensor.shape) == 3 and _EXPERTS in name and tensor.dtype in FLOATS:
            module = name[: name.index(_EXPERTS) + len(_EXPERTS)]
            found[module] = found.get(module, 0) + prod(tensor.shape)
    return found


def _below(scheme: Scheme, module: str, layers: Mapping[str, Mapping[str, Tensor]]) -> int:
    return sum(
        elements(scheme, parts)
        for layer, parts in layers.items()
        if layer.startswith(module) and is_quantized(parts)
    )


def _may_go(name: str, config: Mapping[str, Any]) -> bool:
    """Whether a tensor may be in one of the two alone: what is computed, tied to another, or spare."""
    tied = name == _TIED and bool(config.get("tie_word_embeddings"))
    return tied or name.endswith(_COMPUTED) or is_spare(name, config)


def _alike(before: Tensor, after: Tensor) -> bool:
    # Another type of the same kind is the quantizer's to choose: norms of float32 become float16.
    kinds = (before.dtype in FLOATS, after.dtype in FLOATS)
    return before.shape == after.shape and (kinds == (True, True) or before.dtype == after.dtype)


def _nothing_to_do() -> Finding:
    return Finding(
        name="layers",
        outcome=Outcome.FAIL,
        message="the recipe ignores every linear layer there is; take something out of quantize.ignore",
        failure_class=FailureClass.CONFIG,
    )


def _finding(name: str, problems: Sequence[str], good: str, bad: str = "", **figures: float) -> Finding:
    """A fail of the model that names the first problems, or a pass."""
    return Finding(
        name=name,
        outcome=Outcome.FAIL if problems else Outcome.PASS,
        message=": ".join(part for part in (bad, _first(problems)) if part) if problems else good,
        failure_class=FailureClass.MODEL if problems else None,
        **figures,
    )


def _first(problems: Sequence[str]) -> str:
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return f"{'; '.join(problems[:_SHOWN])}{more}"


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype} {list(tensor.shape)}"
