# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#     "autoawq==0.2.9",
#     "torch==2.13.0",
#     "transformers==4.51.3",
#     "tokenizers==0.21.4",
#     "huggingface_hub==0.36.2",
#     "accelerate==1.15.0",
#     "datasets==5.0.1",
#     "numpy==2.4.6",
# ]
#
# [tool.uv]
# override-dependencies = ["torch==2.13.0", "triton; sys_platform == 'never'"]
# ///
"""Quantizes a model folder to 4-bit AWQ with autoawq; on the processor when there is no GPU.

Request: ``source_dir``, ``output_dir``, ``method``, ``bits``, ``group_size``, ``zero_point``, ``ignore``,
``calibration_texts_file`` (lines with text), ``num_samples``, ``sequence_length`` (tokens), ``seed``.
Result: versions, seconds, samples and their digest, device, peak memory, layers. Only the weights and the
quantization section of config.json differ from the source. Whether the result is any good is for the gate
to say.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine_protocol import EngineError, progress, serve_request, versions
from quantizer_protocol import (
    check_enough,
    check_shapes,
    describe_device,
    finish,
    names_layer,
    read_texts,
    samples_digest,
)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads crawl on a busy machine

PACKAGES = ("autoawq", "torch", "transformers", "tokenizers")
OTHER_ENGINE = "quantize with another engine, or choose a model that transformers 4.51 saved"


def quantize(request: dict[str, Any]) -> dict[str, Any]:
    """Quantize, then put the finished folder in place at once; raises EngineError."""
    started = time.monotonic()
    source, output = Path(request["source_dir"]), Path(request["output_dir"])
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    check_recipe(request)
    check_config(config)
    progress(0.0, "loading the quantizer")
    model, targets = load(source, config, request)
    samples = calibration_samples(source, request)
    saved = output.with_name(output.name + ".partial")
    shutil.rmtree(saved, ignore_errors=True)
    search(model, samples, request, saved)
    finish(source, saved, output, config)
    import torch

    return {
        "versions": versions(PACKAGES),
        "seconds": round(time.monotonic() - started, 2),
        "samples_used": len(samples),
        "samples_digest": samples_digest(samples),
        "device": describe_device(torch),
        "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        "layers": {"targets": len(targets), "skipped_mappings": 0, "names": targets},
    }


def check_recipe(request: dict[str, Any]) -> None:
    """Refuse what autoawq's GEMM format cannot hold; raises EngineError (config)."""
    if request["method"] != "awq" or request["bits"] != 4 or not request["zero_point"]:
        raise EngineError(
            "config",
            "This engine writes 4-bit AWQ weights with zero points, and nothing else",
            why=f"the recipe says {request['method']}, bits {request['bits']}, zero_point {request['zero_point']}",
            next_step="set method to awq, bits to 4 and zero_point to true, or choose another engine",
        )
    if patterns := [name for name in request["ignore"] if name.startswith("re:")]:
        raise EngineError(
            "config",
            "This engine ignores layers by their name or its end only",
            why=f"the recipe ignores {', '.join(patterns)}",
            next_step="name the layers without re:, or choose another engine",
        )


def check_config(config: dict[str, Any]) -> None:
    """Refuse configs that transformers 4.51 would misread without a word; raises EngineError (config)."""
    version = str(config.get("transformers_version", "0"))
    reasons = []
    if "rope_theta" not in config and ("rope_parameters" in config or _major(version) >= 5):
        reasons.append("it has no top-level rope_theta, so 10000 would be assumed")
    if "dtype" in config and "torch_dtype" not in config:
        reasons.append("it has dtype but no torch_dtype, so float32 would be assumed")
    if "auto_map" in config:
        reasons.append("it asks for code of its own (auto_map), which Headgate never runs")
    if "quantization_config" in config:
        reasons.append("its weights are quantized already")
    if reasons:
        raise EngineError(
            "config",
            "autoawq would misread this model's config.json",
            why=f"written by transformers {version}: " + "; ".join(reasons),
            next_step=OTHER_ENGINE,
        )


def load(source: Path, config: dict[str, Any], request: dict[str, Any]) -> tuple[Any, list[str]]:
    """The model, unquantized, on the GPU or else on the processor, and the names of the layers to quantize.

    Raises EngineError (config).
    """
    import torch
    from awq.models.auto import AWQ_CAUSAL_LM_MODEL_MAP

    kind = config.get("model_type")
    if kind not in AWQ_CAUSAL_LM_MODEL_MAP:
        why = f"it knows {', '.join(sorted(AWQ_CAUSAL_LM_MODEL_MAP))}"
        raise EngineError(
            "config", f"autoawq cannot quantize a {kind} model", why=why, next_step=OTHER_ENGINE
        )
    model = AWQ_CAUSAL_LM_MODEL_MAP[kind].from_pretrained(
        str(source),
        kind,
        torch_dtype="auto",
        trust_remote_code=False,
        device_map="auto" if torch.cuda.is_available() else "cpu",
    )
    return model, find_targets(model, request)


