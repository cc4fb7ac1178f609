"""Which evidence lets a release reach users. Pure: evidence and the date come in, what is missing goes out.

The quality gate must have passed. The scan must have passed, or a waiver that still holds must cover its
error; a release that was live before may come back after the waiver's end. Of several records of one kind
the newest counts; ``facts["at"]`` is its ISO date or time in UTC.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from judging.verdict import Outcome
from registry.evidence import Evidence

QUALITY, SCAN, ROLLOUT = "quality", "scan", "rollout"


def missing_evidence(found: Iterable[Evidence], today: date) -> list[str]:
    """A sentence for each thing that keeps the release from being promoted; empty when nothing does."""
    records = list(found)
    # Going back to what users had must not wait for a new scan.
    was_live = any(e.kind == ROLLOUT and e.facts.get("phase") == "succeeded" for e in records)
    scan = newest_of(records, SCAN)
    checks = (_quality(newest_of(records, QUALITY)), _scan(scan, today, was_live=was_live))
    return [sentence for sentence in checks if sentence]


def newest_of(found: Iterable[Evidence], kind: str) -> Evidence | None:
    """The newest record of a kind, or None; of several of one moment, one that did not pass."""
    return max((e for e in found if e.kind == kind), key=_moment, default=None)


def _moment(evidence: Evidence) -> tuple[str, bool]:
    passed = evidence.verdict is not None and evidence.verdict.passed
    return str(evidence.facts.get("at", "")), not passed


def _quality(evidence: Evidence | None) -> str | None:
    if evidence is None or evidence.verdict is None:
        return "no quality gate has judged it"
    if not evidence.verdict.passed:
        return f"its quality gate said {evidence.verdict.outcome}: {'; '.join(evidence.verdict.reasons())}"
    return None


def _scan(evidence: Evidence | None, today: date, *, was_live: bool) -> str | None:
    if evidence is None or evidence.verdict is None:
        return "no scan has looked at its runtime"
    if evidence.verdict.passed:
        return None
    waiver = evidence.facts.get("waiver")
    if evidence.verdict.outcome is Outcome.ERROR and waiver:
        if was_live or date.fromisoformat(waiver["until"]) >= today:
            return None
        return f"the waiver of {waiver['owner']} for its scan ended on {waiver['until']}"
    return f"its scan said {evidence.verdict.outcome}: {'; '.join(evidence.verdict.reasons())}"
