"""Provenance: where the source came from and how the weights were made, as signed SLSA statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.fetched import pinned
from registry.manifest import Manifest
from registry.predicates import FETCH, QUANTIZE
from tasks.fetch import Fetched
from tasks.quantize import Quantized
from tasks.record import record_once
from tasks.workplace import Workplace


def record_fetch(place: Workplace, source: Fetched) -> None:
    """These files are that commit: every checksum was verified on the way in."""
    facts = {
        "stage": FETCH,
        "parameters": {"uri": source.uri},
        "dependencies": {source.uri: pinned(source.commit)},
        "versions": {},
        **source.terms.to_json(),
    }
    record_once(place, FETCH, source.manifest.set_digest, None, facts)


def record_quantize(place: Workplace, source: Manifest, weights: Quantized) -> None:
    """These weights were made from that source by this recipe and these packages."""
    if weights.manifest == source:
        return
    dependencies: dict[str, Mapping[str, Any]] = {"urn:headgate:weights": {"sha256": source.set_digest.hex}}
    if calibration := weights.recipe.get("calibration"):
        dependencies["urn:headgate:calibration"] = {"sha256": calibration.removeprefix("sha256:")}
    facts = {
        "stage": QUANTIZE,
        "parameters": dict(weights.recipe),
        "dependencies": dependencies,
        "versions": dict(weights.engine),
        **weights.made_on,
    }
    record_once(place, QUANTIZE, weights.manifest.set_digest, None, facts)
