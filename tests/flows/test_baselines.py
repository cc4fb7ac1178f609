"""A baseline that was asked too little and cannot be asked more: what stays open because of it says so."""

from __future__ import annotations

import pytest

from eval_suites.plan import Plan
from eval_suites.report import EvalReport
from flows.baselines import Live
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from tests.simulators.records import draft

PLAN = Plan(({"a": (0,)}, {"a": (1,)}))
SHORT = Live(draft().numbered(1), "production", EvalReport({}, 1), None)


def finding(name: str, failure: FailureClass | None = None) -> Finding:
    """One that is open."""
    return Finding(name=name, outcome=Outcome.INCONCLUSIVE, message="too few", failure_class=failure)


def told(*findings: Finding, looks: int = 1) -> list[str]:
    """The names of the findings that say what limits them."""
    verdict = SHORT.told(Verdict.of(findings), PLAN, EvalReport({}, looks))
    return [found.name for found in verdict.findings if "production was asked no more" in found.message]


def test_only_what_more_of_its_items_would_settle_is_told() -> None:
    """Not what another baseline leaves open, or what the spec has to mend."""
    assert told(finding("production/a"), finding("source/a")) == ["production/a"]
    assert told(finding("production/a", FailureClass.CONFIG)) == []


@pytest.mark.parametrize(("waits", "found"), [("a", []), ("b", ["production/a"])])
def test_what_waits_for_people_is_not_open_for_good(waits: str, found: list[str]) -> None:
    """Of the items that there are, those that they judge may settle it."""
    review = finding(f"review/{waits}", FailureClass.CONFIG)
    assert told(finding("production/a"), review) == found


def test_a_candidate_that_was_asked_less_goes_on() -> None:
    """The next look may settle it."""
    assert told(finding("production/a"), looks=0) == []
