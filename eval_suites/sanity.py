"""Is a quantized artefact what its recipe says, and otherwise its source? Judged from files alone. Pure.

Quantizers fail in ways that no loader reports: weights saved as they were (llm-compressor 1533, 1566), half
of the layers left out, a key of config.json changed (llm-compressor 81), generation_config.json dropped
(GPTQModel 1291). Each costs hours of evaluation, or shows only in users' answers. This takes seconds, and
runs before any server starts. What the artefact answers when served is ``sanity_answers``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from eval_suites.artefact import Artefact, differences
from eval_suites.quantization_settings import wrong_settings
from eval_suites.quantized_layers import SCALES, Scheme
from eval_suites.sanity_finding import finding, first
from eval_suites.sanity_layers import judge_layers
from eval_suites.tensor_values import Sample
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.safetensors import Tensor

_QUANTIZATION = "quantization_config"
_ZERO_SCALES = 0.01  # of a layer's: those of channels that are dead already underflow


def judge(
    scheme: Scheme,
    targets: Collection[str],
    expected: Mapping[str, Tensor],
    source: Artefact,
    made: Artefact,
) -> Verdict:
    """The verdict on ``made``, which a recipe of this scheme made from ``source``.

    ``targets`` are the layers that the engine says it was to quantize: they have to be, and nothing else.
    So that no engine can pass by doing little, they have to hold most of ``expected``: the source's weights,
    by tensor name, that the recipe is about.
    """
    if not targets and not expected:
        return Verdict.of([_nothing_to_do()])
    return Verdict.of(
        [
            *judge_layers(scheme, targets, expected, source, made),
            _settings(scheme, made.config),
            *_numbers(source.samples, made.samples),
            _config(source.config, made.config),
            _files(source, made),
        ]
    )


def untouched(recipe: Mapping[str, Any]) -> Verdict:
    """The verdict on weights that are the source's own: sound if the recipe asks for nothing else."""
    if recipe["engine"] == "none":
        said = "the weights are the source's own, which were looked into when they came in"
        return Verdict.of([finding("files", [], said)])
    return Verdict.of([finding("layers", ["nothing was quantized: the weights are the source's own"], "")])


def unreadable(reason: str) -> Verdict:
    """The verdict on an artefact whose files cannot be read at all."""
    return Verdict.of([finding("weights", [reason], "")])


def _settings(scheme: Scheme, config: Mapping[str, Any]) -> Finding:
    written = config.get(_QUANTIZATION)
    if not isinstance(written, Mapping):
        missing = "config.json has none, so a server would take the model for unquantized"
        return finding(_QUANTIZATION, [missing], "")
    problems = wrong_settings(scheme, written)
    return finding(_QUANTIZATION, problems, "config.json says of the quantization what the recipe does")


def _numbers(before: Mapping[str, Sample], after: Mapping[str, Sample]) -> Iterator[Finding]:
    """Of scales and packed weights; a layer that was blank in the source, as pruned ones are, may be so."""
    scales = {name: sample for name, sample in after.items() if name.endswith(SCALES)}
    problems = [
        f"{name} {reason}"
        for name, sample in sorted(scales.items())
        if (reason := _bad_scales(sample, before.get(_weight_of(name))))
    ]
    least = min((sample.least for sample in scales.values()), default=0.0)
    count = sum(sample.count for sample in scales.values())
    yield finding(
        "scales",
        problems if scales else ["no scale was found"],
        f"{count} scales of {len(scales)} layers were looked at: numbers, and positive",
        candidate=least,
        bound=0.0,
    )
    weights = {name: sample for name, sample in after.items() if name not in scales}
    dead = [
        f"{name} holds nothing but one number"
        for name, sample in sorted(weights.items())
        if sample.alike and not ((was := before.get(_weight_of(name))) and was.alike)
    ]
    yield finding("weights", dead, f"the weights of {len(weights)} layers were looked at: none was blanked")


def _weight_of(name: str) -> str:
    return f"{name.rpartition('.')[0]}.weight"


def _bad_scales(sample: Sample, before: Sample | None) -> str:
    if sample.no_numbers:
        return f"has NaN or infinity in {sample.no_numbers} of {sample.count}"
    if sample.negative:
        return f"has {sample.negative} of {sample.count} below 0"
    zeros = before.zero / before.count if before else 0.0  # a scale is 0 where all that share it are
    if sample.zero > (_ZERO_SCALES + zeros) * sample.count:
        return f"has {sample.zero} of {sample.count} at 0, so its weights are lost"
    return ""


def _config(before: Mapping[str, Any], after: Mapping[str, Any]) -> Finding:
    rest = {key: value for key, value in after.items() if key != _QUANTIZATION}
    return finding(
        "config.json", list(differences(before, rest)), f"config.json differs in {_QUANTIZATION} alone"
    )


def _files(source: Artefact, made: Artefact) -> Finding:
    names = sorted({*source.files, *made.files})
    problems = [said for name in names if (said := _file(name, source, made))]
    return finding("files", problems, f"{len(names)} other files are the source's, byte for byte")


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
    return f"{name} differs: {first(keys)}" if keys else f"{name} differs, though it says the same"


def _nothing_to_do() -> Finding:
    return Finding(
        name="layers",
        outcome=Outcome.FAIL,
        message="the recipe ignores every linear layer there is; take something out of quantize.ignore",
        failure_class=FailureClass.CONFIG,
    )
