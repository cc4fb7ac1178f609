"""Floors, gains that cannot be, graded scores, and scores of which less is better."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from eval_suites.gate import is_decided
from eval_suites.plan import plan_of
from eval_suites.suite import Suite
from judging.looks import boundaries
from judging.paired import Tally, dispersion_of
from judging.verdict import FailureClass, Finding, Outcome, Verdict
from tests.simulators.evaluation import SEED, judged, report, scored

Choosing = Callable[..., Suite]


def first(count: int) -> dict[str, set[int]]:
    """So many items answered right."""
    return {"choose": set(range(count))}


def graded(suite: Suite, baseline: NDArray[np.float64], candidate: NDArray[np.float64], name: str) -> Verdict:
    """The verdict on graded scores against one baseline of this name."""
    before, after = (scored(suite, {"choose": scores.tolist()}) for scores in (baseline, candidate))
    return judged(suite, after, {name: before})


def by_name(verdict: Verdict) -> dict[str, Finding]:
    """The findings by their names."""
    return {finding.name: finding for finding in verdict.findings}


@pytest.mark.parametrize(
    ("right", "outcome", "failure"),
    [
        (540, Outcome.PASS, None),
        (366, Outcome.INCONCLUSIVE, None),
        (270, Outcome.FAIL, FailureClass.MODEL),
    ],
)
def test_a_floor_holds_whatever_the_baselines_score(
    choosing: Choosing, right: int, outcome: Outcome, failure: FailureClass | None
) -> None:
    """As good as its source is not good enough for a critical task; the floor has a finding of its own."""
    suite = choosing(floor=0.6)
    verdict = judged(suite, report(suite, first(right)), {"source": report(suite, first(right))})
    found = by_name(verdict)
    assert found["source/choose"].outcome is Outcome.PASS
    assert (found["floor/choose"].outcome, found["floor/choose"].failure_class) == (outcome, failure)
    assert (verdict.outcome, found["floor/choose"].bound) == (outcome, 0.6)


def test_a_floors_finding_says_how_far_it_is_known(choosing: Choosing) -> None:
    """Score, bounds, items, and what is missing."""
    suite = choosing(floor=0.6)
    (_, floor) = judged(suite, report(suite, first(366)), {}).findings
    assert floor.message.startswith("choose against its floor: 61.00 %; one-sided 95 % bounds 5")
    assert "in 600 items; too few items to place it on one side of the floor of 60.00 %" in floor.message
    (_, floor) = judged(suite, report(suite, first(600)), {}).findings
    assert floor.message.endswith("in 100 of 600 items; it is better than the floor of 60.00 %")
    assert (floor.interval.upper, "and 100.00 %;" in floor.message) == (1.0, True)


def test_a_broken_measurement_proves_no_score_below_the_floor(choosing: Choosing) -> None:
    """Answers to a drifted prompt say nothing of the model: it is not rejected for them."""
    suite = choosing(floor=0.6)
    drifted = report(suite, first(0), template="chatml")
    verdict = judged(suite, drifted, {"source": report(suite, first(570))})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.ERROR, FailureClass.CONFIG)


def test_a_floor_that_is_not_placed_yet_asks_for_more_items(choosing: Choosing) -> None:
    """The comparison may be over before."""
    suite = choosing(floor=0.6)
    right = {"choose": set(range(0, 600, 3)) | set(range(1, 600, 3))}  # two of three
    looks = [
        judged(suite, report(suite, right, looks=n), {"source": report(suite, right)}) for n in range(1, 7)
    ]
    assert by_name(looks[2])["source/choose"].outcome is Outcome.PASS
    assert not is_decided(looks[2])
    assert is_decided(looks[5])


@pytest.mark.parametrize("floor", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("looks", [1, 30])
def test_a_score_right_at_the_floor_passes_at_most_with_alpha(floor: float, looks: int) -> None:
    """Simulated over all looks of 3000 items; such a model fails hardly more often than it passes."""
    rng = np.random.default_rng(11)
    batch = 3000 // looks
    missed = rng.binomial(batch, 1 - floor, (20_000, looks)).cumsum(axis=1)
    tally = Tally(n=batch * np.arange(1, looks + 1), lost=missed, gained=np.zeros_like(missed))
    z = np.array(boundaries([(look + 1) / looks for look in range(looks)], 0.05))
    assert float((tally.z_below(1 - floor) > z).any(axis=1).mean()) <= 0.052
    assert float((tally.z_above(1 - floor) > z).any(axis=1).mean()) <= 0.06


def test_a_gain_over_the_source_that_cannot_be_is_the_specs_to_explain(choosing: Choosing) -> None:
    """Quantizing adds no knowledge: calibration saw the suite, or the source was not served right."""
    suite = choosing()
    verdict = judged(suite, report(suite, first(570)), {"source": report(suite, first(400))})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.INCONCLUSIVE, FailureClass.CONFIG)
    assert "the gain is more than the margin of 3 points" in verdict.reasons()[0]
    assert "calibration texts" in verdict.reasons()[0]
    assert is_decided(verdict)


def test_a_gain_over_production_is_welcome(choosing: Choosing) -> None:
    """Another source may well be better."""
    suite = choosing()
    assert judged(suite, report(suite, first(570)), {"production": report(suite, first(400))}).passed


def test_a_lucky_start_is_no_proof_of_a_gain(choosing: Choosing) -> None:
    """While the gain seems too large the judge asks on, and then believes what it sees."""
    suite = choosing()
    early = plan_of(suite, SEED).asked("choose", 1)
    source = report(suite, {"choose": set(range(600)) - set(early[:5])})
    looks = [judged(suite, report(suite, first(600), looks=n), {"source": source}) for n in range(1, 7)]
    assert looks[0].outcome is Outcome.INCONCLUSIVE
    assert looks[0].failure_class is None
    assert "a gain of more than the margin of 3 points is not likely real" in looks[0].reasons()[0]
    assert not is_decided(looks[0])
    assert looks[5].passed


def test_what_the_spec_has_to_mend_comes_before_what_more_items_may_tell(choosing: Choosing) -> None:
    """One task open, the other a matter of configuration: the verdict says whose turn it is."""
    suite = choosing(floor=0.95)
    verdict = judged(suite, report(suite, first(570)), {"source": report(suite, first(400))})
    assert {f.name: f.failure_class for f in verdict.findings} == {
        "source/choose": FailureClass.CONFIG,
        "floor/choose": None,
    }
    assert verdict.failure_class is FailureClass.CONFIG
    turned = Verdict.of(reversed(verdict.findings))
    assert turned.failure_class is FailureClass.CONFIG


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), shift=st.floats(-0.15, 0.15), floor=st.sampled_from([None, 0.4, 0.7]))
def test_less_is_better_is_the_same_judgement_upside_down(
    choosing: Choosing, seed: int, shift: float, floor: float | None
) -> None:
    """Scores, chance and floor turned over: every outcome stays, every figure is turned."""
    rng = np.random.default_rng(seed)
    before = rng.uniform(0, 1, 600).round(3)
    after = np.clip(before + rng.normal(shift, 0.2, 600), 0, 1).round(3)
    upwards = choosing(metric="acc", chance=0.25, floor=floor)
    turned = choosing(higher_is_better=False, chance=0.75, floor=None if floor is None else 1 - floor)
    one = graded(upwards, before, after, "source")
    other = graded(turned, 1 - before, 1 - after, "source")
    assert [f.outcome for f in one.findings] == [f.outcome for f in other.findings]
    assert [f.failure_class for f in one.findings] == [f.failure_class for f in other.findings]
    assert [f.candidate for f in one.findings] == pytest.approx(
        [1 - (f.candidate or 0) for f in other.findings]
    )
    compared = one.findings[0], other.findings[0]
    if compared[0].candidate is not None and compared[0].bound == -0.03:
        assert compared[1].bound == 0.03


def test_more_of_what_should_be_less_fails(choosing: Choosing) -> None:
    """And the message says so in the metric's own direction."""
    suite = choosing(higher_is_better=False, chance=0.75)
    baseline, worse = report(suite, first(60)), report(suite, first(150))
    verdict = judged(suite, worse, {"source": baseline})
    assert (verdict.outcome, verdict.failure_class) == (Outcome.FAIL, FailureClass.MODEL)
    assert ", where less is better; one-sided 95 % bounds +" in verdict.reasons()[0]
    assert judged(suite, baseline, {"production": worse}).passed


