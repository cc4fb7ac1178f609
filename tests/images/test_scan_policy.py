"""The scan's judge and its waiver: no scan is never a pass, and no waiver hides what was found."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from images.runtime import Distribution, Runtime
from images.scan_policy import ScanPolicy, Waiver, accept, judge
from images.scan_report import Package, ScanReport, ScanUnavailable, Severity, Vulnerability
from judging.verdict import FailureClass, Outcome, Verdict
from tests.simulators.records import digest

_TODAY = date(2026, 11, 21)
_RUNTIME = Runtime((Distribution("acmelib", "1.0", digest("a")), Distribution("Other_Lib", "2", digest("b"))))
_CLEAN = ScanReport(
    scanner="trivy 0.76.0",
    database_updated_at=datetime(2026, 11, 20, tzinfo=UTC),
    packages=(Package("acmelib", "1.0"), Package("other.lib", "2"), Package("vendored", "1")),
    vulnerabilities=(),
)
_CRITICAL = Vulnerability("CVE-2099-0001", "acmelib", "1.0", "2.0.0", Severity.CRITICAL, "planted")
_WAIVER = Waiver(owner="ada", reason="no database here", since=_TODAY, valid_for_days=30)
_NO_SCAN = ScanUnavailable("there is no vulnerability database")


def _judge(scan: ScanReport | ScanUnavailable, policy: ScanPolicy | None = None) -> Verdict:
    return judge(scan, policy or ScanPolicy(), _TODAY, runtime=_RUNTIME)


def _with(*vulnerabilities: Vulnerability) -> ScanReport:
    return replace(_CLEAN, vulnerabilities=vulnerabilities)


def test_a_clean_scan_of_everything_passes() -> None:
    """Every package was seen, by whatever spelling, with a database of yesterday."""
    verdict = _judge(_CLEAN)
    assert verdict.passed
    assert len(verdict.findings) == 3


def test_no_scan_is_an_error_of_the_platform() -> None:
    """Not a fail of the model, and never a pass."""
    verdict = _judge(_NO_SCAN)
    assert (verdict.outcome, verdict.failure_class) == (Outcome.ERROR, FailureClass.INFRA)
    assert "no vulnerability database" in verdict.reasons()[0]


def test_a_scan_that_saw_less_than_is_installed_is_an_error() -> None:
    """Empty results look clean; so does one missing package."""
    for packages in ((), _CLEAN.packages[:1], (Package("acmelib", "1.1"), Package("other.lib", "2"))):
        verdict = _judge(replace(_CLEAN, packages=packages))
        assert verdict.outcome is Outcome.ERROR
        assert "missed" in verdict.reasons()[0]


@pytest.mark.parametrize(
    ("days", "outcome"), [(-2, "error"), (-1, "pass"), (0, "pass"), (7, "pass"), (8, "error")]
)
def test_an_old_database_is_an_error(days: int, outcome: str) -> None:
    """So is one from the future; a day ahead is a time zone."""
    made = datetime(2026, 11, 21, 12, tzinfo=UTC) - timedelta(days=days)
    assert _judge(replace(_CLEAN, database_updated_at=made)).outcome == outcome


@pytest.mark.parametrize(
    ("vulnerability", "policy", "outcome"),
    [
        (_CRITICAL, ScanPolicy(), "fail"),
        (replace(_CRITICAL, severity=Severity.HIGH), ScanPolicy(), "pass"),
        (replace(_CRITICAL, severity=Severity.HIGH), ScanPolicy(fail_on=(Severity.HIGH,)), "fail"),
        (replace(_CRITICAL, fixed=""), ScanPolicy(), "pass"),
        (replace(_CRITICAL, fixed=""), ScanPolicy(ignore_unfixed=False), "fail"),
        (_CRITICAL, ScanPolicy(fail_on=()), "pass"),
    ],
)
def test_the_policy_decides_what_fails(
    vulnerability: Vulnerability, policy: ScanPolicy, outcome: str
) -> None:
    """By severity, and by whether there is a release that mends it."""
    assert _judge(_with(vulnerability), policy).outcome == outcome


def test_a_policy_that_forbids_nothing_does_not_claim_that_nothing_is_known() -> None:
    """The finding says what was asked, and how much is known."""
    finding = _judge(_with(_CRITICAL), ScanPolicy(fail_on=())).findings[-1]
    assert finding.message == "the policy forbids no severity; 1 known in all"


def test_every_forbidden_vulnerability_is_a_finding() -> None:
    """With package, versions and the way out; found harm outweighs a stale database."""
    other = replace(_CRITICAL, id="CVE-2099-0002")
    stale = replace(_with(_CRITICAL, other), database_updated_at=datetime(2020, 1, 1, tzinfo=UTC))
    verdict = _judge(stale)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reasons()[0] == "CVE-2099-0001 (CRITICAL) in acmelib 1.0, fixed in 2.0.0"
    assert len(verdict.reasons()) == 2


def test_a_waiver_accepts_an_error_and_leaves_it_an_error() -> None:
    """The acceptance says who, why and until when."""
    verdict = _judge(_NO_SCAN)
    before = verdict.to_json()
    acceptance = accept(verdict, _WAIVER, _TODAY)
    assert acceptance.accepted
    for word in ("ada", "no database here", "2026-12-21", "no vulnerability database"):
        assert word in acceptance.message
    assert verdict.to_json() == before


@pytest.mark.parametrize(("day", "accepted"), [(-1, False), (0, True), (30, True), (31, False)])
def test_a_waiver_holds_for_its_days_only(day: int, accepted: bool) -> None:
    """Neither before nor after."""
    acceptance = accept(_judge(_NO_SCAN), _WAIVER, _TODAY + timedelta(days=day))
    assert acceptance.accepted == accepted


def test_no_waiver_covers_what_was_found() -> None:
    """It stands in for a scan, not for a mended package."""
    assert not accept(_judge(_with(_CRITICAL)), _WAIVER, _TODAY).accepted


def test_without_a_waiver_only_a_pass_goes_on() -> None:
    """And a pass needs none."""
    assert accept(_judge(_CLEAN), None, _TODAY).accepted
    refused = accept(_judge(_NO_SCAN), None, _TODAY)
    assert not refused.accepted
    assert "no waiver" in refused.message


@pytest.mark.parametrize("change", [{"owner": " "}, {"reason": ""}, {"valid_for_days": 0}])
def test_a_waiver_names_a_person_a_reason_and_an_end(change: dict[str, object]) -> None:
    """An anonymous or endless waiver is none."""
    with pytest.raises(ValueError, match="a waiver"):
        replace(_WAIVER, **change)
