"""Reproduce: quantize a version's source again by its own recipe, and compare byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from registry.counting import newest_of
from registry.digest import Digest
from registry.errors import UsageError
from registry.evidence import list_evidence
from registry.manifest import Manifest
from registry.manifests import load_manifest
from registry.predicates import QUANTIZE
from registry.version import ModelVersion
from tasks.quantize import choose, make
from tasks.recipe import Recipe
from tasks.workplace import Workplace

_TELLING = ("versions", "device", "samples_digest")
"""What else decides the bytes, beside source and recipe, as the evidence of quantization has it."""


@dataclass(frozen=True)
class Reproduction:
    """How weights made again differ from the version's, file by file, and how the making differed."""

    differences: tuple[str, ...]
    circumstances: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """A mapping of plain values; ``identical`` says whether every byte is the same."""
        found = {"differences": list(self.differences), "circumstances": list(self.circumstances)}
        return {"identical": not self.differences, **found}


@task(cache_policy=NO_CACHE)
def reproduce(place: Workplace, version: ModelVersion) -> Reproduction:
    """Make the version's weights again; nothing that was kept of the first time is used, nothing is recorded.

    Raises UsageError when nothing was quantized, or source or calibration texts are not here any more.
    """
    recipe = _recipe(version)
    source = load_manifest(place.store, version.source_manifest)
    weights = load_manifest(place.store, version.weights_manifest)
    texts = Digest.parse(recipe.calibration)
    if not place.blobs.claim([texts, *(entry.digest for entry in source.files.values())]):
        raise UsageError(
            f"What {version.reference} was made from is not on this machine",
            why="its source or its calibration texts were collected as garbage, or it was imported",
            next_step="release it again from its source: that brings both back",
        )
    with place.stage("quantize", f"{version.reference} again: {recipe}"):
        choose(place, source, recipe, version.gpu_class)
        again = make(place, source, recipe)
    before, now = _facts(place, version), {"versions": again["versions"], **again["made_on"]}
    other = [name for name in _TELLING if name in before and before[name] != now.get(name)]
    return Reproduction(
        tuple(weights.diff(Manifest.from_json(again["manifest"]))),
        tuple(f"{name} was {before[name]}, and is {now.get(name)} now" for name in other),
    )


def _recipe(version: ModelVersion) -> Recipe:
    if version.recipe.get("engine") == "none":
        raise UsageError(
            f"{version.reference} was not quantized", why="its weights are its source's, byte for byte"
        )
    try:
        recipe = Recipe.from_json(version.recipe)
        Digest.parse(recipe.calibration)
    except (KeyError, TypeError, ValueError) as problem:
        raise UsageError(
            f"The recipe of {version.reference} cannot be followed",
            why=str(problem),
            next_step="use the Headgate that released it, or release it again",
        ) from problem
    return recipe


def _facts(place: Workplace, version: ModelVersion) -> Mapping[str, Any]:
    said = newest_of(list_evidence(place.store, version.weights_set, place.trust), QUANTIZE)
    return said.facts if said else {}
