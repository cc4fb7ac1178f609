"""Attest: sign what is published - its files, its image, its packages - and bind it all in one summary.

The summary (SLSA) has the version's record as its subject and names every piece of evidence that let it be
published; the image is a subject too, so a cluster that knows only the image finds the whole story.
"""

from __future__ import annotations

from collections.abc import Iterable

from prefect import task
from prefect.cache_policies import NO_CACHE

from images.runtime import Runtime
from images.sbom import sbom_of
from judging.verdict import Finding, Outcome, Verdict
from registry.counting import newest_of
from registry.evidence import Evidence, evidence_about, list_bundles, subjects_of
from registry.manifest import Manifest
from registry.predicates import (
    FETCH,
    IMAGE_SIGNATURE,
    QUALITY,
    QUANTIZE,
    RELEASE,
    SBOM,
    SCAN,
    WEIGHTS_SIGNATURE,
)
from registry.referrers import attachable
from registry.version import ModelVersion
from registry.weights_signature import weights_predicate
from tasks.record import record_once
from tasks.workplace import Workplace

_INPUTS = (FETCH, QUANTIZE, QUALITY, SCAN, SBOM, WEIGHTS_SIGNATURE)
"""What the summary rests on. Later evidence - rollouts, rescans, approvals - stands beside it."""


@task(cache_policy=NO_CACHE)
def attest(place: Workplace, version: ModelVersion, weights: Manifest, runtime: Runtime) -> None:
    """Sign a published version; again adds nothing. Everything said about it is attached to its image."""
    with place.stage("attest", version.reference):
        record_once(place, SBOM, version.runtime, None, sbom_of(runtime))
        record_once(place, WEIGHTS_SIGNATURE, weights.set_digest, None, weights_predicate(weights))
        record_once(place, IMAGE_SIGNATURE, version.image, None, {})
        _summarize(place, version)
        attach(place, version)


def attach(place: Workplace, version: ModelVersion) -> None:
    """Let the version's image carry everything that is said about it, as OCI referrers."""
    for subject in subjects_of(version):
        for bundle in attachable(list_bundles(place.store, subject).values()):
            place.layout.put_referrer(version.image, bundle)


def _summarize(place: Workplace, version: ModelVersion) -> None:
    found = [e for e in evidence_about(place.store, version, place.trust) if e.signer]
    rests_on = [e for kind in _INPUTS if (e := newest_of(found, kind))]
    facts = {
        "version": version.reference,
        "policy": str(place.policy.digest),
        "evidence": sorted(str(e.digest) for e in rests_on),
    }
    also = {"release": version.release_digest, "weights": version.weights_set, "image": version.image}
    record_once(place, RELEASE, version.record_digest, _verdict(rests_on), facts, also)


def _verdict(rests_on: Iterable[Evidence]) -> Verdict:
    # Publishing is reached only when every gate said yes, or a waiver in the open said so for it.
    return Verdict.of(
        Finding(name=e.kind, outcome=Outcome.PASS, message=str(e.facts.get("why") or f"{e.kind} passed"))
        for e in rests_on
        if e.verdict
    )
