# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = [
#     "llmcompressor==0.14.0.1",
#     "compressed-tensors==0.19.0",
#     "torch==2.13.0",
#     "torchvision==0.28.0",
#     "transformers==5.17.0",
#     "tokenizers==0.23.3",
#     "huggingface_hub==1.33.0",
#     "accelerate==1.15.0",
#     "datasets==5.2.0",
#     "safetensors==0.8.0",
#     "numpy==2.4.6",
# ]
#
# [tool.uv]
# override-dependencies = ["auto-round; sys_platform == 'never'"]
# ///
"""Quantizes a model folder with llm-compressor: AWQ, GPTQ or SmoothQuant with GPTQ; without a GPU too.

Request: ``source_dir``, ``output_dir``, ``method`` (awq, gptq: 4-bit weights in groups; w8a8: 8-bit weights
and activations), ``bits``, ``group_size`` and ``zero_point`` (w8a8 has neither), ``ignore`` (layers left as
they are: names or their ends, or patterns after ``re:``), ``calibration_texts_file`` (JSONL lines with text),
``num_samples``, ``sequence_length`` (tokens), ``seed``. Result: versions, seconds, samples and their digest,
device, peak memory, layers, and the recipe as llm-compressor writes it down. ``--architectures`` prints
what ``llmcompressor_architectures.json`` beside this file holds.

Only the weights and the quantization section of config.json differ from the source. Models hold layers that
no recipe here touches: the head, routers of experts, and what sees or hears. Experts get no zero points.

w8a8 scales weights per output channel and activations per token, while serving: symmetric 8-bit integers are
what vLLM multiplies on every CUDA GPU since 7.5 (CUTLASS) and on processors (oneDNN) alike; FP8 needs 8.9.

On several GPUs of one machine, llm-compressor's data-parallel mode: each holds one layer and a share of the
samples. Sums over shares round differently, so another number of GPUs gives other bytes of the same quality.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import gpu_ranks
from engine_protocol import progress, serve_request, versions
from llmcompressor_recipe import (
    architecture,
    architectures,
    check_architecture,
    check_recipe,
    head_of,
    ignored,
    modifiers,
    refusal,
)
from quantizer_protocol import (
    check_enough,
    check_shapes,
    describe_device,
    finish,
    read_texts,
    samples_digest,
)

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads crawl on a busy machine
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else CUDA's sums depend on the moment

PACKAGES = ("llmcompressor", "compressed-tensors", "torch", "transformers", "tokenizers")
SKIPPED = re.compile(r"(\d+) mappings were skipped|Skipping ")
PASS = re.compile(r"\((\d+)/(\d+)\): Calibrating")


def quantize(request: dict[str, Any]) -> dict[str, Any]:
    """Check what can be checked cheaply, then work: here, or on every GPU; raises EngineError."""
    import torch

    config = json.loads((Path(request["source_dir"]) / "config.json").read_text(encoding="utf-8"))
    check_recipe(request, config)
    check_architecture(config, request["method"])
    gpus = torch.cuda.device_count()
    if gpus > 1 and not gpu_ranks.is_rank(os.environ):
        return gpu_ranks.run_ranks(__file__, Path(sys.argv[1]), Path(sys.argv[2]), gpus)
    return work(request, config)


def work(request: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Quantize on this process's device; the first rank puts the folder in place. Raises EngineError."""
    import torch
    from transformers import AutoTokenizer, set_seed

    started = time.monotonic()
    number, ranks = gpu_ranks.rank(os.environ)
    source, output = Path(request["source_dir"]), Path(request["output_dir"])
    tokenizer = AutoTokenizer.from_pretrained(source)
    samples = calibration_samples(tokenizer, request)
    mend_pinning(torch)
    set_seed(request["seed"])
    torch.use_deterministic_algorithms(True, warn_only=True)
    report(0.0, "loading the model")
    saved, spill = (output.with_name(f"{output.name}.{state}") for state in ("partial", "spilled"))
    model = load(source, architecture(config), ranks, spill)
    ignore = ignored(request, head_of(model))
    targets = find_targets(model, request, ignore)
    recipe_steps = modifiers(request, ignore)
    skipped = calibrate(model, tokenizer, gpu_ranks.share(samples, number, ranks), recipe_steps)
    report(0.95, "writing the weights")
    recipe = save(model, saved)
    if number == 0:
        finish(source, saved, output, config)
        shutil.rmtree(spill, ignore_errors=True)
    if ranks > 1:
        torch.distributed.destroy_process_group()
    return {
        "versions": versions(PACKAGES),
        "seconds": round(time.monotonic() - started, 2),
        "samples_used": len(samples),
        "samples_digest": samples_digest(samples),
        "device": describe_device(torch),
        "peak_gpu_bytes": torch.cuda.max_memory_allocated() if torch.cuda.is_available() else None,
        "layers": {"targets": len(targets), "skipped_mappings": skipped, "names": targets},
        "recipe": recipe,
    }


def calibration_samples(tokenizer: Any, request: dict[str, Any]) -> list[list[int]]:
    """Token ids of the first texts, each cut to the sequence length; raises EngineError (config)."""
    length = request["sequence_length"]
    texts = read_texts(request["calibration_texts_file"])[: request["num_samples"]]
    samples = [tokenizer(text)["input_ids"][:length] for text in texts]
    check_enough(samples, length)
    return samples


