"""Is a candidate no worse than its baseline, item for item? Paired bounds, an outcome, and what is missing.

Pure. Right-or-wrong items get Tango's score interval for the difference of paired proportions, shifted
by half a count. The textbook standard error ``sqrt((flips - d^2) / n)`` is 0 when no item flips, which
would claim certainty from three items, and accepts a true loss equal to the margin in 9 % of cases
where 5 % were promised (n 600, margin 3 %, flips 3 %). The score interval estimates the flips under the
tested loss instead and stays valid without any; the half count keeps what is left of the discreteness
from exceeding alpha. Summed exactly at alpha 5 % (n 5-1500, margins 1-10 %, flips 1-8 times the margin):
a loss equal to the margin passes at most 4.8 % of the time and fails at most 5.5 %.

Tango, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17 (1998) 891-908. Values between 0 and 1 that are not all 0 or 1 get
the empirical Bernstein bound of Maurer and Pontil (COLT 2009, theorem 4): wide, and valid at any n.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from judging.verdict import Outcome

Values = Sequence[float] | NDArray[np.float64]
_HALF_COUNT = 0.5  # losses minus gains moves in steps of one
_POWER = 0.8  # chance that ``needed_n`` items decide, if the rates stay as seen
_MOST_ITEMS = 10_000_000  # beyond this, "more samples" is no advice
_BISECTIONS = 60
_Bounds = Callable[[int, float], tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class PairedResult:
    """Differences are candidate - baseline in units of the score; bounds are one-sided at 1 - alpha each.

    ``lost`` and ``gained`` count items that score lower and higher than for the baseline. ``needed_n``
    is the number of items that would decide, if the rates stay as seen; None when decided or hopeless.
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


def non_inferiority(baseline: Values, candidate: Values, margin: float, alpha: float) -> PairedResult:
    """Pass iff the lower bound is above -margin, fail iff the upper one is below it, else inconclusive.

    Scores are in [0, 1], higher is better, paired by position. Raises ValueError for scores that are
    missing, not finite or outside, and for a margin or alpha outside (0, 1).
    """
    if not (0 < margin < 1 and 0 < alpha < 1):
        raise ValueError(f"margin and alpha are fractions of 1: {margin}, {alpha}")
    before, after = _scores(baseline), _scores(candidate)
    if before.size != after.size:
        raise ValueError(f"{before.size} baseline scores cannot be paired with {after.size}")
    difference = after - before
    bounds = _binary_bounds(difference) if _is_binary(before, after) else _bounded_bounds(difference)
    lower, upper = bounds(difference.size, alpha)
    outcome = _decide(lower, upper, margin)
    return PairedResult(
        outcome=outcome,
        estimate=float(difference.mean()),
        standard_error=float(difference.std() / math.sqrt(difference.size)),
        lower=lower,
        upper=upper,
        n=difference.size,
        lost=int((difference < 0).sum()),
        gained=int((difference > 0).sum()),
        needed_n=_needed(bounds, difference.size, margin, alpha) if outcome is Outcome.INCONCLUSIVE else None,
    )


def above_chance(values: Values, chance: float, alpha: float) -> bool:
    """Whether the mean of scores in [0, 1] is above ``chance`` with error rate alpha; never for no scores.

    Exact binomial tail for right-or-wrong scores, else the empirical Bernstein lower bound.
    """
    if len(values) == 0:
        return False
    scores = _scores(values)
    if _is_binary(scores):
        return binomial_tail(int(scores.sum()), scores.size, chance) <= alpha
    return float(scores.mean()) - _bernstein(float(scores.std()), 1.0, scores.size, alpha) > chance


def binomial_tail(successes: int, n: int, probability: float) -> float:
    """P(X >= successes) for X binomial(n, probability)."""
    if successes <= 0:
        return 1.0
    if probability <= 0:
        return 0.0
    counts = range(successes, n + 1)
    log, log_not = math.log(probability), math.log1p(-probability)
    ways = (math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) for k in counts)
    return math.fsum(math.exp(way + k * log + (n - k) * log_not) for way, k in zip(ways, counts, strict=True))


def _scores(values: Values) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError("no scores")
    if not np.isfinite(scores).all() or np.min(scores) < 0 or np.max(scores) > 1:
        raise ValueError("scores are finite and between 0 and 1")
    return scores


def _is_binary(*arrays: NDArray[np.float64]) -> bool:
    return all(np.isin(array, (0.0, 1.0)).all() for array in arrays)


def _decide(lower: float, upper: float, margin: float) -> Outcome:
    if lower > -margin:
        return Outcome.PASS
    return Outcome.FAIL if upper < -margin else Outcome.INCONCLUSIVE


def _binary_bounds(difference: NDArray[np.float64]) -> _Bounds:
    lost, gained = float((difference < 0).mean()), float((difference > 0).mean())

    def bounds(n: int, alpha: float) -> tuple[float, float]:
        z = NormalDist().inv_cdf(1 - alpha)
        return -_largest_loss(lost * n, gained * n, n, z), _largest_loss(gained * n, lost * n, n, z)

    return bounds


def _largest_loss(lost: float, gained: float, n: int, z: float) -> float:
    """The largest loss in [-1, 1] that the counts do not contradict by z standard errors."""
    low, high = (lost - gained) / n, 1.0
    for _ in range(_BISECTIONS):
        loss = (low + high) / 2
        excess = n * loss - (lost - gained) - _HALF_COUNT
        low, high = (low, loss) if excess > z * _score_deviation(lost, gained, n, loss) else (loss, high)
    return high


def _score_deviation(lost: float, gained: float, n: int, loss: float) -> float:
    """Standard deviation of losses minus gains if the true loss were ``loss`` (Tango 1998, section 2).

    The rate of gains is its maximum-likelihood estimate under that loss: the larger root of
    a q^2 + b q + c = 0.
    """
    a = 2 * n
    b = (2 * n - lost + gained) * loss - lost - gained
    c = -gained * loss * (1 - loss)
    gains = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    return math.sqrt(max(n * (2 * gains + loss * (1 - loss)), 0.0))


def _bounded_bounds(difference: NDArray[np.float64]) -> _Bounds:
    mean, deviation = float(difference.mean()), float(difference.std())

    def bounds(n: int, alpha: float) -> tuple[float, float]:
        half = _bernstein(deviation, 2.0, n, alpha)  # differences span [-1, 1]
        return max(mean - half, -1.0), min(mean + half, 1.0)

    return bounds


def _bernstein(deviation: float, span: float, n: int, alpha: float) -> float:
    """Half width of the one-sided bound on a mean of n values that lie within ``span``."""
    if n < 2:
        return span
    log = math.log(2 / alpha)
    variance = deviation**2 * n / (n - 1)
    return math.sqrt(2 * variance * log / n) + 7 * span * log / (3 * (n - 1))


def _needed(bounds: _Bounds, n: int, margin: float, alpha: float) -> int | None:
    normal = NormalDist()
    # Bounds this much stricter hold in a fresh sample with the wanted power.
    planned = 1 - normal.cdf(normal.inv_cdf(1 - alpha) + normal.inv_cdf(_POWER))

    def decides(items: int) -> bool:
        return _decide(*bounds(items, planned), margin) is not Outcome.INCONCLUSIVE

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
