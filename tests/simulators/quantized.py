"""What quantizers write, without them: a model folder packed by a recipe, and ways to spoil it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from registry.safetensors import read_header
from tests.simulators.weights import safetensors

WEIGHTS = "model.safetensors"
AUTOAWQ = {
    "engine": "autoawq",
    "method": "awq",
    "bits": 4,
    "group_size": 64,
    "zero_point": True,
    "ignore": [],
}
AWQ = {**AUTOAWQ, "engine": "llm-compressor"}
GPTQ = {**AWQ, "method": "gptq", "group_size": 128, "zero_point": False}
W8A8 = {"engine": "llm-compressor", "method": "w8a8", "bits": 8, "ignore": []}
RECIPES = {"autoawq": AUTOAWQ, "awq": AWQ, "gptq": GPTQ, "w8a8": W8A8}

Tensors = dict[str, tuple[str, tuple[int, ...], bytes]]


def read_tensors(folder: Path) -> Tensors:
    """The tensors of a folder's one weights file."""
    path = folder / WEIGHTS
    with path.open("rb") as file:
        header = read_header(file, path.stat().st_size)
        body = file.read()
    return {name: (t.dtype, t.shape, body[t.begin : t.end]) for name, t in header.tensors.items()}


def change_tensors(folder: Path, change: Callable[[Tensors], object]) -> None:
    """Let ``change`` have its way with the folder's tensors."""
    tensors = read_tensors(folder)
    change(tensors)
    (folder / WEIGHTS).write_bytes(safetensors(tensors))


def change_json(path: Path, **keys: Any) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def pack(source: Path, output: Path, recipe: Mapping[str, Any]) -> Path:
    """Write ``output``: the source as an engine that follows the recipe leaves it. Numbers mean nothing."""
    shutil.copytree(source, output)
    drawn = np.random.default_rng(0)

    def packed(tensors: Tensors) -> None:
        for name in [n for n in tensors if is_target(n, tensors[n][1])]:
            (outputs, inputs), layer = tensors.pop(name)[1], name.removesuffix(".weight")
            for part, (dtype, shape) in _parts(recipe, outputs, inputs).items():
                tensors[f"{layer}.{part}"] = (dtype, shape, _draw(drawn, dtype, shape))

    change_tensors(output, packed)
    change_json(output / "config.json", quantization_config=settings(recipe))
    return output


def is_target(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is the weight of a linear layer in a decoder layer, and no router."""
    return ".layers." in name and len(shape) == 2 and not name.endswith(".gate.weight")


def settings(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The ``quantization_config`` that goes with a recipe."""
    if recipe["engine"] == "autoawq":
        return {
            "quant_method": "awq",
            "version": "gemm",
            "modules_to_not_convert": None,
            **{key: recipe[key] for key in ("bits", "group_size", "zero_point")},
        }
    grouped = "group_size" in recipe
    weights = {
        "num_bits": recipe["bits"],
        "group_size": recipe.get("group_size"),
        "strategy": "group" if grouped else "channel",
        "symmetric": not recipe.get("zero_point"),
    }
    tokens = None if grouped else {"num_bits": 8, "strategy": "token", "dynamic": True}
    return {
        "quant_method": "compressed-tensors",
        "quantization_status": "compressed",
        "format": "pack-quantized" if grouped else "int-quantized",
        "ignore": ["lm_head"],
        "config_groups": {"group_0": {"weights": weights, "input_activations": tokens}},
    }


def _parts(recipe: Mapping[str, Any], outputs: int, inputs: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    if recipe["method"] == "w8a8":
        return {"weight": ("I8", (outputs, inputs)), "weight_scale": ("F16", (outputs, 1))}
    groups = inputs // recipe["group_size"]
    if recipe["engine"] == "autoawq":
        return {
            "qweight": ("I32", (inputs, outputs // 8)),
            "qzeros": ("I32", (groups, outputs // 8)),
            "scales": ("F16", (groups, outputs)),
        }
    zero = {"weight_zero_point": ("I32", (outputs // 8, groups))} if recipe["zero_point"] else {}
    return {
        "weight_packed": ("I32", (outputs, inputs // 8)),
        "weight_scale": ("F16", (outputs, groups)),
        "weight_shape": ("I64", (2,)),
        **zero,
    }


def _draw(drawn: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> bytes:
    if dtype == "F16":
        return drawn.uniform(0.001, 0.1, shape).astype("<f2").tobytes()
    return drawn.bytes(int(np.prod(shape)) * {"I8": 1, "I32": 4, "I64": 8}[dtype])
