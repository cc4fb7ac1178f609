"""Which evidence lets a release be promoted."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.digest import Digest
from registry.evidence import Evidence
from registry.policy import missing_evidence

SUBJECT = Digest.of_bytes(b"release")
TODAY = date(2026, 11, 21)


def evidence(kind: str, outcome: Outcome, at: str = "2026-11-20", **facts: Any) -> Evidence:
    finding = Finding(name="x", outcome=outcome, message="because", failure_class=FailureClass.INFRA)
    return Evidence(kind=kind, subject=SUBJECT, verdict=Verdict.of([finding]), facts={"at": at, **facts})


def waived(until: str) -> Evidence:
    return evidence("scan", Outcome.ERROR, waiver={"owner": "ann", "reason": "r", "until": until})


def test_a_pass_of_gate_and_scan_is_enough() -> None:
    """Nothing is missing."""
    found = [evidence("quality", Outcome.PASS), evidence("scan", Outcome.PASS)]
    assert missing_evidence(found, TODAY) == []


def test_no_evidence_names_both_kinds() -> None:
    """Everything that is missing is said at once."""
    assert missing_evidence([], TODAY) == [
        "no quality gate has judged it",
        "no scan has looked at its runtime",
    ]


@pytest.mark.parametrize("outcome", [Outcome.FAIL, Outcome.ERROR, Outcome.INCONCLUSIVE])
@pytest.mark.parametrize("kind", ["quality", "scan"])
def test_anything_but_a_pass_keeps_it_back(kind: str, outcome: Outcome) -> None:
    """Inconclusive and error are no passes."""
    found = [evidence("quality", Outcome.PASS), evidence("scan", Outcome.PASS)]
    found.append(evidence(kind, outcome, at="2026-11-21"))
    assert len(missing_evidence(found, TODAY)) == 1


def test_a_waiver_covers_an_error_until_its_last_day() -> None:
    """It holds on that day and not after."""
    gate = evidence("quality", Outcome.PASS)
    assert missing_evidence([gate, waived("2026-11-21")], TODAY) == []
    assert missing_evidence([gate, waived("2026-11-20")], TODAY) == [
        "the waiver of ann for its scan ended on 2026-11-20"
    ]


def test_a_waiver_never_covers_a_fail() -> None:
    """Proven vulnerabilities stay a no."""
    failed = evidence("scan", Outcome.FAIL, waiver={"owner": "ann", "reason": "r", "until": "2027-01-01"})
    assert len(missing_evidence([evidence("quality", Outcome.PASS), failed], TODAY)) == 1


def test_the_newest_record_counts() -> None:
    """A later pass replaces an earlier error."""
    found = [
        evidence("scan", Outcome.ERROR, at="2026-11-01"),
        evidence("scan", Outcome.PASS, at="2026-11-20"),
    ]
    assert missing_evidence([evidence("quality", Outcome.PASS), *found], TODAY) == []


@pytest.mark.parametrize("kind", ["quality", "scan"])
def test_of_one_moment_the_record_that_did_not_pass_counts(kind: str) -> None:
    """Whatever their order: which came last is not known, and no doubt is a pass."""
    gates = [evidence("quality", Outcome.PASS), evidence("scan", Outcome.PASS)]
    failed = evidence(kind, Outcome.FAIL)
    for found in ([*gates, failed], [failed, *gates]):
        assert len(missing_evidence(found, TODAY)) == 1
