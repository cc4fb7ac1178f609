"""Makes a worse copy of an AWQ model folder: noise on the scales of its quantized weights, and nothing else.

The copy loads, answers fluently and knows less, like weights that were damaged on the way. The safetensors
format is read here by hand (an eight-byte length, a JSON header, the tensors), so neither torch nor the
safetensors package is needed. Whether anyone notices is for the gate.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_LENGTH_BYTES = 8  # of the header's length, little-endian


def add_noise(source: Path, output: Path, *, strength: float, seed: int = 0) -> int:
    """Copy the folder, each scale multiplied by 1 + strength x a standard normal; returns how many scales.

    Raises ValueError when the folder has no scales of float16, as AWQ's GEMM format does.
    """
    shutil.copytree(source, output, copy_function=shutil.copyfile)
    generator = np.random.default_rng(seed)
    changed = sum(_disturb(file, generator, strength) for file in sorted(output.glob("*.safetensors")))
    if not changed:
        raise ValueError(f"{source} has no float16 scales; it is not an AWQ model")
    return changed


def scale_tensors(file: Path) -> Iterator[tuple[str, int, int]]:
    """Name, offset in the file and number of values of each float16 scale tensor, by name."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        header: dict[str, Any] = json.loads(stream.read(length))
    for name in sorted(header):
        if name.endswith(".scales") and header[name]["dtype"] == "F16":
            start, end = header[name]["data_offsets"]
            yield name, _LENGTH_BYTES + length + start, (end - start) // 2


def _disturb(file: Path, generator: np.random.Generator, strength: float) -> int:
    changed = 0
    for _, offset, count in scale_tensors(file):
        scales = np.memmap(file, dtype="<f2", mode="r+", offset=offset, shape=(count,))
        factors = 1 + strength * generator.standard_normal(count)
        scales[:] = (scales.astype(np.float64) * factors).astype("<f2")
        scales.flush()
        changed += count
    return changed


def main() -> None:
    """Copy one folder to another, with noise."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--strength", type=float, required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    changed = add_noise(arguments.source, arguments.output, strength=arguments.strength, seed=arguments.seed)
    print(f"{changed} scales changed")


if __name__ == "__main__":
    main()
