"""Paired judgements keep their error rates, most of all where nothing or little flips."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from judging.paired import PairedResult, cluster_size, non_inferiority
from judging.verdict import Outcome


def scores(n: int, lost: int, gained: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Baseline and candidate scores of n items, of which some were lost and some gained."""
    baseline, candidate = np.ones(n), np.ones(n)
    candidate[:lost] = 0
    baseline[lost : lost + gained] = 0
    return baseline, candidate


def judged(n: int, lost: int, gained: int, margin: float = 0.03) -> PairedResult:
    """The judgement of such scores at alpha 5 %."""
    return non_inferiority(*scores(n, lost, gained), margin, 0.05)


def probability(n: int, lost: int, gained: int, loses: float, gains: float) -> float:
    """Of exactly these counts, if an item is lost and gained with these probabilities."""
    if gains <= 0:
        return 0.0 if gained else probability_of_lost(n, lost, loses)
    same = n - lost - gained
    ways = math.lgamma(n + 1) - math.lgamma(lost + 1) - math.lgamma(gained + 1) - math.lgamma(same + 1)
    return math.exp(
        ways + lost * math.log(loses) + gained * math.log(gains) + same * math.log(1 - loses - gains)
    )


def probability_of_lost(n: int, lost: int, loses: float) -> float:
    """Of exactly so many losses, if nothing can be gained."""
    return math.comb(n, lost) * loses**lost * (1 - loses) ** (n - lost)


def beyond(outcome: Outcome, result: PairedResult) -> bool:
    """Whether there are too many losses to pass, or enough to fail."""
    return result.outcome is Outcome.FAIL or (outcome is Outcome.PASS and result.outcome is not Outcome.PASS)


def chance_of(outcome: Outcome, n: int, flips: float, loss: float, margin: float) -> float:
    """The exact probability of an outcome at a true loss, summed over all counts that matter."""
    loses, gains = (flips + loss) / 2, (flips - loss) / 2
    most = int(n * flips + 6 * math.sqrt(n * flips) + 5)
    total, boundary = 0.0, 0
    for gained in range(most if gains > 0 else 1):
        # One more gain never makes an outcome worse, so the boundary in losses only moves up.
        while boundary < most and not beyond(outcome, judged(n, boundary, gained, margin)):
            boundary += 1
        inside = range(boundary) if outcome is Outcome.PASS else range(boundary, most)
        total += math.fsum(probability(n, lost, gained, loses, gains) for lost in inside)
    return total


@pytest.mark.parametrize(
    ("margin", "flips"), [(0.02, 0.02), (0.02, 0.05), (0.02, 0.1), (0.03, 0.03), (0.03, 0.05), (0.03, 0.1)]
)
def test_a_loss_as_large_as_the_margin_passes_at_most_with_alpha(margin: float, flips: float) -> None:
    """False acceptance, computed exactly for 600 items, stays below the promised 5 %."""
    assert chance_of(Outcome.PASS, 600, flips, margin, margin) <= 0.05


@pytest.mark.parametrize("flips", [0.03, 0.05, 0.1])
def test_a_loss_as_large_as_the_margin_fails_about_with_alpha_at_most(flips: float) -> None:
    """The other error: failing a candidate exactly at the margin (5.5 % at the very worst seen)."""
    assert chance_of(Outcome.FAIL, 600, flips, 0.03, 0.03) <= 0.055


def test_a_lossless_candidate_passes_often_enough_to_be_of_use() -> None:
    """At 600 items, margin 3 % and 5 % flips, a candidate that loses nothing passes nine times of ten."""
    assert chance_of(Outcome.PASS, 600, 0.05, 0.0, 0.03) > 0.9


