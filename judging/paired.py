"""Is a candidate no worse than its baseline, item for item? Paired bounds, an outcome, and what is missing.

Pure. One test for every score in [0, 1]: Tango's score test for the difference of paired proportions, over
the sums of what was lost and gained, shifted by half a count. The textbook standard error
``sqrt((flips - d^2) / n)`` is 0 when no item flips, which would claim certainty from three items, and
accepts a true loss equal to the margin in 9 % of cases where 5 % were promised (n 600, margin 3 %, flips
3 %). The score test estimates the flips under the tested loss instead and stays valid without any; the half
count keeps what is left of the discreteness from exceeding alpha. Summed exactly at alpha 5 % (n 5-1500,
margins 1-10 %, flips 1-8 times the margin): a loss equal to the margin passes at most 4.8 % of the time and
fails at most 5.5 %.

That variance is one of independent items that are lost, gained or neither. Items that share a passage fail
together, and scores between 0 and 1 change by less than a whole item: so it is multiplied by the observed
dispersion, the variance of cluster sums over that of such items (Rao and Scott, Biometrics 48 (1992)
577-585), which is 1 for independent right-or-wrong items. It is drawn to 1 as if ``_ASSUMED_FLIPS``
independent flips had been seen.

What was not seen may still be there. A loss of the margin that falls on a few whole clusters leaves none of
them in many a sample, and scattered flips then look like all there is. So the variance also holds
``_ASSUMED_CLUSTERS`` clusters that are lost or gained as a whole, and half a cluster takes the place of the
half count; neither changes anything for clusters of one item. Simulated with clusters of 2 to 50 items, 600
and 3000 items, up to thirty looks, margins of 2 and 5 %, and losses that fall on whole clusters (100, 67 or
40 % of their items) or are spread out, beside flips of 0 to 10 %, scattered or in whole clusters: a loss
equal to the margin passes at most 5.0 % of the time and fails at most 4.3 %; with 10 000 and 30 000 items it
passes at most 5.6 %. A loss that falls on the few largest of unequal clusters alone passes more often. ADR 16
has that and what else was tried; ``benchmarks/gate.py`` measures clusters of 5.

Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17 (1998) 891-908.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from judging.verdict import Interval, Outcome

Values = Sequence[float] | NDArray[np.float64]
Figure = float | NDArray[np.float64]
_ASSUMED_FLIPS = 5.0
_ASSUMED_CLUSTERS = 2.0
_MOST_ITEMS = 10_000_000  # beyond this, "more samples" is no advice
_BISECTIONS = 60


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What a judgement rests on: n items, the sums of what they lost and gained, and how these cluster.

    ``dispersion`` is that of ``dispersion_of``, ``size`` the items of a cluster by ``cluster_size``. Each may
    be an array of one shape, for many judgements at once.
    """

    n: Figure
    lost: Figure
    gained: Figure
    dispersion: Figure = 1.0
    size: Figure = 1.0

    def z_below(self, loss: Figure) -> Figure:
        """By how many standard deviations the true loss is below ``loss``."""
        return self._z(self.n * loss - self.lost + self.gained, loss)

    def z_above(self, loss: Figure) -> Figure:
        """By how many standard deviations the true loss is above ``loss``."""
        return self._z(self.lost - self.gained - self.n * loss, loss)

    def _z(self, excess: Figure, loss: Figure) -> Figure:
        return (excess - self.size / 2) / np.maximum(np.sqrt(self.variance(loss)), 1e-12)

    def variance(self, loss: Figure) -> Figure:
        """Of losses minus gains if the true loss were ``loss``, with what clusters may hide."""
        return self.dispersion * self._independent(loss) + _ASSUMED_CLUSTERS * (self.size**2 - 1)

    def _independent(self, loss: Figure) -> Figure:
        """The same for items that are lost, gained or neither, each by itself (Tango 1998, section 2).

        The rate of gains is its maximum-likelihood estimate under that loss: the larger root of
        a q^2 + b q + c = 0.
        """
        a = 2 * self.n
        b = (2 * self.n - self.lost + self.gained) * loss - self.lost - self.gained
        c = -self.gained * loss * (1 - loss)
        gains = (np.sqrt(np.maximum(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
        return np.maximum(self.n * (2 * gains + loss * (1 - loss)), 0.0)

    @property
    def mirrored(self) -> Tally:
        """The same with losses and gains exchanged."""
        return replace(self, lost=self.gained, gained=self.lost)

    def scaled(self, n: int) -> Tally:
        """What n items would show at the same rates."""
        share = n / self.n
        return replace(self, n=n, lost=self.lost * share, gained=self.gained * share)


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """Differences are candidate - baseline in units of the score; bounds are one-sided at 1 - alpha each.

    ``lost`` and ``gained`` count items that score lower and higher than for the baseline. ``needed_n``
    is the number of items that would decide with the wanted power, if the rates stay as seen; None when
    decided or hopeless.
    """

    outcome: Outcome
    estimate: float
    standard_error: float
    lower: float
    upper: float
    n: int
    lost: int
    gained: int
    needed_n: int | None

    @property
    def flips(self) -> int:
        """Items whose score changed, either way."""
        return self.lost + self.gained

    @property
    def interval(self) -> Interval:
        """The difference with its bounds, as a finding carries it."""
        return Interval(estimate=self.estimate, lower=self.lower, upper=self.upper, samples=self.n)


def non_inferiority(
    baseline: Values,
    candidate: Values,
    margin: float,
    alpha: float,
    *,
    clusters: Sequence[Hashable] | None = None,
    z: float | None = None,
    power: float = 0.8,
) -> PairedResult:
    """Pass iff the lower bound is above -margin, fail iff the upper one is below it, else inconclusive.

    Scores are in [0, 1], higher is better, paired by position; items with equal ``clusters`` belong together.
    ``z`` is the bound of this look (``judging.looks``), by default that of a single look at alpha; ``power``
    is the chance of deciding that ``needed_n`` is for. Raises ValueError for scores that are missing, not
    finite or outside, and for a margin or alpha outside (0, 1).
    """
    if not (0 < margin < 1 and 0 < alpha < 1):
        raise ValueError(f"margin and alpha are fractions of 1: {margin}, {alpha}")
    before, after = proper_scores(baseline), proper_scores(candidate)
    if before.size != after.size:
        raise ValueError(f"{before.size} baseline scores cannot be paired with {after.size}")
    difference = after - before
    tally = tally_of(difference, clusters)
    limit = _one_sided(alpha) if z is None else z
    outcome = decide(tally, margin, limit)
    return PairedResult(
        outcome=outcome,
        estimate=float(difference.mean()),
        standard_error=float(np.sqrt(tally.dispersion) * _independent_error(tally)),
        lower=-_largest_loss(tally, limit),
        upper=_largest_loss(tally.mirrored, limit),
        n=difference.size,
        lost=int((difference < 0).sum()),
        gained=int((difference > 0).sum()),
        needed_n=_needed(tally, margin, limit, power) if outcome is Outcome.INCONCLUSIVE else None,
    )


def tally_of(difference: NDArray[np.float64], clusters: Sequence[Hashable] | None = None) -> Tally:
    """What differences in [-1, 1] amount to; ValueError when the clusters are not one per item."""
    lost, gained = float(-difference[difference < 0].sum()), float(difference[difference > 0].sum())
    residual = difference - difference.mean()
    sums, size = residual, 1.0
    if clusters is not None:
        if len(clusters) != difference.size:
            raise ValueError(f"{len(clusters)} clusters for {difference.size} items")
        _, member, sizes = np.unique([str(c) for c in clusters], return_inverse=True, return_counts=True)
        sums, size = np.bincount(member, weights=residual), cluster_size(sizes)
    within = lost + gained - difference.size * float(difference.mean()) ** 2
    dispersion = dispersion_of(float(sums @ sums), within)
    return Tally(n=difference.size, lost=lost, gained=gained, dispersion=dispersion, size=size)


def dispersion_of(between: Figure, within: Figure) -> Figure:
    """The variance of cluster sums over that of independent items, drawn to 1 where few flips were seen.

    ``between`` is the sum of squared cluster residuals, ``within`` what it would be for items that are lost,
    gained or neither, each by itself.
    """
    return (between + _ASSUMED_FLIPS) / (np.maximum(within, 0.0) + _ASSUMED_FLIPS)


def cluster_size(sizes: Iterable[int]) -> float:
    """One size to stand for clusters of these: the sum of cubes over that of squares.

    The third cumulant of what is lost over the second, where any cluster may be lost as a whole: by how much
    a sum is skewed that is of few clusters. A single large one among many small ones counts little.
    """
    counts = np.fromiter(sizes, dtype=np.float64)
    return float((counts**3).sum() / (counts**2).sum())


def decide(tally: Tally, margin: float, z: float) -> Outcome:
    """What one judgement comes to at a look with this bound."""
    if tally.z_below(margin) > z:
        return Outcome.PASS
    return Outcome.FAIL if tally.z_above(margin) > z else Outcome.INCONCLUSIVE


def proper_scores(values: Values) -> NDArray[np.float64]:
    """Scores in [0, 1] as an array; raises ValueError for others, and for none."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError("no scores")
    if not np.isfinite(scores).all() or np.min(scores) < 0 or np.max(scores) > 1:
        raise ValueError("scores are finite and between 0 and 1")
    return scores


def _one_sided(alpha: float) -> float:
    return NormalDist().inv_cdf(1 - alpha)


def _independent_error(tally: Tally) -> float:
    rate = (tally.lost + tally.gained) / tally.n
    return float(np.sqrt(max(rate - ((tally.lost - tally.gained) / tally.n) ** 2, 0.0) / tally.n))


def _largest_loss(tally: Tally, z: float) -> float:
    """The largest loss in [-1, 1] that the counts do not contradict by z standard deviations."""
    low, high = float((tally.lost - tally.gained) / tally.n), 1.0
    for _ in range(_BISECTIONS):
        loss = (low + high) / 2
        low, high = (low, loss) if tally.z_below(loss) > z else (loss, high)
    return high


def _needed(tally: Tally, margin: float, z: float, power: float) -> int | None:
    # Bounds this much stricter hold in a fresh sample with the wanted power.
    planned = z + NormalDist().inv_cdf(power)

    def decides(items: int) -> bool:
        return decide(tally.scaled(items), margin, planned) is not Outcome.INCONCLUSIVE

    n = int(tally.n)
    high = n
    while not decides(high):
        high *= 2
        if high > _MOST_ITEMS:
            return None
    low = max(n, high // 2)
    while low + 1 < high:
        middle = (low + high) // 2
        low, high = (low, middle) if decides(middle) else (middle, high)
    return max(high, n + 1)
