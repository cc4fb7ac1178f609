"""Quantize: hand the source weights and a recipe to an engine, and keep what it wrote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.digest import Digest
from registry.errors import UsageError
from registry.manifest import Manifest
from tasks.disk import require_space
from tasks.engine_run import engine_digest, run_engine
from tasks.workplace import Workplace

_TIMEOUT = 24 * 3600.0  # seconds; users report eight hours for a 67B model (AutoAWQ issue 299)
_ENGINES = {"autoawq": "awq_autoawq"}


@dataclass(frozen=True)
class Quantized:
    """The weights that ship, and the packages that made them."""

    manifest: Manifest
    recipe: Mapping[str, Any]
    engine: Mapping[str, str] = field(default_factory=dict)


@task(cache_policy=NO_CACHE)
def quantize(place: Workplace, source: Manifest, engine: str, recipe: Mapping[str, Any]) -> Quantized:
    """The source quantized by the recipe: the keys of the spec's ``quantize`` section but ``engine``.

    Raises UsageError for a model or recipe the engine cannot do, before it spends time on it.
    """
    if engine == "none":
        return Quantized(source, {"engine": "none"})
    calibration = _calibration(Path(recipe["calibration"]))
    recorded = {**recipe, "engine": engine, "calibration": str(calibration)}
    script = _ENGINES[engine]
    inputs = {"weights": source.set_digest, "recipe": recorded, "engine": engine_digest(script)}
    with place.stage("quantize", f"{engine}, {recipe['bits']} bits, group size {recipe['group_size']}"):
        result = place.staged("quantize", inputs, lambda: _run(place, source, script, recipe))
    return Quantized(Manifest.from_json(result["manifest"]), recorded, result["versions"])


def _calibration(path: Path) -> Digest:
    try:
        return Digest.of_file(path)
    except OSError as error:
        raise UsageError(
            f"the calibration texts {path} cannot be read",
            why=error.strerror or str(error),
            next_step='name a JSONL file of {"text": ...} lines under quantize.calibration',
        ) from error


def _run(place: Workplace, source: Manifest, script: str, recipe: Mapping[str, Any]) -> dict[str, Any]:
    output = place.run.directory / "quantized"
    require_space(place.run.directory, source.size, "the quantized weights")  # never more than the source
    shutil.rmtree(output, ignore_errors=True)
    request = {
        "source_dir": str(place.unpacked(source)),
        "output_dir": str(output),
        "bits": recipe["bits"],
        "group_size": recipe["group_size"],
        "zero_point": recipe["zero_point"],
        "calibration_texts_file": recipe["calibration"],
        "num_samples": recipe["samples"],
        "sequence_length": recipe["sequence_length"],
        "seed": recipe["seed"],
    }
    result = run_engine(script, request, place.run, timeout=_TIMEOUT, stage="quantize")
    manifest = place.blobs.add_tree(output)
    shutil.rmtree(output)
    return {"manifest": manifest.to_json(), "versions": result["versions"]}
