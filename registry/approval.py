"""What a person says about a version: yes or no, and why. Pure; the signature says which person."""

from __future__ import annotations

from datetime import UTC, datetime

from judging.verdict import FailureClass, Finding, Outcome, Verdict
from registry.evidence import Evidence
from registry.predicates import APPROVAL
from registry.version import ModelVersion


def approval(version: ModelVersion, *, at: datetime, by: str, why: str, reject: bool = False) -> Evidence:
    """The approval or rejection of a version, to be signed by whoever gives it; ``at`` is an aware time.

    A rejection takes back what the same key approved before, and the other way round.
    """
    finding = Finding(
        name=APPROVAL,
        outcome=Outcome.FAIL if reject else Outcome.PASS,
        message=f"{by} {'rejected' if reject else 'approved'} it: {why}",
        failure_class=FailureClass.MODEL if reject else None,
    )
    when = at.astimezone(UTC).isoformat(timespec="microseconds")
    facts = {"at": when, "version": version.reference, "by": by, "why": why}
    about, verdict = version.release_digest, Verdict.of([finding])
    return Evidence(kind=APPROVAL, subject=about, verdict=verdict, facts=facts)
