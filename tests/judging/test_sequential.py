"""Always-valid statistics: alarms stay rare under constant peeking, real harm is found, state round-trips."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from judging.sequential import (
    FEWEST_SAMPLES,
    Moments,
    RateRatioEvidence,
    mean_difference,
    rate_bounds,
    requests_to_prove,
)

ALPHA = 0.05
RUNS = 150
LOOKS = 25
TTFT_SIGMA = 0.5


def alarms_on_errors(rng: np.random.Generator, canary_rate: float, stable_rate: float) -> float:
    """The share of runs in which the error e-process ever reached 1 / alpha, over rising weights."""
    found = 0
    for _ in range(RUNS):
        evidence = RateRatioEvidence()
        for look in range(LOOKS):
            share = (0.05, 0.25, 0.5)[look * 3 // LOOKS]
            canary = int(rng.binomial(200, share))
            errors = int(rng.binomial(canary, canary_rate)), int(rng.binomial(200 - canary, stable_rate))
            evidence = evidence.updated(canary=(errors[0], canary), stable=(errors[1], 200 - canary))
            if evidence.e_value >= 1 / ALPHA:
                found += 1
                break
    return found / RUNS


def alarms_on_ttft(rng: np.random.Generator, ratio: float, limit: float) -> float:
    """The share of runs in which the lower bound ever passed the limit, with a drift shared by both arms."""
    found = 0
    for _ in range(RUNS):
        strata = [(Moments(), Moments()) for _ in range(3)]
        for look in range(LOOKS):
            step = look * 3 // LOOKS
            canary = int(rng.binomial(60, (0.05, 0.25, 0.5)[step]))
            drift = 0.4 * step  # load grows with time, on both arms
            stable_sample = Moments.of(rng.normal(drift, TTFT_SIGMA, 60 - canary))
            canary_sample = Moments.of(rng.normal(drift + math.log(ratio), TTFT_SIGMA, canary))
            strata[step] = strata[step][0] + stable_sample, strata[step][1] + canary_sample
            bounds = mean_difference(strata, ALPHA)
            if bounds and bounds.lower > math.log(limit):
                found += 1
                break
    return found / RUNS


def test_equal_arms_are_rarely_called_different_however_often_one_looks() -> None:
    """A/A runs with a look after every batch alarm at most alpha of the time."""
    rng = np.random.default_rng(11)
    assert alarms_on_errors(rng, 0.02, 0.02) <= ALPHA
    assert alarms_on_ttft(rng, ratio=1.0, limit=1.0) <= ALPHA


def test_real_harm_is_found() -> None:
    """20 % errors beside a healthy stable, and a doubled time to first token, are nearly always caught."""
    rng = np.random.default_rng(12)
    assert alarms_on_errors(rng, 0.2, 0.01) > 0.99
    assert alarms_on_ttft(rng, ratio=2.0, limit=1.3) > 0.95


def test_the_error_rate_is_inside_its_bounds_at_every_look() -> None:
    """The beta-binomial bounds miss the true rate at any of many looks in at most alpha of the runs."""
    rng = np.random.default_rng(13)
    missed = 0
    for _ in range(RUNS):
        errors = np.cumsum(rng.random(600) < 0.03)
        looks = ((int(errors[n - 1]), n) for n in range(10, 601, 20))
        bounds = (rate_bounds(k, n, ALPHA) for k, n in looks)
        missed += any(not b.lower <= 0.03 <= b.upper for b in bounds)
    assert missed / RUNS <= ALPHA


def test_a_total_failure_at_a_small_share_is_seen_within_a_few_errors() -> None:
    """At 5 % share three canary errors without any stable error are proof at 0.05."""
    evidence = RateRatioEvidence()
    for _ in range(3):
        evidence = evidence.updated(canary=(1, 5), stable=(0, 95))
    assert evidence.e_value > 1 / ALPHA


@pytest.mark.parametrize("arms", [((3, 10), (0, 0)), ((0, 0), (3, 10)), ((0, 10), (0, 10))])
def test_an_increment_that_compares_nothing_changes_nothing(arms: tuple[tuple[int, int], ...]) -> None:
    """Without requests on both arms, or without errors, the evidence stays what it was."""
    before = RateRatioEvidence().updated(canary=(1, 10), stable=(1, 90))
    assert before.updated(canary=arms[0], stable=arms[1]) == before


def test_an_allowed_ratio_needs_more_evidence() -> None:
    """The same errors say less against 'at most twice as many' than against 'no more'."""
    arms = {"canary": (4, 50), "stable": (1, 50)}
    strict, lax = (RateRatioEvidence().updated(**arms, allowed_ratio=r).e_value for r in (1.0, 2.0))
    assert lax < strict


def test_very_strong_evidence_is_still_a_number() -> None:
    """Wealth that would overflow a float is capped, not infinite."""
    evidence = RateRatioEvidence().updated(canary=(9999, 10000), stable=(1, 10000))
    assert math.isfinite(evidence.e_value)


def test_no_requests_prove_nothing() -> None:
    """Without requests the rate may be anything."""
    bounds = rate_bounds(0, 0, ALPHA)
    assert (bounds.lower, bounds.upper) == (0.0, 1.0)


@given(st.integers(1, 5000), st.data())
def test_bounds_enclose_the_observed_rate(requests: int, data: st.DataObject) -> None:
    """0 <= lower <= errors / requests <= upper <= 1 for every sample."""
    errors = data.draw(st.integers(0, requests))
    bounds = rate_bounds(errors, requests, ALPHA)
    assert 0 <= bounds.lower <= bounds.estimate <= bounds.upper <= 1


@pytest.mark.parametrize(("rate", "errors"), [(0.05, 0), (0.05, 3), (0.5, 0)])
def test_requests_to_prove_is_the_smallest_number_that_does(rate: float, errors: int) -> None:
    """One request fewer would not be enough."""
    enough = requests_to_prove(rate, ALPHA, errors)
    assert rate_bounds(errors, enough, ALPHA).upper <= rate < rate_bounds(errors, enough - 1, ALPHA).upper


def test_a_handful_of_requests_gives_no_bounds_of_a_mean() -> None:
    """Below the fewest samples on either arm the asymptotic bounds are withheld."""
    many, few = Moments.of([1.0] * 100), Moments.of([1.0] * (FEWEST_SAMPLES - 1))
    assert mean_difference([(many, few)], ALPHA) is None
    assert mean_difference([(few, many)], ALPHA) is None
    assert mean_difference([], ALPHA) is None


@given(st.lists(st.floats(-50, 50)), st.lists(st.floats(-50, 50)))
def test_moments_add_like_their_samples(left: list[float], right: list[float]) -> None:
    """The moments of two samples together are the sum of their moments."""
    together, added = Moments.of([*left, *right]), Moments.of(left) + Moments.of(right)
    assert together.count == added.count
    assert together.total == pytest.approx(added.total, abs=1e-6)
    assert together.squares == pytest.approx(added.squares, abs=1e-6)


def test_state_survives_json() -> None:
    """Evidence and moments come back from JSON as they were; another grid is refused."""
    evidence = RateRatioEvidence().updated(canary=(2, 30), stable=(1, 70))
    assert RateRatioEvidence.from_json(json.loads(json.dumps(evidence.to_json()))) == evidence
    moments = Moments.of([0.1, 0.7])
    assert Moments.from_json(json.loads(json.dumps(moments.to_json()))) == moments
    with pytest.raises(ValueError, match="grid"):
        RateRatioEvidence.from_json([0.0])
