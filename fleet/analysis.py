"""Judges a canary against concurrent stable, from sums: is harm proven, and at the end, is its absence?

Pure. Three findings beside the amount of traffic: the canary's error rate against a ceiling, its errors
against those of concurrent stable, its time to first token against that of concurrent stable. While
weights rise, a canary passes when it had its minimum of requests and no harm is proven. In the final looks
(the last shared weight, where stable is still there to compare with, and the bake at 100 %) the bounds
must also *prove* the limits; until then the answer is inconclusive, which means more requests.

Harm is tested at alpha / 3, so that three tests together roll a healthy canary back with chance alpha at
most, however often they look. Proof needs all bounds at once, an intersection-union test (Berger 1982),
so each may use alpha whole. Requests are taken as independent; sessions that stick make them less so
(measured: 9 % false alarms instead of 0.2 % with 8 requests per session of very different latency).
"""

from __future__ import annotations

import math

from fleet.observation import Comparison
from fleet.plan import RolloutPlan
from judging.sequential import Bounds, mean_difference, rate_bounds, requests_to_prove
from judging.verdict import FailureClass, Finding, Outcome, Verdict

_HARM_TESTS = 3


def judge(comparison: Comparison, plan: RolloutPlan, *, final: bool) -> Verdict:
    """The verdict on everything measured so far; ``final`` asks for proof that the limits are kept."""
    if not comparison.canary.judged:
        return Verdict.of([_no_traffic(comparison)])
    findings = (
        _traffic(comparison, plan),
        _error_rate(comparison, plan, final=final),
        _error_ratio(comparison, plan),
        _ttft_ratio(comparison, plan, final=final),
    )
    return Verdict.of(findings)


def unmeasured(reason: str) -> Verdict:
    """The verdict when nothing could be measured: an error of the platform, never of the model."""
    return Verdict.of(
        [
            Finding(
                name="measurement",
                outcome=Outcome.ERROR,
                message=reason,
                failure_class=FailureClass.INFRA,
            )
        ]
    )


def _no_traffic(comparison: Comparison) -> Finding:
    return Finding(
        name="traffic",
        outcome=Outcome.INCONCLUSIVE,
        message="no request was given to the canary yet: no traffic, no verdict",
        baseline=comparison.stable.judged,
        candidate=0,
    )


def _traffic(comparison: Comparison, plan: RolloutPlan) -> Finding:
    count, least = comparison.step_requests, plan.min_requests
    enough = count >= least
    return Finding(
        name="traffic",
        outcome=Outcome.PASS if enough else Outcome.INCONCLUSIVE,
        message=f"{count} canary requests at this weight, {least} are needed",
        baseline=comparison.stable.judged,
        candidate=count,
        bound=least,
    )


def _error_rate(comparison: Comparison, plan: RolloutPlan, *, final: bool) -> Finding:
    """The canary's error rate against the plan's ceiling, over all requests it ever had."""
    errors, count = comparison.canary.errors, comparison.canary.judged
    harm = rate_bounds(errors, count, plan.alpha / _HARM_TESTS)
    proof = rate_bounds(errors, count, plan.alpha)
    seen = f"{errors} of {count} canary requests failed"
    if harm.lower > plan.max_error_rate:
        outcome = Outcome.FAIL
        message = f"{seen}: proven above {harm.lower:.2%}, the limit is {plan.max_error_rate:.2%}"
    elif final and proof.upper > plan.max_error_rate:
        outcome = Outcome.INCONCLUSIVE
        needed = requests_to_prove(plan.max_error_rate, plan.alpha, errors) - count
        message = (
            f"{seen}: only proven below {proof.upper:.2%}, the limit is {plan.max_error_rate:.2%}; "
            f"{needed} more without an error would prove it"
        )
    else:
        outcome = Outcome.PASS
        message = f"{seen}: proven below {proof.upper:.2%}, the limit is {plan.max_error_rate:.2%}"
    return Finding(
        name="error_rate",
        outcome=outcome,
        message=message,
        baseline=comparison.stable.error_rate,
        candidate=comparison.canary.error_rate,
        bound=plan.max_error_rate,
        failure_class=_class_of(outcome),
    )


def _error_ratio(comparison: Comparison, plan: RolloutPlan) -> Finding:
    """Whether the canary fails more often than allowed beside stable, at the same time."""
    e_value, reject_at = comparison.error_ratio.e_value, _HARM_TESTS / plan.alpha
    outcome = Outcome.FAIL if e_value >= reject_at else Outcome.PASS
    word = "proven" if outcome is Outcome.FAIL else "not proven"
    return Finding(
        name="error_ratio",
        outcome=outcome,
        message=(
            f"more than {plan.max_error_ratio:g} canary errors per concurrent stable error is {word}: "
            f"evidence {e_value:.3g}, proof is {reject_at:.3g} "
            f"({comparison.canary.error_rate:.2%} against {comparison.stable.error_rate:.2%})"
        ),
        baseline=comparison.stable.error_rate,
        candidate=comparison.canary.error_rate,
        bound=plan.max_error_ratio,
        failure_class=_class_of(outcome),
    )


def _ttft_ratio(comparison: Comparison, plan: RolloutPlan, *, final: bool) -> Finding:
    """The ratio of the geometric mean times to first token, compared within each weight."""
    strata = [(stratum.stable, stratum.canary) for stratum in comparison.strata]
    harm = mean_difference(strata, plan.alpha / _HARM_TESTS)
    proof = mean_difference(strata, plan.alpha)
    if harm is None or proof is None:
        outcome = Outcome.INCONCLUSIVE if final else Outcome.PASS
        message = "too few concurrent requests to compare the time to first token"
    else:
        outcome, message = _ttft_outcome(harm, proof, plan, final=final)
    return Finding(
        name="ttft_ratio",
        outcome=outcome,
        message=message,
        baseline=comparison.stable.ttft_ms,
        candidate=comparison.canary.ttft_ms,
        bound=plan.max_ttft_ratio,
        failure_class=_class_of(outcome),
    )


def _ttft_outcome(harm: Bounds, proof: Bounds, plan: RolloutPlan, *, final: bool) -> tuple[Outcome, str]:
    limit = math.log(plan.max_ttft_ratio)
    ratio = math.exp(proof.estimate)
    said = f"the canary takes {ratio:.2f} times stable's time to first token"
    if harm.lower > limit:
        low = math.exp(harm.lower)
        return Outcome.FAIL, f"{said}: proven above {low:.2f}, the limit is {plan.max_ttft_ratio:g}"
    high = math.exp(proof.upper)
    if final and proof.upper > limit:
        short = f"only proven below {high:.2f}, the limit is {plan.max_ttft_ratio:g}"
        return Outcome.INCONCLUSIVE, f"{said}: {short}; more requests on both arms are needed"
    return Outcome.PASS, f"{said}: proven below {high:.2f}, the limit is {plan.max_ttft_ratio:g}"


def _class_of(outcome: Outcome) -> FailureClass | None:
    return FailureClass.MODEL if outcome is Outcome.FAIL else None
