"""Whether a scanned runtime may ship: the policy, the judge, and the waiver that stands in for a scan. Pure.

A scan that did not happen, saw too little or used an old database is an error, never a pass. A waiver
never changes a verdict. It lets a release go on in spite of an error, and says who answers for that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from images.runtime import Runtime, normalize
from images.scan_report import ScanReport, ScanUnavailable, Severity, Vulnerability
from judging.verdict import FailureClass, Finding, Outcome, Verdict

_NAMED = 5  # how many missing packages a message names


@dataclass(frozen=True, kw_only=True)
class ScanPolicy:
    """What fails a release. By default: a critical vulnerability that a newer version already mends."""

    fail_on: tuple[Severity, ...] = (Severity.CRITICAL,)
    ignore_unfixed: bool = True
    max_database_age_days: int = 7

    def forbids(self, vulnerability: Vulnerability) -> bool:
        """Whether this one alone fails the release."""
        tolerated = self.ignore_unfixed and not vulnerability.fixed
        return vulnerability.severity in self.fail_on and not tolerated


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """A person's promise to answer for a release without a scan, from ``since`` for some days."""

    owner: str
    reason: str
    since: date
    valid_for_days: int

    def __post_init__(self) -> None:
        if not self.owner.strip() or not self.reason.strip():
            raise ValueError("a waiver names its owner and its reason")
        if self.valid_for_days < 1:
            raise ValueError(f"a waiver is valid for at least a day, not {self.valid_for_days}")

    @property
    def until(self) -> date:
        """The last day it holds."""
        return self.since + timedelta(days=self.valid_for_days)


@dataclass(frozen=True)
class Acceptance:
    """Whether the release may go on after the scan, and the sentence to show for it."""

    accepted: bool
    message: str


def judge(
    scan: ScanReport | ScanUnavailable, policy: ScanPolicy, today: date, *, runtime: Runtime
) -> Verdict:
    """The verdict on a scan of this runtime: each of its distributions must have been seen."""
    if isinstance(scan, ScanUnavailable):
        return Verdict.of([_broken("scan", f"the runtime was not scanned: {scan.reason}")])
    coverage = [_coverage(scan, runtime), _database_age(scan, policy, today)]
    return Verdict.of([*coverage, *_vulnerabilities(scan, policy)])


def accept(verdict: Verdict, waiver: Waiver | None, today: date) -> Acceptance:
    """Whether to go on: after a pass, or after an error that a valid waiver covers. Never after a fail."""
    if verdict.passed:
        return Acceptance(True, "The scan passed.")
    reasons = "; ".join(verdict.reasons())
    if verdict.outcome is Outcome.FAIL:
        return Acceptance(
            False, f"The scan found what the policy forbids, which no waiver covers: {reasons}."
        )
    if waiver is None:
        return Acceptance(False, f"The scan did not answer, and the spec has no waiver: {reasons}.")
    if not waiver.since <= today <= waiver.until:
        span = f"{waiver.since} to {waiver.until}"
        return Acceptance(
            False, f"The waiver of {waiver.owner} holds from {span}, not on {today}: {reasons}."
        )
    return Acceptance(
        True,
        f"Not scanned, accepted until {waiver.until} by {waiver.owner} ({waiver.reason}): {reasons}.",
    )


def _coverage(scan: ScanReport, runtime: Runtime) -> Finding:
    seen = {(normalize(package.name), package.version) for package in scan.packages}
    missing = [d for d in runtime.distributions if (d.name, d.version) not in seen]
    expected = len(runtime.distributions)
    if missing:
        names = ", ".join(f"{d.name} {d.version}" for d in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        message = f"the scan missed {len(missing)} of {expected} installed distributions: {names}{more}"
        return _broken("packages", message, candidate=expected - len(missing), bound=expected)
    return Finding(
        name="packages",
        outcome=Outcome.PASS,
        message=f"the scan saw all {expected} installed distributions",
        candidate=expected,
        bound=expected,
    )


def _database_age(scan: ScanReport, policy: ScanPolicy, today: date) -> Finding:
    made = scan.database_updated_at.date()
    age = (today - made).days
    limit = policy.max_database_age_days
    if age < -1:  # a day ahead is a time zone, more is a wrong clock
        message = f"the vulnerability database is from {made}, in the future of {today}: check the clock"
        return _broken("database age", message, candidate=age, bound=limit)
    if age > limit:
        message = f"the vulnerability database is {age} days old (from {made}), the policy allows {limit}"
        return _broken("database age", message, candidate=age, bound=limit)
    message = f"the vulnerability database is {max(age, 0)} days old, at most {limit} are allowed"
    return Finding(
        name="database age", outcome=Outcome.PASS, message=message, candidate=float(age), bound=float(limit)
    )


def _vulnerabilities(scan: ScanReport, policy: ScanPolicy) -> Iterator[Finding]:
    forbidden = [v for v in scan.vulnerabilities if policy.forbids(v)]
    for vulnerability in forbidden:
        yield Finding(
            name=vulnerability.id,
            outcome=Outcome.FAIL,
            message=str(vulnerability),
            failure_class=FailureClass.INFRA,  # the runtime has to change, not the model
        )
    if not forbidden:
        fixable = " that has a fix" if policy.ignore_unfixed else ""
        looked_for = f"no {' or '.join(policy.fail_on)} vulnerability{fixable}"
        if not policy.fail_on:
            looked_for = "the policy forbids no severity"
        message = f"{looked_for}; {len(scan.vulnerabilities)} known in all"
        yield Finding(name="vulnerabilities", outcome=Outcome.PASS, message=message, candidate=0, bound=0)


def _broken(
    name: str, message: str, *, candidate: float | None = None, bound: float | None = None
) -> Finding:
    return Finding(
        name=name,
        outcome=Outcome.ERROR,
        message=message,
        candidate=candidate,
        bound=bound,
        failure_class=FailureClass.INFRA,
    )
