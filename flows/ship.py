"""What follows the gates: pack, scan, publish, attest, and point ``candidate`` at it."""

from __future__ import annotations

from typing import Any

from eval_suites.gate_page import GatePage
from flows.candidate import Candidate
from flows.translate import scan_policy_of, waiver_of
from images.packer import image_labels
from registry.alias import Alias
from registry.digest import Digest
from registry.manifests import save_manifest
from registry.version import ModelVersion, VersionDraft
from tasks.attest import attest
from tasks.build import build
from tasks.gate_page import page_path
from tasks.keep_weights import keep_weights
from tasks.publish import point, publish
from tasks.record import record_scan
from tasks.scan import Scanned, scan
from tasks.summary import summarize_release
from tasks.workplace import Workplace


def ship(
    place: Workplace, candidate: Candidate, page: GatePage, repository: str
) -> tuple[ModelVersion, dict[str, Any]]:
    """Publish what its gates let through, and say what it came to.

    ``repository`` is its image's name. Raises GateFailed or InfrastructureError when the scan stops it.
    """
    weights, inputs = candidate.weights.manifest, candidate.inputs
    scanned = _scan(place, candidate)
    record_scan(place, candidate.release, scanned)
    image = build(place, weights, _labels(candidate), repository)
    keep_weights(place, weights)
    version = publish(place, _draft(place, candidate, image))
    attest(place, version, weights, inputs.installed.runtime, [*page.gates], inputs.suite.name)
    point(place, Alias.CANDIDATE, version, "its gates passed")
    result = summarize_release(place, version, page.gates, scanned)
    result["page"] = str(page_path(place, candidate.release))
    result["fetched"] = dict(inputs.source.places)
    return version, result


def _scan(place: Workplace, candidate: Candidate) -> Scanned:
    section = candidate.inputs.gates.scan
    installed = candidate.inputs.installed
    return scan(place, installed.folder, installed.runtime, scan_policy_of(section), waiver_of(section))


def _labels(candidate: Candidate) -> dict[str, str]:
    return image_labels(
        source_uri=candidate.inputs.source.uri,
        source_commit=candidate.inputs.source.commit,
        weights_set=candidate.weights.manifest.set_digest,
        serve=candidate.inputs.serve.digest,
        runtime=candidate.inputs.installed.runtime.digest,
    )


def _draft(place: Workplace, candidate: Candidate, image: Digest) -> VersionDraft:
    inputs, weights = candidate.inputs, candidate.weights
    return VersionDraft(
        name=inputs.name,
        source_uri=inputs.source.uri,
        source_commit=inputs.source.commit,
        source_manifest=save_manifest(place.store, inputs.source.manifest),
        source_set=inputs.source.manifest.set_digest,
        weights_manifest=save_manifest(place.store, weights.manifest),
        weights_set=weights.manifest.set_digest,
        recipe=weights.recipe,
        engine=weights.engine,
        runtime=inputs.installed.runtime.digest,
        serve=inputs.serve,
        image=image,
        gpu_class=inputs.gpu_class,
        parent=inputs.production.reference if inputs.production else None,
    )
