"""The summary that a release signs: it says what its evidence says, no more."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from images.runtime import Distribution, Runtime
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.evidence import Evidence, evidence_about, record
from registry.manifests import load_manifest
from registry.publish import publish
from registry.version import ModelVersion, VersionDraft
from tasks.attest import attest
from tasks.run import Run
from tasks.workplace import Workplace
from tests.simulators.records import digest
from tests.simulators.released import TinyHome, passed, release

RUNTIME = Runtime((Distribution("vllm", "0.11.0", digest("vllm")),))
OLD, NEW = "2026-10-20T10:00:00+00:00", "2026-10-21T10:00:00+00:00"


def published(at: TinyHome) -> ModelVersion:
    """A version that nothing was said about yet."""
    plain = release(at)
    values = {name: getattr(plain, name) for name in VersionDraft.__dataclass_fields__}
    return publish(at.store, VersionDraft(**{**values, "runtime": RUNTIME.digest}))


def said(version: ModelVersion, kind: str, verdict: Verdict, at: str, **facts: object) -> Evidence:
    return Evidence(kind=kind, subject=version.release_digest, verdict=verdict, facts={"at": at, **facts})


def outcome(kind: Outcome, failure: FailureClass) -> Verdict:
    return Verdict.of([Finding(name="x", outcome=kind, message="because", failure_class=failure)])


def attested(
    at: TinyHome, version: ModelVersion, gates: tuple[str, ...] = ("quality",), suite: str = "own"
) -> list[Evidence]:
    place = Workplace(at.home, os.environ, Run(at.home, "run"))
    attest.fn(place, version, load_manifest(at.store, version.weights_manifest), RUNTIME, gates, suite)
    found = evidence_about(at.store, version, at.trust)
    return [e for e in found if e.kind == "release" and e.subject == version.record_digest]


def test_again_adds_nothing(at: TinyHome) -> None:
    """Evidence, summary and referrers of the first time are all there is."""
    version = published(at)
    for kind in ("quality", "scan"):
        record(at.store, at.signer, said(version, kind, passed(kind), OLD))
    (first,) = attested(at, version)
    before = (sorted(at.store.list("")), sorted(at.layout.bundles(version.image)))
    (second,) = attested(at, version)
    assert first == second
    assert (sorted(at.store.list("")), sorted(at.layout.bundles(version.image))) == before
    assert first.verdict
    assert first.verdict.passed


def test_a_failure_found_meanwhile_is_in_the_summary(at: TinyHome) -> None:
    """Another run has judged the same release: its no is not signed as a yes."""
    version = published(at)
    record(at.store, at.signer, said(version, "quality", passed("quality"), OLD))
    record(at.store, at.signer, said(version, "quality", outcome(Outcome.FAIL, FailureClass.MODEL), NEW))
    (summary,) = attested(at, version)
    assert summary.verdict
    assert summary.verdict.outcome is Outcome.FAIL
    assert summary.verdict.reasons() == ["because"]


def test_what_another_spec_found_is_not_in_the_summary(at: TinyHome) -> None:
    """Its suite, and a gate that this release was not asked: they speak of the same weights, beside it."""
    version, unsure = published(at), outcome(Outcome.INCONCLUSIVE, FailureClass.MODEL)
    own = record(at.store, at.signer, said(version, "quality", passed("quality"), OLD, suite="own"))
    record(at.store, at.signer, said(version, "quality", unsure, NEW, suite="strict"))
    load = record(at.store, at.signer, said(version, "load", passed("load"), OLD))
    (summary,) = attested(at, version)
    assert (str(own) in summary.facts["evidence"], str(load) in summary.facts["evidence"]) == (True, False)
    assert summary.verdict
    assert summary.verdict.passed
    assert [finding.message for finding in summary.verdict.findings] == ["quality own passed"]
    asked = attested(at, version, ("quality", "load"))
    assert any(str(load) in statement.facts["evidence"] for statement in asked)


@pytest.mark.parametrize(("until", "expected"), [("2999-01-01", Outcome.PASS), ("2026-01-01", Outcome.ERROR)])
def test_a_waiver_that_holds_is_a_yes(at: TinyHome, until: str, expected: Outcome) -> None:
    """And one that ended is none."""
    version, waiver = published(at), {"owner": "ann", "reason": "r", "until": until}
    error = outcome(Outcome.ERROR, FailureClass.INFRA)
    record(at.store, at.signer, said(version, "scan", error, OLD, waiver=waiver))
    (summary,) = attested(at, version)
    assert summary.verdict
    assert summary.verdict.outcome is expected


def test_another_image_of_the_same_weights_is_summarized_on_its_own(at: TinyHome) -> None:
    """Gates hang on the release, the summary on the record."""
    version = published(at)
    record(at.store, at.signer, said(version, "quality", passed("quality"), OLD))
    attested(at, version)
    values = {name: getattr(version, name) for name in VersionDraft.__dataclass_fields__}
    other = publish(at.store, replace(VersionDraft(**values), recipe={"scheme": "gptq"}))
    assert other.release_digest == version.release_digest
    assert len(attested(at, other)) == 1
