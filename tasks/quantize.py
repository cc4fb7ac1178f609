"""Quantize: choose an engine for a recipe, hand it the source weights, and keep what it wrote."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from eval_suites.quantized_layers import is_quantized, layers_of
from registry.atomic import temporary_beside
from registry.digest import Digest
from registry.errors import UsageError
from registry.manifest import Manifest
from registry.version import ModelVersion
from tasks.calibration import calibration_file
from tasks.disk import require_space
from tasks.engine_choice import Choice, choose_engine
from tasks.engine_run import engine_digest, run_engine
from tasks.machine import this_machine
from tasks.model_facts import model_of
from tasks.progress import report
from tasks.recipe import Recipe
from tasks.workplace import Workplace

_TIMEOUT = 24 * 3600.0  # seconds; users report eight hours for a 67B model (AutoAWQ issue 299)
_SCRIPTS = {"autoawq": "awq_autoawq", "llm-compressor": "quantize_llmcompressor"}
NOT_QUANTIZED: Mapping[str, Any] = {"engine": "none"}
"""The recipe of weights that are published as they came."""


@dataclass(frozen=True)
class Quantized:
    """The weights that ship, the recipe as it was followed, and what made them.

    ``engine`` are the packages' versions; ``made_on`` what else decides the bytes, or tells of the work:
    device, digest of the calibration samples, layers, seconds. ``targets`` are the layers that the engine
    was to quantize, by its own names: thousands in a mixture of experts, so they are no part of a record.
    """

    manifest: Manifest
    recipe: Mapping[str, Any]
    engine: Mapping[str, str] = field(default_factory=dict)
    made_on: Mapping[str, Any] = field(default_factory=dict)
    targets: tuple[str, ...] = ()


@task(cache_policy=NO_CACHE)
def quantize(
    place: Workplace, source: Manifest, recipe: Recipe, gpu_class: str, token_secret: str | None = None
) -> Quantized:
    """The source quantized by the recipe, for servers of this GPU class.

    ``token_secret`` names the Prefect Secret that opens calibration texts on a hub, as in ``fetch``. Raises
    UsageError for a model or recipe that no engine, or no server there, can do, before time is spent.
    """
    with place.stage("quantize", str(recipe)):
        texts = _kept(place, calibration_file(place, recipe.calibration, recipe.samples, token_secret))
        choice = choose(place, source, recipe, gpu_class)
        report("quantize", f"{choice.engine}: {choice.why}")
        followed = replace(recipe, engine=choice.engine, calibration=str(texts))
        result = place.staged("quantize", _inputs(source, followed), lambda: make(place, source, followed))
    return Quantized(
        Manifest.from_json(result["manifest"]),
        followed.to_json(),
        result["versions"],
        result["made_on"],
        tuple(result["targets"]),
    )


def quantized_before(place: Workplace, version: ModelVersion, weights: Manifest) -> Quantized:
    """A version's weights as they were made, of its record and files.

    ``targets`` are the layers that are quantized: which ones were to be, no record keeps. The sanity gate
    still holds them against what the recipe is about.
    """
    layers = layers_of(model_of(place.blobs, weights).tensors)
    targets = tuple(layer for layer, parts in layers.items() if is_quantized(parts))
    return Quantized(weights, version.recipe, version.engine, targets=targets)


def choose(place: Workplace, source: Manifest, recipe: Recipe, gpu_class: str) -> Choice:
    """The engine for the recipe on this machine; raises UsageError when there is none."""
    return choose_engine(recipe, model_of(place.blobs, source), this_machine(), gpu_class)


def check_ignored(place: Workplace, source: Manifest, recipe: Recipe) -> None:
    """Raises UsageError for a name or pattern under ``ignore`` that is no layer's of this model."""
    model = model_of(place.blobs, source)
    if unknown := model.unknown(recipe.ignore):
        raise UsageError(
            f"The model has no layer that quantize.ignore means by {' or '.join(map(repr, unknown))}",
            why=f"its layers are called {', '.join(model.examples())}",
            next_step="write a layer's name, the end of it after a dot, or re: and a pattern that fits it "
            "from its beginning",
        )


def make(place: Workplace, source: Manifest, recipe: Recipe) -> dict[str, Any]:
    """Run the recipe's engine, whatever is kept of it; the new weights are in the blob store.

    The calibration texts are the blob that the recipe names.
    """
    output = place.run.directory / "quantized"
    require_space(place.run.directory, source.size, "the quantized weights")  # never more than the source
    shutil.rmtree(output, ignore_errors=True)
    request = {
        "source_dir": str(place.unpacked(source)),
        "output_dir": str(output),
        "method": recipe.method,
        "bits": recipe.bits,
        "group_size": recipe.group_size,
        "zero_point": recipe.zero_point,
        "ignore": list(recipe.ignore),
        "calibration_texts_file": str(place.blobs.path(Digest.parse(recipe.calibration))),
        "num_samples": recipe.samples,
        "sequence_length": recipe.sequence_length,
        "seed": recipe.seed,
    }
    result = run_engine(_SCRIPTS[recipe.engine], request, place.run, timeout=_TIMEOUT, stage="quantize")
    manifest = place.blobs.add_tree(output)
    shutil.rmtree(output)
    made_on = {name: value for name, value in result.items() if name not in {"ok", "versions"}}
    targets = made_on["layers"].pop("names")
    versions = result["versions"]
    return {"manifest": manifest.to_json(), "versions": versions, "made_on": made_on, "targets": targets}


def _kept(place: Workplace, texts: Path) -> Digest:
    """The texts as a blob of their own: what is used, and used again, must not hang on a user's file."""
    with temporary_beside(place.run.directory / "calibration") as copy:
        shutil.copyfile(texts, copy)
        return place.blobs.add_file(copy)


def _inputs(source: Manifest, recipe: Recipe) -> dict[str, Any]:
    script = _SCRIPTS[recipe.engine]
    return {"weights": source.set_digest, "recipe": recipe.to_json(), "engine": engine_digest(script)}
