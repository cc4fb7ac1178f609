"""What Headgate adds to quantizing: both engines on the quickstart's model, against their bare libraries.

All are whole processes, in turn, from the same folder with the same samples, seed and threads. Ours is the
whole stage: it chooses, starts the engine in its environment, and ends with blobs in an empty home. The
library's is the short program that somebody would write in that environment. Both write the same weights,
byte for byte, or there is nothing to compare. Model and environments are made before the clock starts.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.cost import Cost, cost_of
from benchmarks.quantize_libraries import PROGRAMS
from examples.quickstart.walkthrough import SPEC, trained
from flows.spec import load_spec
from flows.translate import recipes_of
from registry.blobs import BlobStore
from registry.digest import Digest
from registry.home import Home
from tasks.engine_run import prepare
from tasks.engine_uv import engine_variables
from tasks.recipe import Recipe
from tasks.run import open_run
from tasks.workplace import Workplace

ROUNDS = 3
_ENGINES = {"autoawq": "awq_autoawq", "llm-compressor": "quantize_llmcompressor"}
_WEIGHTS = "model.safetensors"

_OURS = """
import json, sys
from pathlib import Path
from registry.manifest import Manifest
from tasks.quantize import quantize
from tasks.recipe import Recipe
from tasks.workplace import open_workplace
source, recipe = json.loads(sys.argv[1])
with open_workplace() as place:
    done = quantize.fn(place, Manifest.from_json(source), Recipe.from_json(recipe), "cpu")
told = {"seconds": done.made_on["seconds"], "manifest": done.manifest.to_json()}
Path(sys.argv[2]).write_text(json.dumps(told))
"""


@dataclass(frozen=True)
class Round:
    """What one quantization cost as ours and as the library's; ``seconds`` is what the engine counts."""

    ours: Cost
    seconds: float
    library: Cost


@dataclass(frozen=True)
class Bench:
    """Where the processes work: a folder for them, the model's, and each engine's interpreter."""

    folder: Path
    model: Path
    pythons: Mapping[str, Path]

    def round(self, recipe: Recipe) -> Round:
        """Both, one after the other; ends the program when their weights differ."""
        ours, seconds, made = self._ours(recipe)
        library, expected = self._library(recipe)
        if made != expected:
            sys.exit(f"{recipe.engine}: Headgate and the library wrote other weights: {made}, {expected}")
        return Round(ours, seconds, library)

    def _ours(self, recipe: Recipe) -> tuple[Cost, float, str]:
        home, answer = self.folder / "home", self.folder / "answer.json"
        source = BlobStore(Home(home).blobs).add_tree(self.model)
        request = json.dumps([source.to_json(), recipe.to_json()])
        cost = self._cost([sys.executable, "-c", _OURS, request, str(answer)], HEADGATE_HOME=str(home))
        told = json.loads(answer.read_text())
        shutil.rmtree(home)
        return cost, told["seconds"], told["manifest"]["files"][_WEIGHTS]["digest"]

    def _library(self, recipe: Recipe) -> tuple[Cost, str]:
        output = self.folder / "saved"
        request = {
            "source_dir": str(self.model),
            "output_dir": str(output),
            "bits": recipe.bits,
            "group_size": recipe.group_size,
            "calibration_texts_file": recipe.calibration,
            "num_samples": recipe.samples,
            "sequence_length": recipe.sequence_length,
            "seed": recipe.seed,
        }
        python = str(self.pythons[recipe.engine])
        cost = self._cost([python, "-c", PROGRAMS[recipe.engine], json.dumps(request)])
        digest = Digest.of_file(output / _WEIGHTS)
        shutil.rmtree(output)
        return cost, str(digest)

    def _cost(self, command: list[str], **more: str) -> Cost:
        log = self.folder / "log"
        try:
            with log.open("w") as file:
                return cost_of(command, env=_variables() | more, stdout=file, stderr=file)
        except subprocess.CalledProcessError as failure:
            sys.exit(f"{log.read_text()[-3000:]}\n{failure}")


def main() -> None:
    """Print the figures: medians of whole processes, overhead pair by pair."""
    with tempfile.TemporaryDirectory() as name:
        bench = prepared(Path(name))
        recipe = recipes_of(load_spec(SPEC).quantize)[0]
        recipes = [replace(recipe, engine=engine) for engine in _ENGINES]
        rounds = [[bench.round(recipe) for recipe in recipes] for _ in range(1 + ROUNDS)]
    figures: dict[str, float] = {}
    counted = zip(*rounds[1:], strict=True)  # the first reads the libraries from the disk
    for engine, measured in zip(_ENGINES, counted, strict=True):
        figures |= summed_up(engine.replace("-", ""), measured)
    for name, value in figures.items():
        print(f"{name}={value:.2f}")
    if "--json" in sys.argv:
        Path("quantize.json").write_text(json.dumps(figures))


def prepared(folder: Path) -> Bench:
    """The environments made, and the quickstart's model trained."""
    with open_run(Home(folder / "training"), "training") as run:
        pythons = {engine: prepare(script, run, stage="prepare") for engine, script in _ENGINES.items()}
        return Bench(folder, trained(Workplace(run.home, {}, run)), pythons)


def summed_up(engine: str, rounds: tuple[Round, ...]) -> dict[str, float]:
    """The figures of one engine's rounds."""
    ratios = [one.ours.wall / one.library.wall for one in rounds]
    return {
        f"{engine}_s": statistics.median(one.ours.wall for one in rounds),
        f"{engine}_library_s": statistics.median(one.library.wall for one in rounds),
        f"{engine}_start_s": statistics.median(one.ours.wall - one.seconds for one in rounds),
        f"{engine}_overhead_pct": 100 * (statistics.median(ratios) - 1),
        f"{engine}_cpu_s": statistics.median(one.ours.cpu for one in rounds),
        f"{engine}_library_cpu_s": statistics.median(one.library.cpu for one in rounds),
        f"{engine}_peak_memory_mib": max(one.ours.peak for one in rounds) / (1 << 20),
        f"{engine}_library_peak_memory_mib": max(one.library.peak for one in rounds) / (1 << 20),
    }


def _variables() -> dict[str, str]:
    """The environment of both sides: what our engines set for themselves, and as many threads."""
    settings = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "TQDM_DISABLE": "1"}
    settings |= {"OMP_WAIT_POLICY": "PASSIVE", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    return engine_variables(os.environ) | settings | {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}


if __name__ == "__main__":
    main()