def mend_pinning(torch: Any) -> None:
    """Without an accelerator, have AWQ pin no memory: 0.13.0 (PR 2813) to 0.14.0.1 try, and die of it."""
    from llmcompressor.pipelines import cache

    if not torch.accelerator.is_available() and hasattr(cache.IntermediatesCache, "pin_memory"):
        cache.IntermediatesCache.pin_memory = lambda self, *arguments, **named: None


def load(source: Path, name: str, ranks: int, spill: Path) -> Any:
    """The model in main memory, experts taken apart; the pipeline moves one layer at a time to the GPU.

    Ranks share one copy, in shared memory; what does not fit there goes to the folder ``spill``.
    """
    import transformers
    from compressed_tensors.offload import init_dist
    from llmcompressor.utils.dev import load_context

    if ranks > 1:
        init_dist()
    place = {"device_map": "auto_offload", "offload_folder": spill} if ranks > 1 else {"device_map": "cpu"}
    model_class = getattr(transformers, name)
    with load_context(model_class):
        return model_class.from_pretrained(source, dtype="auto", **place)


def find_targets(model: Any, request: dict[str, Any], ignore: list[str]) -> list[str]:
    """The names of the layers to quantize; raises EngineError (config) for groups that do not fit them."""
    from compressed_tensors.utils import match_named_modules

    inputs = {name: layer.in_features for name, layer in match_named_modules(model, ["Linear"], ignore)}
    if not inputs:
        raise refusal("The recipe leaves every layer as it is", "shorten the list under ignore")
    if request["method"] != "w8a8":
        check_shapes(inputs, request["group_size"])
    return list(inputs)


def calibrate(model: Any, tokenizer: Any, samples: list[list[int]], recipe: list[Any]) -> int:
    """Run the recipe on the samples, in order; returns how many of its layer pairs were left out."""
    from llmcompressor.entrypoints.oneshot import Oneshot
    from llmcompressor.pipelines.sequential import pipeline
    from loguru import logger

    pipeline.tqdm = _LayerReports(sum(step.requires_calibration_data for step in recipe))
    oneshot = Oneshot(model=model, processor=tokenizer, dataset=batches(samples), recipe=recipe)
    skipped: list[int] = []
    logger.add(lambda line: skipped.append(skipped_mappings(line)), level="WARNING", format="{message}")
    gc.freeze()  # it collects garbage after every layer; torch's own objects need no looking at
    oneshot()
    return sum(skipped)


def batches(samples: list[list[int]]) -> Any:
    """One sample at a time, in order: llm-compressor's own loader would shuffle, or sort by length."""
    import torch
    from torch.utils.data import DataLoader

    def batch(rows: list[list[int]]) -> dict[str, Any]:
        ids = torch.tensor(rows)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    return DataLoader(samples, batch_size=1, shuffle=False, collate_fn=batch)


def skipped_mappings(message: str) -> int:
    """How many layer pairs a warning of AWQ's says it skipped."""
    found = SKIPPED.match(message)
    return 0 if found is None else int(found[1] or 1)


def save(model: Any, folder: Path) -> str:
    """Write the quantized weights; returns the recipe, which no server needs beside them."""
    from llmcompressor.transformers.compression import compressed_tensors_utils
    from transformers import GenerationConfig

    # The source's is carried over. It may be one that transformers 5 reads and then, hours later, will not save.
    model.generation_config = GenerationConfig()
    if not model.config.get_text_config().tie_word_embeddings:
        # A head that equals the embeddings would be left out, and the source's config.json still ask for it.
        compressed_tensors_utils._retie_embeddings = lambda model: None
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder, save_compressed=True)
    recipe = folder / "recipe.yaml"
    return recipe.read_text(encoding="utf-8") if recipe.exists() else ""


def report(fraction: float, message: str) -> None:
    """Progress of the first rank, which speaks for all."""
    if gpu_ranks.rank(os.environ)[0] == 0:
        progress(fraction, message)


class _LayerReports:
    """In place of llm-compressor's bars: one progress line per layer, over all passes through the model."""

    def __init__(self, passes: int) -> None:
        self.passes, self.done = passes, 0

    def __call__(self, items: Iterable[Any], desc: str = "", **_: Any) -> Iterator[Any]:
        found = PASS.match(desc)
        if found:
            layer, layers = int(found[1]), int(found[2])
            share = (self.done + (layer - 1) / layers) / self.passes
            report(0.05 + 0.9 * share, f"calibrating part {layer} of {layers}")
            self.done += layer == layers
        return iter(items)


def main() -> None:
    """Describe, or quantize; a rank writes its result beside the others'."""
    if sys.argv[1:] == ["--architectures"]:
        with contextlib.redirect_stdout(sys.stderr):  # where llm-compressor would write its log
            known = architectures()
        print(json.dumps(known, indent=2))
        return
    if gpu_ranks.is_rank(os.environ):
        gpu_ranks.die_with_torchrun()
        number, _ = gpu_ranks.rank(os.environ)
        sys.argv[2] = str(gpu_ranks.rank_result(Path(sys.argv[2]), number))
    serve_request(quantize)


if __name__ == "__main__":
    main()
