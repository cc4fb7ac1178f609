"""Each kind of evidence in the words of its standard, as the standard's own schema reads them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from in_toto_attestation.predicates.provenance.v1.provenance_pb2 import Provenance
from in_toto_attestation.predicates.test_result.v0.test_result_pb2 import TestResult as ResultMessage
from in_toto_attestation.predicates.vsa.v1.vsa_pb2 import VerificationSummary

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.digest import canonical_json
from registry.predicates import KINDS, from_predicate, is_document, predicate_type, to_predicate
from tests.simulators.json_values import any_json, mangled
from tests.simulators.records import digest

_AT = "2025-11-21T10:00:00.000001+00:00"
_FINDINGS = [
    Finding(
        name="recovery", outcome=Outcome.PASS, message="as good", baseline=0.5, candidate=0.5, bound=0.02
    ),
    Finding(name="refusals", outcome=Outcome.FAIL, message="worse", failure_class=FailureClass.MODEL),
    Finding(name="latency", outcome=Outcome.INCONCLUSIVE, message="too few samples"),
]
_VERDICT = Verdict.of(_FINDINGS)
_BUILD = {
    "stage": "quantize",
    "parameters": {"scheme": "awq", "bits": 4},
    "dependencies": {"hf://acme/tiny": {"gitCommit": "a" * 40}, "urn:x": {"sha256": digest("x").hex}},
    "versions": {"autoawq": "0.2.9"},
}
_FACTS: dict[str, dict[str, Any]] = {
    "fetch": _BUILD,
    "quantize": _BUILD,
    "quality": {"suite": "smoke", "suite_digest": str(digest("suite"))},
    "scan": {"trivy": "0.76.0", "report": {"vulnerabilities": [{"id": "CVE-1", "severity": "HIGH"}]}},
    "release": {
        "version": "tiny/3",
        "policy": str(digest("policy")),
        "evidence": [str(digest("e")), str(digest("f"))],
    },
}
_SCHEMAS: dict[str, type[Message]] = {
    **dict.fromkeys(("fetch", "quantize"), Provenance),
    **dict.fromkeys(("sanity", "fidelity", "quality", "load", "preflight"), ResultMessage),
    "release": VerificationSummary,
}


def _facts(kind: str) -> dict[str, Any]:
    return {} if is_document(kind) else {**_FACTS.get(kind, {}), "at": _AT, "run": "run-1"}


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("verdict", [None, _VERDICT], ids=["no verdict", "verdict"])
def test_every_kind_reads_back(kind: str, verdict: Verdict | None) -> None:
    """Kind, verdict and facts; a document of another standard has no verdict of ours."""
    predicate = json.loads(canonical_json(to_predicate(kind, verdict, _facts(kind))))
    expected = None if is_document(kind) else verdict
    assert from_predicate(predicate_type(kind), predicate) == (kind, expected, _facts(kind))


@pytest.mark.parametrize("kind", sorted(_SCHEMAS))
def test_the_standards_own_schema_reads_it(kind: str) -> None:
    """in-toto's and SLSA's protobufs, which know no field of ours and pass over it."""
    said = to_predicate(kind, _VERDICT, _facts(kind))
    said.pop("verifiedLevels", None)  # a list in SLSA's specification, one string in their protobuf
    assert ParseDict(said, _SCHEMAS[kind](), ignore_unknown_fields=True).ByteSize() > 0


def test_a_test_result_names_every_finding_once() -> None:
    """What is neither proven good nor proven bad is a warning."""
    said = to_predicate("quality", _VERDICT, _facts("quality"))
    assert (said["result"], said["passedTests"]) == ("FAILED", ["recovery"])
    assert (said["failedTests"], said["warnedTests"]) == (["refusals"], ["latency"])
    assert said["configuration"] == [{"name": "smoke", "digest": {"sha256": digest("suite").hex}}]


@pytest.mark.parametrize(
    ("outcome", "word"),
    [("pass", "PASSED"), ("fail", "FAILED"), ("inconclusive", "WARNED"), ("error", "WARNED")],
)
def test_only_a_pass_is_passed(outcome: str, word: str) -> None:
    """A judge that could not tell said neither."""
    verdict = Verdict.of([Finding(name="x", outcome=Outcome(outcome), message="x")])
    assert to_predicate("load", verdict, _facts("load"))["result"] == word
    assert to_predicate("load", None, _facts("load"))["result"] == "WARNED"
    summary = to_predicate("release", verdict, _facts("release"))
    assert (summary["verificationResult"] == "PASSED") == (outcome == "pass")


def test_a_kind_said_in_another_kinds_words_is_refused() -> None:
    """A scan dressed as a gate's result does not pass for one."""
    scan = to_predicate("scan", _VERDICT, _facts("scan"))
    with pytest.raises(ValueError, match="is not said in"):
        from_predicate(predicate_type("quality"), scan)
    with pytest.raises(KeyError):
        from_predicate(predicate_type("quality"), {"result": "PASSED"})


@settings(max_examples=300)
@given(mangled(to_predicate("quality", _VERDICT, _facts("quality"))))
def test_a_mangled_predicate_reads_as_values_or_is_refused(predicate: Any) -> None:
    """Facts are a mapping and findings have text: whoever shows them relies on it."""
    try:
        _, verdict, facts = from_predicate(predicate_type("quality"), predicate)
    except (AttributeError, KeyError, TypeError, ValueError):
        return
    assert isinstance(facts, dict)
    assert all(isinstance(f.name + f.message, str) for f in (verdict.findings if verdict else ()))


@given(st.text(), any_json())
def test_anything_else_is_foreign(type_: str, predicate: Any) -> None:
    """Only errors that say so."""
    with pytest.raises((AttributeError, KeyError, TypeError, ValueError)):
        from_predicate(type_, predicate)