def test_the_plain_standard_error_would_not_keep_its_promise() -> None:
    """Why there is a score bound: the textbook bound accepts the margin too often at few flips."""
    z, n, margin = 1.6448536, 600, 0.03
    accepted = 0.0
    for lost in range(60):
        loss = lost / n
        if loss + z * math.sqrt((loss - loss**2) / n) < margin:
            accepted += probability_of_lost(n, lost, margin)
    assert accepted > 0.08


@pytest.mark.parametrize("n", [1, 3, 20, 98])
def test_no_flips_in_few_items_is_no_certainty(n: int) -> None:
    """Zero variance is not zero doubt: up to 98 items a 3 % loss shows no flip more than 5 % of the time."""
    result = judged(n, 0, 0)
    assert (result.outcome, result.estimate, result.standard_error) == (Outcome.INCONCLUSIVE, 0.0, 0.0)
    assert result.needed_n is not None
    assert result.needed_n > n


def test_no_flips_in_many_items_pass() -> None:
    """600 items without a flip leave room for a loss of 0.6 points."""
    result = judged(600, 0, 0)
    assert result.outcome is Outcome.PASS
    assert -0.0065 < result.lower < -0.005
    assert result.flips == 0


def test_clear_harm_fails() -> None:
    """60 of 600 items lost and 10 gained is worse than 3 points beyond doubt."""
    result = judged(600, 60, 10)
    assert result.outcome is Outcome.FAIL
    assert result.upper < -0.03
    assert (result.lost, result.gained, result.flips, result.n) == (60, 10, 70, 600)
    assert result.needed_n is None


def test_tangos_own_example_is_reproduced_up_to_the_half_count() -> None:
    """44 pairs, one lost (Tango 1998, contact lenses): -0.118 to 0.059 lies within ours, and not by much."""
    result = non_inferiority(*scores(44, 1, 0), 0.5, 0.025)
    assert -0.165 < result.lower < -0.118
    assert 0.058 < result.upper < 0.11


def test_needed_items_decide_if_the_rates_stay() -> None:
    """Ten times the items with ten times the flips decide once there are as many as was said."""
    small = judged(200, 3, 2)
    assert small.needed_n is not None
    assert 200 < small.needed_n < 2000
    assert judged(2000, 30, 20).outcome is Outcome.PASS


def test_a_loss_right_at_the_margin_has_no_needed_number() -> None:
    """No number of items tells a loss of exactly the margin from either side."""
    assert judged(600, 30, 12).needed_n is None


def test_nothing_is_rounded_before_comparing() -> None:
    """A bound a hair on either side of the margin decides by the hair."""
    lower = judged(600, 12, 6).lower
    assert judged(600, 12, 6, -lower + 1e-9).outcome is Outcome.PASS
    assert judged(600, 12, 6, -lower - 1e-9).outcome is Outcome.INCONCLUSIVE


@given(n=st.integers(1, 400), data=st.data())
def test_bounds_enclose_the_estimate_and_mirror_each_other(n: int, data: st.DataObject) -> None:
    """Lower <= estimate <= upper within [-1, 1]; swapping the sides swaps and negates the bounds."""
    lost = data.draw(st.integers(0, n))
    gained = data.draw(st.integers(0, n - lost))
    one, other = judged(n, lost, gained), judged(n, gained, lost)
    assert -1 <= one.lower <= one.estimate + 1e-12
    assert one.estimate - 1e-12 <= one.upper <= 1
    assert one.lower == pytest.approx(-other.upper)


@given(n=st.integers(2, 300), data=st.data())
def test_one_more_loss_never_looks_better(n: int, data: st.DataObject) -> None:
    """Both bounds fall when an unchanged item is lost; the sums in this file rest on that."""
    lost = data.draw(st.integers(0, n - 1))
    gained = data.draw(st.integers(0, n - 1 - lost))
    before, after = judged(n, lost, gained), judged(n, lost + 1, gained)
    assert after.lower <= before.lower + 1e-9
    assert after.upper <= before.upper + 1e-9


