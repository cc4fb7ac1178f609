"""How each kind of evidence is said in the field's own words: predicate types and their fields. Pure.

Sources: in-toto attestation predicates test-result v0.1 and vulns v0.2, SLSA provenance v1 and verification
summary v1, CycloneDX, model-signing v1.0, cosign's sign v1. Beside the standard fields a field of our own
(in-toto's readers ignore fields they do not know) carries the whole record: kind, verdict, facts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from judging.verdict import Outcome, Verdict

FETCH, QUANTIZE = "fetch", "quantize"
SANITY, FIDELITY, QUALITY = "sanity", "fidelity", "quality"
LOAD, PREFLIGHT = "load", "preflight"
SCAN, SBOM = "scan", "sbom"
RELEASE, APPROVAL, ROLLOUT, ALIAS_MOVE = "release", "approval", "rollout", "alias-move"
WEIGHTS_SIGNATURE, IMAGE_SIGNATURE = "weights-signature", "image-signature"
EXPORT = "export"
KINDS = frozenset(
    {FETCH, QUANTIZE, SANITY, FIDELITY, QUALITY, LOAD, PREFLIGHT, SCAN, SBOM}
    | {RELEASE, APPROVAL, ROLLOUT, ALIAS_MOVE, WEIGHTS_SIGNATURE, IMAGE_SIGNATURE, EXPORT}
)
"""Every kind there is: what a key may be trusted for, and most of it a policy may ask for."""

NOUNS = {FIDELITY: "fidelity gate", QUALITY: "quality gate", LOAD: "load test", SBOM: "SBOM"}
"""What people call a kind, where that is not its name."""

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VULNS = "https://in-toto.io/attestation/vulns/v0.2"
PROVENANCE = "https://slsa.dev/provenance/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
CYCLONEDX = "https://cyclonedx.org/bom"
MODEL_SIGNING = "https://model_signing/signature/v1.0"
COSIGN_SIGN = "https://sigstore.dev/cosign/sign/v1"

_DOCUMENTS = {SBOM: CYCLONEDX, WEIGHTS_SIGNATURE: MODEL_SIGNING, IMAGE_SIGNATURE: COSIGN_SIGN}
"""Kinds that are documents of another standard, whole: no room for a field of ours. Cosign's is empty."""
_OWN = "headgate"


def is_document(kind: str) -> bool:
    """Whether evidence of this kind is a document of another standard, whole: its facts are the predicate."""
    return kind in _DOCUMENTS


def predicate_type(kind: str) -> str:
    """The URI of the predicate this kind is said in; one of our own where no standard has a word for it."""
    if kind in _DOCUMENTS:
        return _DOCUMENTS[kind]
    return _STANDARD[kind][0] if kind in _STANDARD else f"urn:headgate:predicate:{kind}:v1"


def to_predicate(kind: str, verdict: Verdict | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The predicate of a piece of evidence; of a document, the facts are the predicate."""
    if kind in _DOCUMENTS:
        return dict(facts)
    standard = _STANDARD[kind][1](verdict, facts) if kind in _STANDARD else {}
    own = {"kind": kind, "verdict": verdict.to_json() if verdict else None, "facts": dict(facts)}
    return {**standard, _OWN: own}


def from_predicate(type_: str, predicate: Mapping[str, Any]) -> tuple[str, Verdict | None, Mapping[str, Any]]:
    """Kind, verdict and facts of a predicate; raises KeyError, TypeError or ValueError for a foreign one."""
    for kind, document in _DOCUMENTS.items():
        if type_ == document:
            return kind, None, dict(predicate)
    own = predicate[_OWN]
    if predicate_type(own["kind"]) != type_:
        raise ValueError(f"{own['kind']!r} is not said in {type_}")
    verdict = Verdict.from_json(own["verdict"]) if own["verdict"] else None
    return own["kind"], verdict, dict(own["facts"])


def _test_result(verdict: Verdict | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    # The standard has three words: what is neither proven good nor proven bad is a warning.
    words = {Outcome.PASS: "PASSED", Outcome.FAIL: "FAILED"}
    findings = verdict.findings if verdict else ()
    passed = [f.name for f in findings if f.outcome is Outcome.PASS]
    failed = [f.name for f in findings if f.outcome is Outcome.FAIL]
    other = [f.name for f in findings if f.name not in {*passed, *failed}]
    known = {"suite", "suite_digest"} <= facts.keys()
    suite = [{"name": facts["suite"], "digest": _sha256(facts["suite_digest"])}] if known else []
    return {
        "result": words.get(verdict.outcome, "WARNED") if verdict else "WARNED",
        "configuration": suite,
        "passedTests": passed,
        "warnedTests": other,
        "failedTests": failed,
    }


def _vulns(_verdict: Verdict | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    found = facts.get("report", {}).get("vulnerabilities", [])
    result = [{"id": v["id"], "severity": [{"method": "trivy", "score": v["severity"]}]} for v in found]
    return {
        "scanner": {
            "uri": "pkg:github/aquasecurity/trivy",
            "version": facts.get("trivy") or "",
            "result": result,
        },
        "metadata": {"scanFinishedOn": facts.get("at", "")},
    }


def _provenance(_verdict: Verdict | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    dependencies = [{"uri": uri, "digest": digest} for uri, digest in facts["dependencies"].items()]
    return {
        "buildDefinition": {
            "buildType": f"urn:headgate:build:{facts['stage']}:v1",
            "externalParameters": dict(facts["parameters"]),
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": "urn:headgate:builder", "version": dict(facts["versions"])},
            "metadata": {"invocationId": facts["run"], "finishedOn": facts["at"]},
        },
    }


def _summary(verdict: Verdict | None, facts: Mapping[str, Any]) -> dict[str, Any]:
    inputs = [{"digest": _sha256(digest)} for digest in facts["evidence"]]
    return {
        "verifier": {"id": "urn:headgate:verifier"},
        "timeVerified": facts["at"],
        "resourceUri": f"urn:headgate:version:{facts['version']}",
        "policy": {"uri": "urn:headgate:policy", "digest": _sha256(facts["policy"])},
        "inputAttestations": inputs,
        "verificationResult": "PASSED" if verdict and verdict.passed else "FAILED",
        "verifiedLevels": [],
    }


def _sha256(digest: str) -> dict[str, str]:
    return {"sha256": digest.removeprefix("sha256:")}


_STANDARD: dict[str, tuple[str, Callable[[Verdict | None, Mapping[str, Any]], dict[str, Any]]]] = {
    FETCH: (PROVENANCE, _provenance),
    QUANTIZE: (PROVENANCE, _provenance),
    SANITY: (TEST_RESULT, _test_result),
    FIDELITY: (TEST_RESULT, _test_result),
    QUALITY: (TEST_RESULT, _test_result),
    LOAD: (TEST_RESULT, _test_result),
    PREFLIGHT: (TEST_RESULT, _test_result),
    SCAN: (VULNS, _vulns),
    RELEASE: (SUMMARY, _summary),
}