def test_a_baseline_that_guesses_is_no_measure_where_less_is_better_either(choosing: Choosing) -> None:
    """It has to score clearly less than guessing."""
    suite = choosing(higher_is_better=False, chance=0.25)
    guesses = report(suite, first(145))
    verdict = judged(suite, guesses, {"source": guesses})
    assert verdict.failure_class is FailureClass.CONFIG
    assert "not clearly below guessing (25.00 %) by more than the margin" in verdict.reasons()[0]
    (alone,) = judged(suite, report(suite, first(60)), {}).findings
    assert (alone.outcome, "below guessing (25.00 %)" in alone.message) == (Outcome.PASS, True)


@pytest.mark.parametrize("size", [1, 5])
def test_graded_scores_that_truly_lose_the_margin_pass_at_most_with_alpha(size: int) -> None:
    """2000 releases over ten looks; half the items move, by a little or a lot, some with their passage."""
    rng = np.random.default_rng(4)
    moves, shares = np.array([0.0, -0.1, 0.05, -0.4, 0.3]), [0.5, 0.25, 0.1, 0.0875, 0.0625]
    shift = -0.03 - moves @ shares
    differences = rng.choice(moves, (2000, 1000 // size), p=shares).repeat(size, axis=1) + shift

    def up_to_each_look(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values.reshape(2000, 10, -1).sum(axis=2).cumsum(axis=1)

    n = 100.0 * np.arange(1, 11)
    lost, gained = (up_to_each_look(np.maximum(side, 0)) for side in (-differences, differences))
    sums = differences.reshape(2000, -1, size).sum(axis=2)
    mean = (gained - lost) / n
    between = up_to_each_look(sums**2) - size * n * mean**2
    spread = dispersion_of(between, lost + gained - n * mean**2)
    tally = Tally(n=n, lost=lost, gained=gained, dispersion=spread, size=float(size))
    z = np.array(boundaries([(look + 1) / 10 for look in range(10)], 0.05))
    assert float((tally.z_below(0.03) > z).any(axis=1).mean()) <= 0.06
    assert float((tally.z_above(0.03) > z).any(axis=1).mean()) <= 0.06


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_graded_scores_never_pass_a_loss_that_is_seen_beyond_the_margin(
    choosing: Choosing, seed: int
) -> None:
    """Nor fail one that is within it; whatever the scores are."""
    rng = np.random.default_rng(seed)
    baseline = rng.beta(4, 2, 600)
    candidate = np.clip(baseline + rng.normal(rng.uniform(-0.1, 0.1), rng.uniform(0.01, 0.3), 600), 0, 1)
    found = graded(choosing(), baseline, candidate, "production").findings[0]
    assert found.baseline is not None
    assert found.candidate is not None
    loss = found.baseline - found.candidate
    assert found.outcome is not Outcome.PASS or loss < 0.03
    assert found.outcome is not Outcome.FAIL or loss > 0.03


def test_a_better_planned_suite_asks_for_more_items(choosing: Choosing) -> None:
    """What an open task still needs is said at the suite's own power."""
    needed = []
    for power in (0.8, 0.95):
        suite = choosing()
        planned = Suite(suite.spec.model_copy(update={"power": power}), suite.tasks)
        verdict = judged(planned, report(planned, first(556)), {"source": report(planned, first(570))})
        (message,) = verdict.reasons()
        needed.append(int(message.rpartition("; about ")[2].partition(" ")[0]))
    assert needed[0] < needed[1]