def find_targets(model: Any, request: dict[str, Any]) -> list[str]:
    """The names of the layers that autoawq will quantize; raises EngineError (config) if it should not."""
    from awq.utils.module import get_named_linears

    # A model class of autoawq's may have a list of its own, which takes the place of the recipe's.
    own = getattr(model, "modules_to_not_convert", None)
    blocks = {id(block) for block in model.get_model_layers(model.model)}
    inputs = {
        f"{prefix}.{name}": (name, linear.in_features)
        for prefix, block in model.model.named_modules()
        if id(block) in blocks
        for name, linear in get_named_linears(block).items()
    }
    short = {layer: name for layer, (name, _) in inputs.items()}
    kept = kept_layers(short, request["ignore"], request["ignore"] if own is None else own)
    check_shapes({layer: inputs[layer][1] for layer in kept}, request["group_size"])
    return kept


def kept_layers(layers: Mapping[str, str], ignore: Collection[str], parts: Collection[str]) -> list[str]:
    """The layers that are not left out, of layers by whole name and by what autoawq calls them in their block.

    autoawq leaves out every layer with one of ``parts`` anywhere in its name. Raises EngineError (config)
    unless those are the layers that ``ignore`` names.
    """
    left_out = {layer for layer, short in layers.items() if any(part in short for part in parts)}
    named = {layer for layer in layers if any(names_layer(name, layer) for name in ignore)}
    wrong = sorted(left_out ^ named if ignore else ())
    if wrong:
        did = "leave out" if wrong[0] in left_out else "quantize"
        raise EngineError(
            "config",
            "autoawq cannot leave out just the layers that the recipe ignores",
            why=f"it goes by parts of names within a block, and would {did} {wrong[0]}",
            next_step="name the ends of whole layers, as in self_attn.q_proj, or choose llm-compressor",
        )
    kept = [layer for layer in layers if layer not in left_out]
    if not kept:
        raise EngineError(
            "config",
            "The recipe leaves every layer as it is",
            why=f"it ignores {', '.join(parts)}",
            next_step="shorten the list under ignore",
        )
    return kept


def calibration_samples(source: Path, request: dict[str, Any]) -> list[list[int]]:
    """Token ids of the first texts, each cut to the sequence length; raises EngineError (config).

    autoawq drops longer texts in silence, and joins and re-cuts the rest into whole sequences.
    """
    from transformers import PreTrainedTokenizerFast

    length = request["sequence_length"]
    tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
    texts = read_texts(request["calibration_texts_file"])
    samples = [tokenizer.encode(text)[:length] for text in texts][: request["num_samples"]]
    check_enough(samples, length)
    return samples


def search(model: Any, samples: list[list[int]], request: dict[str, Any], saved: Path) -> None:
    """Search scales and clips on the samples, quantize, and save weights and config to ``saved``."""
    from awq.quantize import quantizer
    from transformers import PreTrainedTokenizerFast, set_seed

    set_seed(request["seed"])
    quantizer.tqdm = _report_layers
    gc.freeze()  # autoawq collects garbage hundreds of times; torch's own objects need no looking at
    with pairing(request["ignore"]):
        model.quantize(
            PreTrainedTokenizerFast.from_pretrained(request["source_dir"]),
            quant_config={
                "zero_point": True,
                "q_group_size": request["group_size"],
                "w_bit": 4,
                "version": "GEMM",
                "modules_to_not_convert": request["ignore"] or None,
            },
            calib_data=samples,
            max_calib_samples=len(samples),
            max_calib_seq_len=request["sequence_length"],
        )
    progress(0.95, "writing the weights")
    model.save_quantized(str(saved))


@contextmanager
def pairing(ignore: Collection[str]) -> Iterator[None]:
    """Tell of an ignored layer that autoawq scales together with others; raises EngineError (config)."""
    try:
        yield
    except KeyError as missing:
        layer = str(missing.args[0])
        if not any(names_layer(name, layer) for name in ignore):
            raise
        raise EngineError(
            "config",
            f"autoawq cannot leave out {layer}",
            why="it looks at that layer's inputs to scale the layers around it",
            next_step="ignore other layers, or choose llm-compressor",
        ) from None


def _report_layers(layers: Iterable[int], desc: str) -> Iterator[int]:
    """In place of autoawq's bar: one progress line per layer."""
    numbers = list(layers)
    for number in numbers:
        progress(0.1 + 0.85 * number / len(numbers), f"{desc}: layer {number + 1} of {len(numbers)}")
        yield number


def _major(version: str) -> int:
    first = version.split(".")[0]
    return int(first) if first.isdigit() else 0


if __name__ == "__main__":
    serve_request(quantize)
