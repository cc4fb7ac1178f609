"""The canary's judge: harm proven, absence of harm proven, and everything in between."""

from __future__ import annotations

import math
import random

import pytest

from fleet.analysis import judge, unmeasured
from fleet.observation import Comparison, RevisionStats
from fleet.plan import RolloutPlan
from judging.sequential import Moments
from judging.verdict import FailureClass, Outcome, Verdict

PLAN = RolloutPlan(min_requests=50, max_error_rate=0.05, max_error_ratio=1.5, max_ttft_ratio=1.5)


def stats(requests: int, errors: int = 0, ttft_ms: float = 100.0, seed: int = 1) -> RevisionStats:
    rng = random.Random(seed)
    times = [math.log(ttft_ms) + rng.gauss(0, 0.3) for _ in range(requests - errors)]
    return RevisionStats(requests=requests, errors=errors, ttft=Moments.of(times))


def compared(stable: RevisionStats, canary: RevisionStats, weight: int = 50) -> Comparison:
    return Comparison().updated(weight, stable, canary, PLAN.max_error_ratio)


def finding(verdict: Verdict, name: str) -> Outcome:
    return next(f.outcome for f in verdict.findings if f.name == name)


@pytest.mark.parametrize("stable", [RevisionStats(), stats(500)])
def test_a_canary_without_requests_is_inconclusive(stable: RevisionStats) -> None:
    """No traffic is never a pass and never a fail."""
    verdict = judge(compared(stable, RevisionStats()), PLAN, final=False)
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert "no traffic" in verdict.reasons()[0]


def test_aborted_and_refused_requests_are_no_traffic() -> None:
    """What clients broke off or asked wrongly says nothing about the canary."""
    verdict = judge(compared(stats(9), RevisionStats(requests=90, aborted=60, refused=30)), PLAN, final=False)
    assert verdict.outcome is Outcome.INCONCLUSIVE


def test_an_early_step_passes_with_its_minimum_and_no_harm() -> None:
    """Before the end nothing has to be proven, only enough seen; one request fewer is not enough."""
    assert judge(compared(stats(500), stats(50)), PLAN, final=False).passed
    short = judge(compared(stats(500), stats(49)), PLAN, final=False)
    assert short.outcome is Outcome.INCONCLUSIVE
    assert "49 canary requests" in short.reasons()[0]


def test_the_end_needs_proof_and_says_how_much_is_missing() -> None:
    """50 good requests do not prove an error rate below 5 %; 400 prove both limits."""
    early = judge(compared(stats(60), stats(50)), PLAN, final=True)
    assert finding(early, "error_rate") is Outcome.INCONCLUSIVE
    assert any("66 more without an error" in reason for reason in early.reasons())
    assert judge(compared(stats(400), stats(400)), PLAN, final=True).passed


def test_errors_beyond_the_ceiling_are_harm() -> None:
    """30 of 100 is proven above 5 %, whatever stable does."""
    verdict = judge(compared(stats(100, 30), stats(100, 30)), PLAN, final=False)
    assert finding(verdict, "error_rate") is Outcome.FAIL
    assert finding(verdict, "error_ratio") is Outcome.PASS
    assert verdict.failure_class is FailureClass.MODEL


def test_errors_below_the_ceiling_but_far_above_stable_are_harm() -> None:
    """4 % where stable has 0.1 % breaks no ceiling, and is still the canary's doing."""
    verdict = judge(compared(stats(1000, 1), stats(1000, 40)), PLAN, final=False)
    assert finding(verdict, "error_rate") is Outcome.PASS
    assert finding(verdict, "error_ratio") is Outcome.FAIL


def test_a_doubled_time_to_first_token_is_harm() -> None:
    """Both values and the bound are in the finding."""
    verdict = judge(compared(stats(200), stats(200, ttft_ms=200.0, seed=2)), PLAN, final=False)
    found = next(f for f in verdict.findings if f.name == "ttft_ratio")
    assert found.outcome is Outcome.FAIL
    assert found.baseline == pytest.approx(100, rel=0.1)
    assert found.candidate == pytest.approx(200, rel=0.1)
    assert found.bound == 1.5


def test_a_ratio_near_the_limit_is_neither_harm_nor_proven() -> None:
    """Just at the limit the answer at the end is: more requests."""
    near = compared(stats(60), stats(60, ttft_ms=165.0, seed=2))
    assert finding(judge(near, PLAN, final=False), "ttft_ratio") is Outcome.PASS
    assert finding(judge(near, PLAN, final=True), "ttft_ratio") is Outcome.INCONCLUSIVE


def test_too_few_concurrent_requests_cannot_prove_latency() -> None:
    """Requests at 100 % have nothing concurrent to be compared with."""
    alone = Comparison().updated(100, RevisionStats(), stats(500), PLAN.max_error_ratio)
    assert finding(judge(alone, PLAN, final=True), "ttft_ratio") is Outcome.INCONCLUSIVE


def test_a_drift_that_hits_both_arms_is_not_the_canarys() -> None:
    """A tenfold slowdown between two weights, on both arms, does not change the ratio."""
    comparison = compared(stats(950), stats(50), weight=5)
    comparison = comparison.updated(50, stats(200, ttft_ms=1000.0), stats(200, ttft_ms=1000.0, seed=3), 1.5)
    assert judge(comparison, PLAN, final=True).passed


def test_what_cannot_be_measured_is_the_platforms_error() -> None:
    """It is neither inconclusive nor a failed model."""
    verdict = unmeasured("the log is gone")
    assert verdict.outcome is Outcome.ERROR
    assert verdict.failure_class is FailureClass.INFRA
