"""Makes a worse copy of a model folder: noise on AWQ's scales, or on linear layers, and on nothing else.

The copy loads, answers fluently and knows less, like weights that were damaged on the way. The safetensors
format is read here by hand (an eight-byte length, a JSON header, the tensors), so neither torch nor the
safetensors package is needed. Whether anyone notices is for the gate.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LENGTH_BYTES = 8  # of the header's length, little-endian
_SCALES = ".scales"
_LINEAR = "_proj.weight"  # what recipes quantize of a Llama
_Values = NDArray[np.float64]


def add_noise(source: Path, output: Path, *, strength: float, seed: int = 0) -> int:
    """Copy the folder, each scale multiplied by 1 + strength x a standard normal; returns how many scales.

    Raises ValueError when the folder has no scales of float16, as AWQ's GEMM format does.
    """
    return _copy(source, output, _SCALES, seed, lambda scales, normal: scales * (1 + strength * normal))


def add_weight_noise(source: Path, output: Path, *, dose: float, seed: int = 0) -> int:
    """Copy the folder, dose x its tensor's standard deviation x a standard normal added to each weight.

    Of linear layers alone; returns how many weights. With one seed a larger dose goes farther the same way.
    Raises ValueError when the folder has no linear layers of float16, as when it is quantized.
    """
    return _copy(
        source, output, _LINEAR, seed, lambda weights, normal: weights + dose * weights.std() * normal
    )


def _copy(
    source: Path, output: Path, ending: str, seed: int, disturb: Callable[[_Values, _Values], _Values]
) -> int:
    shutil.copytree(source, output, copy_function=shutil.copyfile)
    generator = np.random.default_rng(seed)
    changed = 0
    for file in sorted(output.glob("*.safetensors")):
        for offset, count in _tensors(file, ending):
            values = np.memmap(file, dtype="<f2", mode="r+", offset=offset, shape=(count,))
            values[:] = disturb(values.astype(np.float64), generator.standard_normal(count)).astype("<f2")
            values.flush()
            changed += count
    if not changed:
        raise ValueError(f"{source} has no float16 tensor whose name ends in {ending}")
    return changed


def _tensors(file: Path, ending: str) -> Iterator[tuple[int, int]]:
    """Offset in the file and number of values of each float16 tensor whose name ends so, by name."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
        header: dict[str, Any] = json.loads(stream.read(length))
    for name in sorted(header):
        if name.endswith(ending) and header[name]["dtype"] == "F16":
            start, end = header[name]["data_offsets"]
            yield _LENGTH_BYTES + length + start, (end - start) // 2


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
