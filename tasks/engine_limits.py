"""What each quantizing engine can do, from what is known without it: configuration, headers, machine. Pure.

An objection is half a sentence that says why an engine should not be started. Engines check again what only
they can know; here is what would cost a download of gigabytes and an hour of a GPU to find out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from registry.safetensors import DTYPE_BYTES, Tensor
from tasks.disk import in_words
from tasks.recipe import GROUPED, METHODS, Recipe

_ARCHITECTURES = Path(__file__).parent / "engines" / "llmcompressor_architectures.json"

AUTOAWQ_MODELS = frozenset(
    [
        "mpt",
        "llama",
        "opt",
        "RefinedWeb",
        "RefinedWebModel",
        "exaone",
        "falcon",
        "bloom",
        "gptj",
        "gpt_bigcode",
        "mistral",
        "mixtral",
        "gpt_neox",
        "aquila",
        "Yi",
        "qwen",
        "baichuan",
        "llava",
        "qwen2",
        "qwen3",
        "qwen3_moe",
        "gemma",
        "gemma2",
        "stablelm",
        "starcoder2",
        "llava_next",
        "phi3",
        "phi3_v",
        "cohere",
        "deepseek_v2",
        "deepseek_v3",
        "minicpm",
        "internlm2",
        "minicpm3",
        "qwen2_vl",
        "qwen2_5_vl",
        "qwen2_5_omni",
    ]
)
"""``model_type`` values autoawq 0.2.9 has a class for (``awq/models/auto.py``)."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_LAYER = re.compile(r"^(.*\.(?:layers|h|blocks)\.\d+)\.")
_SHOWN = 7  # names of layers: what a decoder layer of most models has
_GROUP_SIZES = (128, 64, 32)
_IGNORED = (
    "lm_head",
    r"re:.*embed.*",
    r"re:.*\.gate$",
    r"re:.*shared_expert_gate$",
    r"re:.*router.*",
    r"re:.*norm.*",
    "re:.*vision.*",
    "re:.*visual.*",
    "re:.*audio.*",
    "re:.*projector.*",
)

CAPABILITIES: Mapping[str, tuple[int, int]] = {
    "v100": (7, 0),
    "t4": (7, 5),
    "a100": (8, 0),
    "a30": (8, 0),
    "a10": (8, 6),
    "a10g": (8, 6),
    "a40": (8, 6),
    "a6000": (8, 6),
    "rtx3090": (8, 6),
    "l4": (8, 9),
    "l40": (8, 9),
    "l40s": (8, 9),
    "rtx4090": (8, 9),
    "h100": (9, 0),
    "h200": (9, 0),
    "gh200": (9, 0),
    "b200": (10, 0),
    "rtx5090": (12, 0),
}
"""Compute capability by the GPU class's name (NVIDIA, "CUDA GPU compute capability")."""

_LEAST_CAPABILITY = (7, 5)
"""For 4-bit weights and for INT8 in vLLM 0.32: ``get_min_capability`` of compressed-tensors and AWQ."""


@dataclass(frozen=True)
class Machine:
    """Where an engine would run: bytes of free memory, and of each GPU; without one the processor works."""

    memory: int
    gpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class Model:
    """What the files of a model say about it: config.json, and every tensor of its weights."""

    config: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    @property
    def size(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.size for tensor in self.tensors.values())

    @property
    def largest_layer(self) -> int:
        """Bytes of the largest decoder layer: what a GPU holds at a time."""
        layers: dict[str, int] = {}
        for name, tensor in self.tensors.items():
            if match := _LAYER.match(name):
                layers[match[1]] = layers.get(match[1], 0) + tensor.size
        return max(layers.values(), default=0)

    @property
    def has_experts(self) -> bool:
        """Whether it is a mixture of experts."""
        sections = (self.config, self.config.get("text_config") or {})
        return any((section.get(key) or 0) > 1 for section in sections for key in _EXPERTS)

    def unknown(self, ignore: Iterable[str]) -> list[str]:
        """Those of these names and patterns that mean no layer.

        None in a model with the experts of a layer in one tensor: engines name each of them.
        """
        if any(map(_is_fused, self.tensors, self.tensors.values())):
            return []
        layers = ["lm_head", *self._layers()]  # which files leave out where it shares the embedding
        return [one for one in ignore if not any(is_ignored(layer, [one]) for layer in layers)]

    def examples(self) -> list[str]:
        """A few names of layers, for people."""
        decoder = [layer for layer in self._layers() if _LAYER.match(f"{layer}.")]
        return (decoder or self._layers())[:_SHOWN]

    def _layers(self) -> list[str]:
        """The names of what holds a matrix."""
        matrices = (name for name, tensor in self.tensors.items() if len(tensor.shape) > 1)
        return [name.removesuffix(".weight") for name in matrices]

    def inputs(self, ignore: Iterable[str]) -> dict[str, int]:
        """The input size of every linear layer in the decoder's layers, but those ignored."""
        return {
            name.removesuffix(".weight"): tensor.shape[1]
            for name, tensor in self.to_quantize(ignore).items()
            if len(tensor.shape) == 2
        }

    def to_quantize(self, ignore: Iterable[str]) -> dict[str, Tensor]:
        """The weights that a recipe is about: those of the decoder's layers, experts in one tensor too.

        An engine knows the model's own modules and may find a layer more or less; this is from names alone.
        """
        patterns = [*_IGNORED, *ignore]
        return {
            name: tensor
            for name, tensor in self.tensors.items()
            if _LAYER.match(name) and _is_linear(name, tensor)
            if not is_ignored(name.removesuffix(".weight"), patterns)
        }


