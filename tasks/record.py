"""Record: what the judges said, as signed evidence on what they judged; and stop where they said no."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from eval_suites.gate_report import to_markdown
from eval_suites.suite import Suite
from judging.verdict import Outcome, Verdict
from registry.counting import newest_of
from registry.digest import Digest, canonical_json
from registry.errors import GateFailed, HeadgateError, Inconclusive, InfrastructureError
from registry.evidence import Evidence, list_evidence, record
from registry.predicates import QUALITY, SCAN, is_document
from tasks.scan import Scanned
from tasks.summary import write_report
from tasks.workplace import Workplace


def record_quality(place: Workplace, suite: Suite, release: Digest, verdict: Verdict) -> None:
    """Keep the gate's verdict and report; unless it passed, raises the error of its outcome."""
    report = write_report(place, "gate-report", to_markdown(suite, verdict))
    facts = {"suite": suite.name, "suite_digest": str(suite.digest)}
    record_once(place, QUALITY, release, verdict, facts)
    if not verdict.passed:
        kind = _QUALITY_ERRORS[verdict.outcome]
        raise kind(
            f"the quality gate said {verdict.outcome}; nothing was published",
            why="; ".join(verdict.reasons()),
            next_step=f"read {report}",
        )


def record_scan(place: Workplace, release: Digest, scanned: Scanned) -> None:
    """Keep the scan's verdict; raises GateFailed or InfrastructureError when policy does not let it go on."""
    record_once(place, SCAN, release, scanned.verdict, scanned.facts)
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


def record_once(
    place: Workplace,
    kind: str,
    subject: Digest,
    verdict: Verdict | None,
    facts: Mapping[str, Any],
    also: Mapping[str, Digest] | None = None,
) -> Digest:
    """Sign and keep evidence, unless the newest trusted record says the very same: again is no new evidence.

    ``at`` and ``run`` are added to the facts (but to a document's), and not compared. Returns the digest of
    the record.
    """
    found = [e for e in list_evidence(place.store, subject, place.trust) if e.signer]
    newest = newest_of(found, kind)
    if newest and newest.digest and newest.verdict == verdict and _lasting(newest.facts) == _lasting(facts):
        return newest.digest
    if not is_document(kind):
        at = datetime.now(UTC).isoformat(timespec="microseconds")
        facts = {**facts, "at": at, "run": place.run.run_id}
    said = Evidence(kind=kind, subject=subject, verdict=verdict, facts=facts, also=also or {})
    return record(place.store, place.signer, said)


def _lasting(facts: Mapping[str, Any]) -> dict[str, Any]:
    # As JSON reads it back: tuples and lists are the same there.
    plain: dict[str, Any] = json.loads(canonical_json(dict(facts)))
    return {name: value for name, value in plain.items() if name not in {"at", "run"}}