def test_bounded_scores_get_a_bound_that_holds() -> None:
    """Partial scores whose true loss is the margin pass in at most 5 % of 300 seeded releases."""
    rng = np.random.default_rng(7)
    passed = 0
    for _ in range(300):
        baseline = rng.uniform(0.4, 1.0, 600)
        candidate = baseline - rng.choice([0.0, 0.3], 600, p=[0.9, 0.1])
        passed += non_inferiority(baseline, candidate, 0.03, 0.05).outcome is Outcome.PASS
    assert passed <= 15


def test_bounded_scores_without_any_difference_need_more_than_a_few_items() -> None:
    """Identical partial scores pass with 600 items and are inconclusive with one or sixty."""
    outcomes = [non_inferiority([0.5] * n, [0.5] * n, 0.03, 0.05).outcome for n in (1, 60, 600)]
    assert outcomes == [Outcome.INCONCLUSIVE, Outcome.INCONCLUSIVE, Outcome.PASS]


@pytest.mark.parametrize(
    ("baseline", "candidate"),
    [([], []), ([1.0], [1.0, 0.0]), ([1.0, math.nan], [1.0, 1.0]), ([1.0], [1.5]), ([-0.1], [1.0])],
)
def test_scores_that_cannot_be_judged_are_refused(baseline: list[float], candidate: list[float]) -> None:
    """Nothing missing, unpaired, non-finite or out of range turns into an outcome."""
    with pytest.raises(ValueError, match="score"):
        non_inferiority(baseline, candidate, 0.03, 0.05)


@pytest.mark.parametrize(("margin", "alpha"), [(0.0, 0.05), (1.0, 0.05), (0.03, 0.0), (0.03, 1.0)])
def test_a_margin_or_alpha_that_means_nothing_is_refused(margin: float, alpha: float) -> None:
    """Both are fractions strictly between 0 and 1."""
    with pytest.raises(ValueError, match="fractions"):
        non_inferiority([1.0], [1.0], margin, alpha)


