"""A version with a history, for tests: every kind of evidence about it, and moves of its aliases, signed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.alias import Alias, Aliases, moved
from registry.alias_move import Move
from registry.bundle import Signer, seal
from registry.digest import Digest
from registry.evidence import Evidence, read_evidence
from registry.predicates import (
    APPROVAL,
    FETCH,
    IMAGE_SIGNATURE,
    LOAD,
    QUALITY,
    QUANTIZE,
    RELEASE,
    ROLLOUT,
    SBOM,
    SCAN,
)
from registry.trust import Trust
from registry.version import ModelVersion

HOSTILE = '<script src="http://evil.example/x.js">alert(1)</script>\x1b[31m\u202e"\'&]]>--><b>[bold]'
"""What nobody would write into a name, but a hub might."""


def finding(name: str, outcome: Outcome = Outcome.PASS, **values: Any) -> Finding:
    """A finding that says what it is."""
    message = values.pop("message", f"{name} was looked at: {outcome}")
    failure = FailureClass.MODEL if outcome is Outcome.FAIL else None
    return Finding(name=name, outcome=outcome, message=message, failure_class=failure, **values)


def evidence_of(
    version: ModelVersion,
    *,
    day: int = 1,
    quality: Outcome = Outcome.PASS,
    score: float = 0.71,
    note: str = "ok",
) -> Iterator[Evidence]:
    """Unsigned evidence about each digest of a version; ``note`` is what outsiders wrote into it."""
    at = f"2026-11-{day:02d}T10:%02d:00.000000+00:00"
    build = {
        "run": "run-1",
        "versions": {"autoawq": "0.2.9"},
        "dependencies": {},
        "parameters": {"note": note},
    }
    if version.source_set:
        facts = {**build, "stage": FETCH, "at": at % 0}
        yield Evidence(kind=FETCH, subject=version.source_set, facts=facts)
    yield Evidence(
        kind=QUANTIZE, subject=version.weights_set, facts={**build, "stage": QUANTIZE, "at": at % 5}
    )
    components = [{"name": "vllm", "version": f"0.{day}.0"}, {"name": "numpy", "version": "2.4.1"}]
    sbom = {"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components}
    yield Evidence(kind=SBOM, subject=version.runtime, facts=sbom)
    release = version.release_digest
    scores = finding(
        "source/arith", quality, baseline=0.72, candidate=score, bound=-0.02, message=f"arith: {note}"
    )
    suite = {"suite": "quick", "suite_digest": str(Digest.of_json("quick"))}
    judged = Verdict.of([scores, finding("production/arith", candidate=score)])
    yield Evidence(kind=QUALITY, subject=release, verdict=judged, facts={**suite, "at": at % 10})
    ttft = Verdict.of([finding("ttft_p99_ms", baseline=84.0, candidate=80.0 + day, bound=100.0)])
    yield Evidence(kind=LOAD, subject=release, verdict=ttft, facts={"at": at % 12})
    scanned = Verdict.of(
        [finding("packages", candidate=312, bound=312), finding("vulnerabilities", candidate=0)]
    )
    yield Evidence(kind=SCAN, subject=release, verdict=scanned, facts={"trivy": "0.76.0", "at": at % 20})
    approved = Verdict.of([finding("approval", message=note)])
    yield Evidence(
        kind=APPROVAL, subject=release, verdict=approved, facts={"at": at % 30, "by": "ada", "why": note}
    )
    facts = {
        "version": version.reference,
        "policy": str(Digest.of_json("policy")),
        "evidence": [],
        "at": at % 25,
    }
    yield Evidence(
        kind=RELEASE, subject=version.record_digest, verdict=Verdict.of([finding("quality")]), facts=facts
    )
    yield Evidence(kind=IMAGE_SIGNATURE, subject=version.image)
    outcome = {
        "phase": "succeeded",
        "revision": f"{version.name}-v{version.number}",
        "reason": note,
        "at": at % 55,
    }
    yield Evidence(kind=ROLLOUT, subject=release, verdict=Verdict.of([finding("error_rate")]), facts=outcome)


def signed(evidence: Evidence, signer: Signer, trust: Trust) -> Evidence:
    """The evidence as it is read back after this key signed it."""
    return read_evidence(seal(evidence.statement, signer), trust)


def move(
    version: ModelVersion, alias: Alias, before: Aliases, signer: Signer, trust: Trust, **facts: Any
) -> Move:
    """A signed move of an alias to this version."""
    plain = Move(
        number=facts.pop("number", 1),
        name=version.name,
        gpu_class=version.gpu_class,
        alias=alias,
        before=before,
        after=moved(before, alias, version.number),
        version=version.record_digest,
        **{"at": "2026-11-02T09:00:00+00:00", "who": "ada@build-1", "why": "released", **facts},
    )
    return Move.from_evidence(signed(plain.evidence, signer, trust))
