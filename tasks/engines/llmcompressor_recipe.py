"""What llm-compressor is asked to do: which method, which layers, and what of it no kernel could run.

Its own library is imported only where a recipe is made from it.
"""

from __future__ import annotations

import re
from typing import Any

from engine_protocol import EngineError, versions
from quantizer_protocol import GROUP_SIZES, OTHER_ENGINE

BITS = {"awq": 4, "gptq": 4, "w8a8": 8}
SMOOTHED = {"awq": "awq", "w8a8": "smoothquant"}  # method, and whose layer pairings it needs
EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
HEAD = ("lm_head",)
ROUTERS = (r"re:.*\.gate$", r"re:.*router.*", r"re:.*shared_expert_gate$")
SENSES = ("re:.*vision.*", "re:.*visual.*", "re:.*audio.*", "re:.*multi_modal_projector.*")


def check_recipe(request: dict[str, Any], config: dict[str, Any]) -> None:
    """Refuse a recipe that the method cannot hold, or the model; raises EngineError (config)."""
    method, bits = request["method"], request["bits"]
    if method not in BITS:
        raise refusal(f"llm-compressor is not asked for {method} here", "choose awq, gptq or w8a8")
    if bits != BITS[method]:
        raise refusal(
            f"{method} writes {BITS[method]}-bit weights, not {bits}-bit", f"set bits to {BITS[method]}"
        )
    if method != "w8a8" and request["group_size"] not in GROUP_SIZES:
        raise refusal(f"Kernels have no groups of {request['group_size']}", "set group_size to 128, 64 or 32")
    if method != "w8a8" and request["zero_point"] and has_experts(config):
        raise refusal("A mixture of experts takes no zero points", "set zero_point to false")
    if "auto_map" in config:
        raise refusal(
            "The model asks for code of its own (auto_map), which Headgate never runs", OTHER_ENGINE
        )
    if "quantization_config" in config:
        raise refusal("The model's weights are quantized already", "give the model it was made from")


def check_architecture(config: dict[str, Any], method: str) -> None:
    """Refuse a model whose layers the method cannot pair, before it is loaded; raises EngineError (config)."""
    import transformers

    name = architecture(config)
    known = architectures().get(SMOOTHED.get(method, ""))
    if known is not None and name not in known:
        why = "llm-compressor would guess which of its layers belong together"
        raise refusal(f"llm-compressor does not know how to smooth a {name}", "choose the method gptq", why)
    if not hasattr(transformers, name):
        raise refusal(f"transformers {transformers.__version__} has no {name}", OTHER_ENGINE)


def architectures() -> dict[str, Any]:
    """What llm-compressor has layer pairings for: per smoothing method, the names of model classes."""
    from llmcompressor.modifiers.transform.awq.dynamic_mappings import AWQ_DYNAMIC_MAPPING_REGISTRY
    from llmcompressor.modifiers.transform.awq.mappings import AWQ_MAPPING_REGISTRY
    from llmcompressor.modifiers.transform.smoothquant.utils import MAPPINGS_REGISTRY

    return {
        **versions(["llmcompressor"]),
        "awq": sorted({*AWQ_MAPPING_REGISTRY, *AWQ_DYNAMIC_MAPPING_REGISTRY}),
        "smoothquant": sorted(MAPPINGS_REGISTRY),
    }


def architecture(config: dict[str, Any]) -> str:
    """The model's class; raises EngineError (config)."""
    names = config.get("architectures") or []
    if len(names) != 1:
        raise refusal(f"config.json names {len(names)} architectures where one is needed", OTHER_ENGINE)
    return str(names[0])


def has_experts(config: dict[str, Any]) -> bool:
    """Whether the model is a mixture of experts."""
    sections = (config, config.get("text_config") or {})
    return any((section.get(key) or 0) > 1 for section in sections for key in EXPERTS)


def ignored(request: dict[str, Any], head: str | None) -> list[str]:
    """The layers that stay as they are, as patterns: those that every official recipe leaves, and the request's.

    ``head`` is what the model itself calls the layer that ends in words: not every model says ``lm_head``.
    """
    heads = [*HEAD, *([head] if head else [])]
    return list(dict.fromkeys(map(pattern, [*heads, *ROUTERS, *SENSES, *request["ignore"]])))


def pattern(name: str) -> str:
    """A name under ``ignore`` as llm-compressor reads it, which takes a plain one for the whole name alone."""
    return name if name.startswith("re:") else rf"re:(.*\.)?{re.escape(name)}$"


def head_of(model: Any) -> str | None:
    """The name of the layer that ends in words, or None in a model without one."""
    head = model.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is head), None)


def modifiers(request: dict[str, Any], ignore: list[str]) -> list[Any]:
    """llm-compressor's own recipe for the method, with this request's group size."""
    from compressed_tensors.quantization import preset_name_to_scheme
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    if request["method"] == "w8a8":
        return [SmoothQuantModifier(smoothing_strength=0.8), GPTQModifier(scheme="W8A8", ignore=ignore)]
    scheme = preset_name_to_scheme("W4A16_ASYM" if request["zero_point"] else "W4A16", ["Linear"])
    scheme.weights.group_size = request["group_size"]
    settings = {"config_groups": {"group_0": scheme}, "ignore": ignore}
    if request["method"] == "gptq":
        return [GPTQModifier(**settings)]
    return [AWQModifier(duo_scaling="both"), QuantizationModifier(**settings)]


def refusal(what: str, next_step: str, why: str = "") -> EngineError:
    """The recipe or the model has to change."""
    return EngineError("config", what, why=why, next_step=next_step)