def _is_fused(name: str, tensor: Tensor) -> bool:
    return len(tensor.shape) == 3 and ".experts." in name


def _is_linear(name: str, tensor: Tensor) -> bool:
    return _is_fused(name, tensor) or (len(tensor.shape) == 2 and name.endswith(".weight"))


def is_ignored(layer: str, patterns: Iterable[str]) -> bool:
    """Whether a layer is named by one of these: its name, the end of it, or ``re:`` and a pattern."""
    return any(
        re.match(pattern.removeprefix("re:"), layer)
        if pattern.startswith("re:")
        else layer == pattern or layer.endswith(f".{pattern}")
        for pattern in patterns
    )


def objections(engine: str, recipe: Recipe, model: Model, machine: Machine, gpu_class: str) -> list[str]:
    """Why this engine should not be given this recipe and model; empty when nothing speaks against it."""
    own = {"llm-compressor": _of_llm_compressor, "autoawq": _of_autoawq}[engine]
    return [*_of_any(recipe, model, machine, gpu_class), *own(recipe, model, machine)]


def _of_any(recipe: Recipe, model: Model, machine: Machine, gpu_class: str) -> Iterator[str]:
    if "quantization_config" in model.config:
        yield "the model's weights are quantized already"
    if recipe.bits != METHODS[recipe.method]:
        yield f"{recipe.method} writes {METHODS[recipe.method]}-bit weights, not {recipe.bits}-bit"
    yield from _of_groups(recipe, model)
    if recipe.zero_point and model.has_experts:
        yield "a mixture of experts takes no zero points: set zero_point to false"
    if model.has_experts and gpu_class.partition("-")[0] == "cpu":
        yield "vLLM for processors has no kernel for quantized experts"
    capability = CAPABILITIES.get(gpu_class.partition("-")[0])
    if capability and capability < _LEAST_CAPABILITY:
        yield (
            f"vLLM has no kernel for {recipe.method} on {gpu_class}: it has compute capability "
            f"{_dotted(capability)}, and {_dotted(_LEAST_CAPABILITY)} is needed"
        )
    if model.size > machine.memory:
        yield (
            f"the model is held in memory whole: that takes {in_words(model.size)}, and this machine has "
            f"{in_words(machine.memory)} free"
        )


def _of_groups(recipe: Recipe, model: Model) -> Iterator[str]:
    if recipe.method not in GROUPED or not recipe.group_size:
        return
    inputs = model.inputs(recipe.ignore)
    odd = sorted({f"{layer} takes {size}" for layer, size in inputs.items() if size % recipe.group_size})
    if odd:
        fitting = [size for size in _GROUP_SIZES if all(width % size == 0 for width in inputs.values())]
        advice = f"; {fitting[0]} would fit" if fitting else ""
        more = f" and {len(odd) - 1} more do not either" if len(odd) > 1 else ""
        yield f"groups of {recipe.group_size} do not divide every layer's input: {odd[0]}{more}{advice}"


def _of_llm_compressor(recipe: Recipe, model: Model, machine: Machine) -> Iterator[str]:
    known = llm_compressor_architectures().get({"awq": "awq", "w8a8": "smoothquant"}.get(recipe.method, ""))
    names = [str(name) for name in model.config.get("architectures") or ()]
    if len(names) != 1:
        yield f"config.json names {len(names)} architectures where one is needed"
    elif known is not None and names[0] not in known:
        yield f"llm-compressor has no layer mapping for a {names[0]}: only gptq needs none"
    # A layer is held once as it is and once in float32 while scales are searched.
    needed = model.largest_layer * (1 + 4 // _element(model))
    if machine.gpus and needed > min(machine.gpus):
        least = in_words(min(machine.gpus))
        yield f"its largest layer takes {in_words(needed)} of GPU memory, and a GPU here has {least}"


def autoawq_objections(recipe: Recipe) -> Iterator[str]:
    """What autoawq can do for no model."""
    if recipe.method != "awq" or not recipe.zero_point:
        yield "autoawq writes 4-bit AWQ with zero points, and nothing else"
    if any(pattern.startswith("re:") for pattern in recipe.ignore):
        yield "autoawq ignores layers by their name or its end only, not by re: and a pattern"


def _of_autoawq(recipe: Recipe, model: Model, machine: Machine) -> Iterator[str]:
    config = model.config
    yield from autoawq_objections(recipe)
    if config.get("model_type") not in AUTOAWQ_MODELS:
        yield f"autoawq 0.2.9 knows no {config.get('model_type')} model"
    version = str(config.get("transformers_version", "0"))
    major = version.partition(".")[0]
    if "rope_theta" not in config and ("rope_parameters" in config or (major.isdigit() and int(major) >= 5)):
        yield (
            f"config.json is of transformers {version} and has no top-level rope_theta: autoawq would "
            "calibrate with 10000 in silence"
        )
    if "dtype" in config and "torch_dtype" not in config:
        yield "config.json has dtype and no torch_dtype: autoawq would assume float32 in silence"
    if machine.gpus and model.size > sum(machine.gpus):
        yield f"autoawq holds the model on the GPUs whole: that takes {in_words(model.size)}"


@cache
def llm_compressor_architectures() -> Mapping[str, frozenset[str]]:
    """The model classes that llm-compressor can smooth, by method: read from the pinned release."""
    value = json.loads(_ARCHITECTURES.read_text(encoding="utf-8"))
    return {method: frozenset(value[method]) for method in ("awq", "smoothquant")}


def _element(model: Model) -> int:
    sizes = [DTYPE_BYTES[t.dtype] for name, t in model.tensors.items() if _LAYER.match(name)]
    return max(1, min(sizes, default=2))


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
