"""The release flow: fetch, quantize, gate, pack, scan, publish - and promote, when the spec says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.acceptance import accept
from flows.candidate import Candidate, prepare
from flows.ending import told
from flows.promote import promote_if_new
from flows.spec import ReleaseSpec, anchor
from flows.translate import scan_policy_of, waiver_of
from images.packer import image_labels
from registry.alias import Alias
from registry.digest import Digest
from registry.errors import HeadgateError
from registry.manifests import save_manifest
from registry.version import VersionDraft
from tasks.attest import attest
from tasks.build import build
from tasks.gate_page import page_path
from tasks.keep_weights import keep_weights
from tasks.publish import point, publish
from tasks.record import record_scan
from tasks.scan import Scanned, scan
from tasks.summary import summarize_release
from tasks.workplace import Workplace, open_workplace


@flow(name="release")
def release(spec: ReleaseSpec) -> dict[str, Any]:
    """Take a model from a hub to a version with evidence, and on to the fleet when ``rollout.auto`` is set.

    Args:
        spec: One release - what to fetch, and how to quantize, serve, judge and roll it out.
    """
    try:
        return _release(anchor(spec, Path.cwd()))
    except HeadgateError as error:
        return told(error)


def _release(spec: ReleaseSpec) -> dict[str, Any]:
    with open_workplace() as place:
        inputs = prepare(place, spec)
        accepted = accept(place, inputs)
        candidate, gates = accepted.candidate, accepted.page.gates
        scanned = _scan(place, candidate)
        record_scan(place, candidate.release, scanned)
        image = build(place, candidate.weights.manifest, _labels(candidate), _repository(spec))
        keep_weights(place, candidate.weights.manifest)
        version = publish(place, _draft(place, candidate, image))
        attest(place, version, candidate.weights.manifest, inputs.installed.runtime)
        point(place, Alias.CANDIDATE, version, "its gates passed")
        result = summarize_release(place, version, gates, scanned)
        result["page"] = str(page_path(place, candidate.release))
        result["fetched"] = dict(inputs.source.places)
    if accepted.rejected:
        result["rejected"] = [
            {"recipe": r.to_json(), "why": refusal.why, "next": refusal.next_step}
            for r, refusal in accepted.rejected
        ]
    if spec.rollout.auto:
        result["rollout"] = promote_if_new(version, spec.rollout)
    return result


def _scan(place: Workplace, candidate: Candidate) -> Scanned:
    section = candidate.inputs.spec.scan
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


def _repository(spec: ReleaseSpec) -> str:
    return spec.image.repository or spec.registry.name


def _draft(place: Workplace, candidate: Candidate, image: Digest) -> VersionDraft:
    inputs, weights = candidate.inputs, candidate.weights
    return VersionDraft(
        name=inputs.spec.registry.name,
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
        gpu_class=inputs.spec.serve.gpu_class,
        parent=inputs.production.reference if inputs.production else None,
    )
