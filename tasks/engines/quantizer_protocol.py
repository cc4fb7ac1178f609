"""What the quantizing engines share: calibration texts in, one rule for what comes out.

Standard library only, like ``engine_protocol`` beside it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine_protocol import EngineError

WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
GROUP_SIZES = (128, 64, 32)
OTHER_ENGINE = "quantize with another engine or method, or choose another model"


def read_texts(path: str) -> list[str]:
    """The texts of a JSONL file of ``{"text": ...}`` lines, without the empty ones."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"].strip() for line in lines if line.strip()]
    return [text for text in texts if text]


def check_enough(samples: Sequence[Sequence[int]], length: int) -> None:
    """Refuse fewer tokens than one sequence of ``length``; raises EngineError (config)."""
    tokens = sum(map(len, samples))
    if tokens < length:
        raise EngineError(
            "config",
            "There is too little calibration text",
            why=f"its {len(samples)} samples have {tokens} tokens, less than one sequence of {length}",
            next_step="give more or longer texts, or a smaller sequence_length",
        )


def names_layer(name: str, layer: str) -> bool:
    """Whether a plain name under ``ignore`` means this layer: its whole name, or the end of it after a dot."""
    return f".{layer}".endswith(f".{name}")


def samples_digest(samples: Sequence[Sequence[int]]) -> str:
    """sha256 over the token ids that calibrate, in order: the same digest, the same calibration."""
    text = json.dumps([list(sample) for sample in samples], separators=(",", ":"))
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def check_shapes(inputs: Mapping[str, int], group_size: int) -> None:
    """Refuse a group size that does not divide every linear layer's input size; raises EngineError (config)."""
    odd = sorted({f"{name} takes {size}" for name, size in inputs.items() if size % group_size})
    if odd:
        named = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if len(odd) > 5 else "")
        fitting = [size for size in GROUP_SIZES if all(width % size == 0 for width in inputs.values())]
        raise EngineError(
            "config",
            f"Groups of {group_size} do not fit this model",
            why=f"the group size must divide every linear layer's input size, and {named}",
            next_step=f"set group_size to {fitting[0]}" if fitting else OTHER_ENGINE,
        )


def describe_device(torch: Any) -> dict[str, Any]:
    """What the work ran on: the same engine, inputs and device give the same bytes.

    ``count`` is of GPUs, or of the processor's threads: sums over other shares of the numbers round differently.
    """
    if torch.cuda.is_available():
        name, count = torch.cuda.get_device_name(0), torch.cuda.device_count()
        return {"kind": "cuda", "name": name, "count": count, "cuda": torch.version.cuda}
    return {"kind": "cpu", "name": _processor(), "count": torch.get_num_threads(), "cuda": None}


def finish(source: Path, saved: Path, output: Path, config: Mapping[str, Any]) -> None:
    """Give the saved weights the source's own files and config, then rename the folder into place."""
    written = json.loads((saved / "config.json").read_text(encoding="utf-8"))
    source_weights = _names(source, WEIGHTS)
    for name in _names(saved, ("*",)) - _names(saved, WEIGHTS):
        (saved / name).unlink()
    for file in source.iterdir():
        if file.is_file() and file.name not in source_weights:
            shutil.copyfile(file, saved / file.name)
    quantized = {**config, "quantization_config": written["quantization_config"]}
    (saved / "config.json").write_text(json.dumps(quantized, indent=2) + "\n", encoding="utf-8")
    for file in saved.iterdir():
        file.chmod(0o644)  # llm-compressor writes weights that only their owner may read
    shutil.rmtree(output, ignore_errors=True)
    saved.rename(output)


def _names(folder: Path, patterns: Iterable[str]) -> set[str]:
    return {file.name for pattern in patterns for file in folder.glob(pattern)}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
