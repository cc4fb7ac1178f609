"""How sure a figure per token is that was measured on texts: one-sided bounds on a ratio of sums. Pure.

Tokens of a text go together, so texts are what is drawn at random: the ratio's variance is linearised over
them (Cochran, Sampling Techniques, 3rd ed., 6.3). What quantizing costs is skewed: a few texts have most of
it, plain upper bounds are too low, and too much harm would pass. Hall's transformation for skewed means
(J. R. Statist. Soc. B 54 (1992) 221-228) takes most of that away. Simulated at alpha 5 %, 10 to 200 tokens a
text, lognormal cost per token (sigma 1): a true figure equal to the limit passes in 8.1 % of cases on 100
texts (plain bounds 12.5 %), 6.4 % on 300 (9.0 %) and 6.1 % on 1000 (7.9 %), and fails in 4.6 to 5.5 %. With
sigma 2 it passes in 9.9, 7.8 and 8.1 %. What no text shows is in no such bound: a cost that is all in 2 % of
the texts passes in 15.8 % of cases on 100 texts, in 1.6 % on 300. Of a share, ``share_bounds`` has more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Figures = NDArray[np.float64]
_HALF_COUNT = 0.5
_STRAIGHT = 1e-9  # skewness below which the transformation is the identity


@dataclass(frozen=True)
class Bounds:
    """A ratio of sums, and its one-sided bounds at 1 - alpha each."""

    estimate: float
    lower: float
    upper: float

    def widened(self, lower: float, upper: float) -> Bounds:
        """No narrower than these."""
        return Bounds(self.estimate, min(self.lower, lower), max(self.upper, upper))


def bounds_by_text(sums: Figures, places: Figures, alpha: float) -> Bounds:
    """Of sum(sums) / sum(places), arrays [m]; texts that are all alike have no spread, and so exact bounds.

    A share wants ``share_bounds`` beside it. Raises ValueError for fewer than two texts.
    """
    m = sums.size
    if m < 2:
        raise ValueError("a single text has no spread")
    estimate = float(sums.sum() / places.sum())
    residuals = sums - estimate * places
    spread = math.sqrt(float(residuals @ residuals) / (m - 1))
    if spread == 0:
        return Bounds(estimate, estimate, estimate)
    skewness = float(((residuals / spread) ** 3).mean()) / math.sqrt(m)
    error = spread * math.sqrt(m) / float(places.sum())
    z = NormalDist().inv_cdf(1 - alpha)
    t = z + (z**3 + z) / (4 * (m - 1))  # Student's, to the first order
    lower, upper = (estimate - error * _unskewed(quantile, skewness) for quantile in (t, -t))
    return Bounds(estimate, lower, upper)


def share_bounds(count: float, places: float, alpha: float) -> tuple[float, float]:
    """One-sided bounds at 1 - alpha each on a share of places, of which ``count`` were seen to have it.

    The score interval (Wilson, JASA 22 (1927) 209-212), half a count further out: 0 of 400 is below 0.91 %.
    """
    z = NormalDist().inv_cdf(1 - alpha)

    def bound(seen: float, z: float) -> float:
        spread = z * math.sqrt(z**2 + 4 * seen * (1 - seen / places))
        return (2 * seen + z**2 + spread) / (2 * (places + z**2))

    return bound(max(count - _HALF_COUNT, 0.0), -z), bound(min(count + _HALF_COUNT, places), z)


def _unskewed(quantile: float, skewness: float) -> float:
    """Where a studentized mean lies that Hall's transformation takes to ``quantile``; skewness / sqrt(m)."""
    if abs(skewness) < _STRAIGHT:
        return quantile
    return (math.cbrt(1 + skewness * (quantile - skewness / 6)) - 1) / (skewness / 3)
