"""Record: what the judges said, as evidence on the release they judged; and stop where they said no."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from eval_suites.gate_report import to_markdown
from eval_suites.suite import Suite
from judging.verdict import Outcome, Verdict
from registry.digest import Digest
from registry.errors import GateFailed, HeadgateError, Inconclusive, InfrastructureError
from registry.evidence import Evidence, list_evidence, record
from registry.policy import QUALITY, SCAN, newest_of
from tasks.scan import Scanned
from tasks.summary import write_report
from tasks.workplace import Workplace


def record_quality(place: Workplace, suite: Suite, release: Digest, verdict: Verdict) -> None:
    """Keep the gate's verdict and report; unless it passed, raises the error of its outcome."""
    report = write_report(place, "gate-report", to_markdown(suite, verdict))
    facts = {"suite": suite.name, "suite_digest": str(suite.digest)}
    _record(place, QUALITY, release, verdict, facts)
    if not verdict.passed:
        kind = _QUALITY_ERRORS[verdict.outcome]
        raise kind(
            f"the quality gate said {verdict.outcome}; nothing was published",
            why="; ".join(verdict.reasons()),
            next_step=f"read {report}",
        )


def record_scan(place: Workplace, release: Digest, scanned: Scanned) -> None:
    """Keep the scan's verdict; raises GateFailed or InfrastructureError when policy does not let it go on."""
    _record(place, SCAN, release, scanned.verdict, scanned.facts)
    if not scanned.acceptance.accepted:
        failed = scanned.verdict.outcome is Outcome.FAIL
        kind: type[HeadgateError] = GateFailed if failed else InfrastructureError
        raise kind(
            f"the scan said {scanned.verdict.outcome}; nothing was published",
            why=scanned.acceptance.message,
            next_step="update what it names, or mend the scanner; a waiver in the spec covers an error",
        )


_QUALITY_ERRORS: dict[Outcome, type[HeadgateError]] = {
    Outcome.FAIL: GateFailed,
    Outcome.INCONCLUSIVE: Inconclusive,
    Outcome.ERROR: InfrastructureError,
}


def _record(place: Workplace, kind: str, release: Digest, verdict: Verdict, facts: Mapping[str, Any]) -> None:
    """Add a record, unless the newest one says the very same: again is no new evidence."""
    newest = newest_of(list_evidence(place.store, release), kind)
    if newest and newest.verdict == verdict and {**newest.facts, "at": None} == {**facts, "at": None}:
        return
    at = datetime.now(UTC).isoformat(timespec="microseconds")
    record(place.store, Evidence(kind=kind, subject=release, verdict=verdict, facts={**facts, "at": at}))
