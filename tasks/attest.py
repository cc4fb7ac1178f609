"""Attest: sign what is published - its files, its image, its packages - and bind it all in one summary.

The summary (SLSA) has the version's record as its subject and names every piece of evidence that let it be
published; the image is a subject too, so a cluster that knows only the image finds the whole story.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime

from prefect import task
from prefect.cache_policies import NO_CACHE

from images.runtime import Runtime
from images.sbom import sbom_of
from judging.verdict import Finding, Outcome, Verdict
from registry.counting import GATES, Case, suite_of
from registry.errors import Refused
from registry.evidence import Evidence, evidence_about, list_bundles, subjects_of
from registry.manifest import Manifest
from registry.manifests import load_manifest
from registry.predicates import (
    FETCH,
    FIDELITY,
    IMAGE_SIGNATURE,
    LOAD,
    QUALITY,
    QUANTIZE,
    RELEASE,
    SANITY,
    SBOM,
    SCAN,
    WEIGHTS_SIGNATURE,
)
from registry.referrers import attachable
from registry.version import ModelVersion
from registry.weights_signature import weights_predicate
from tasks.record import record_once
from tasks.workplace import Workplace

_INPUTS = (FETCH, QUANTIZE, SANITY, FIDELITY, QUALITY, LOAD, SCAN, SBOM, WEIGHTS_SIGNATURE)
"""What the summary rests on, of gates those that were asked.

Later evidence - rollouts, rescans, approvals - and what another spec's gates said stand beside it."""


@task(cache_policy=NO_CACHE)
def attest(
    place: Workplace,
    version: ModelVersion,
    weights: Manifest,
    runtime: Runtime,
    gates: Collection[str],
    suite: str,
) -> None:
    """Sign a published version; again adds nothing. Everything said about it is attached to its image.

    ``gates`` are the kinds of those that let it through, ``suite`` the name of what it was asked. Raises
    Refused for a record that contradicts itself: another hand wrote it before this release did.
    """
    source = load_manifest(place.store, version.source_manifest)
    if version.source_set not in (None, source.set_digest):
        why = f"it says its source is {version.source_set}, and lists files that are {source.set_digest}"
        next_step = "find out who writes to the store, and release it under another name"
        raise Refused(f"The record of {version.reference} is not signed", why=why, next_step=next_step)
    with place.stage("attest", version.reference):
        record_once(place, SBOM, version.runtime, None, sbom_of(runtime))
        record_once(place, WEIGHTS_SIGNATURE, weights.set_digest, None, weights_predicate(weights))
        record_once(place, IMAGE_SIGNATURE, version.image, None, {})
        _summarize(place, version, gates, suite)
        attach(place, version)


def attach(place: Workplace, version: ModelVersion) -> None:
    """Let the version's image carry everything that is said about it, as OCI referrers."""
    bundles = [b for subject in subjects_of(version) for b in list_bundles(place.store, subject).values()]
    place.layout.put_referrers(version.image, attachable(bundles))


def _summarize(place: Workplace, version: ModelVersion, gates: Collection[str], suite: str) -> None:
    found = tuple(evidence_about(place.store, version, place.trust))
    case = Case(version, found, datetime.now(UTC), place.trust)
    newest = [e for kind in _INPUTS if kind in gates or kind not in GATES for e in case.newest(kind)]
    rests_on = [e for e in newest if suite_of(e) in {None, suite}]
    facts = {
        "version": version.reference,
        "policy": str(place.policy.digest),
        "evidence": sorted(str(e.digest) for e in rests_on),
    }
    also = {"release": version.release_digest, "weights": version.weights_set, "image": version.image}
    record_once(place, RELEASE, version.record_digest, _verdict(case, rests_on), facts, also)


def _verdict(case: Case, rests_on: Iterable[Evidence]) -> Verdict:
    # Here every gate has said yes, or a waiver in the open; another run may have found out more since.
    return Verdict.of(_finding(case, e, e.verdict) for e in rests_on if e.verdict)


def _finding(case: Case, evidence: Evidence, verdict: Verdict) -> Finding:
    waived = (case.waived_until(evidence) or date.min) >= case.now.date()
    if verdict.passed or waived:
        passed = f"{' '.join(filter(None, (evidence.kind, suite_of(evidence))))} passed"
        message = str(evidence.facts.get("why") or passed)
        return Finding(name=evidence.kind, outcome=Outcome.PASS, message=message)
    reasons, failure = "; ".join(verdict.reasons()), verdict.failure_class
    return Finding(name=evidence.kind, outcome=verdict.outcome, message=reasons, failure_class=failure)