def clustered_scores(lost: int, gained: int, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """6000 items in passages of this size; whole passages are lost or gained."""
    baseline, candidate = np.ones(6000), np.ones(6000)
    candidate[: lost * size] = 0
    baseline[lost * size : (lost + gained) * size] = 0
    return baseline, candidate


@pytest.mark.parametrize("size", [2, 5, 10])
def test_passages_that_fail_as_a_whole_count_once(size: int) -> None:
    """The bounds are about as wide as those of so many single items as there are passages."""
    passages = [item // size for item in range(6000)]
    together = non_inferiority(*clustered_scores(40, 30, size), 0.05, 0.05, clusters=passages)
    naive = non_inferiority(*clustered_scores(40, 30, size), 0.05, 0.05)
    width, single = (r.upper - r.lower for r in (together, naive))
    assert width / single == pytest.approx(math.sqrt(size), rel=0.15)
    assert together.standard_error > naive.standard_error


def test_independent_items_in_passages_lose_little() -> None:
    """Flips spread over passages show that nothing clusters; what is left is doubt of what was not seen."""
    rng = np.random.default_rng(5)
    baseline, candidate = np.ones(3000), np.ones(3000)
    flips = rng.permutation(3000)[:300]
    candidate[flips[:150]] = 0
    baseline[flips[150:]] = 0
    passages = [item // 5 for item in range(3000)]
    alone = non_inferiority(baseline, candidate, 0.02, 0.05)
    clustered = non_inferiority(baseline, candidate, 0.02, 0.05, clusters=passages)
    assert 1 < (clustered.upper - clustered.lower) / (alone.upper - alone.lower) < 1.2


def test_no_flips_in_large_passages_are_no_certainty() -> None:
    """600 items in 60 passages: as few as 60 items might be."""
    passages = [item // 10 for item in range(600)]
    result = non_inferiority(*scores(600, 0, 0), 0.03, 0.05, clusters=passages)
    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.needed_n is not None


def test_small_changes_of_a_score_are_no_whole_items() -> None:
    """A tenth lost and gained here and there is known better than a tenth of the items lost and gained."""
    rng = np.random.default_rng(5)
    baseline = np.full(1000, 0.5)
    graded = non_inferiority(baseline, baseline + rng.choice([-0.1, 0.1], 1000), 0.02, 0.05)
    whole = non_inferiority(*scores(1000, 50, 50), 0.02, 0.05)
    assert graded.outcome is Outcome.PASS
    assert graded.upper - graded.lower < 0.6 * (whole.upper - whole.lower)


def test_a_rare_large_loss_of_a_score_is_not_passed_before_it_is_seen() -> None:
    """Scores that hardly move say nothing about the one item in fifty that loses everything."""
    rng = np.random.default_rng(5)
    passed = 0
    for _ in range(400):
        loses = rng.random(300) < 0.02 / 0.9
        candidate = np.where(loses, 0.05, 0.95)
        passed += non_inferiority(np.full(300, 0.95), candidate, 0.02, 0.05).outcome is Outcome.PASS
    assert passed / 400 <= 0.07


def test_a_stricter_look_needs_more() -> None:
    """The bound of an early look is wider, and what it leaves open a single look would have decided."""
    baseline, candidate = scores(600, 8, 6)
    alone = non_inferiority(baseline, candidate, 0.03, 0.05)
    early = non_inferiority(baseline, candidate, 0.03, 0.05, z=4.5)
    assert alone.outcome is Outcome.PASS
    assert early.outcome is Outcome.INCONCLUSIVE
    assert early.lower < alone.lower


def test_each_item_has_one_cluster() -> None:
    """A list that is too short would pair items with the passages of others."""
    with pytest.raises(ValueError, match="clusters"):
        non_inferiority(*scores(10, 1, 1), 0.03, 0.05, clusters=[1, 2])


@pytest.mark.parametrize("size", [5, 10, 20, 50])
@pytest.mark.parametrize("flips", [0.02, 0.1])
def test_a_loss_that_falls_on_whole_passages_passes_at_most_with_alpha(size: int, flips: float) -> None:
    """Few of 3000 items' passages carry all of the margin, and scattered flips do not hide that."""
    rng = np.random.default_rng(5)
    passages = [item // size for item in range(3000)]
    passed = 0
    for _ in range(100):
        chance = rng.random(3000)
        hit = (rng.random(3000 // size) < 0.02).repeat(size)
        baseline = np.where(~hit & (chance < flips / 2), 0.0, 1.0)
        candidate = np.where(hit | (chance > 1 - flips / 2), 0.0, 1.0)
        passed += non_inferiority(baseline, candidate, 0.02, 0.05, clusters=passages).outcome is Outcome.PASS
    assert passed <= 100 * 0.05


def test_more_of_the_same_passages_decide() -> None:
    """What few passages may hide they no longer can among as many as ``needed_n`` says."""
    small, passages = scores(1000, 5, 5), [item // 20 for item in range(1000)]
    few = non_inferiority(*small, 0.05, 0.05, clusters=passages)
    assert few.outcome is Outcome.INCONCLUSIVE
    assert few.needed_n is not None
    times = -(-few.needed_n // 1000)
    assert times < 4
    many = [np.tile(side, times) for side in small]
    more = [item // 20 for item in range(1000 * times)]
    assert non_inferiority(many[0], many[1], 0.05, 0.05, clusters=more).outcome is Outcome.PASS


def test_clusters_of_one_size_have_that_size_and_a_single_large_one_counts_little() -> None:
    """A cluster of twenty among six hundred of five, and ten of fifty among single items."""
    assert cluster_size([7] * 30) == 7
    assert cluster_size([1] * 30) == 1
    assert 5 < cluster_size([5] * 600 + [20]) < 6
    assert 45 < cluster_size([1] * 2500 + [50] * 10) < 50
