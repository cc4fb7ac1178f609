"""Does a model know more than guessing would tell it? Pure."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from statistics import NormalDist

import numpy as np

from judging.paired import Values, proper_scores, tally_of


def above_chance(
    values: Values, chance: float, alpha: float, clusters: Sequence[Hashable] | None = None
) -> bool:
    """Whether the mean of scores in [0, 1] is above ``chance`` with error rate alpha; never for no scores.

    Exact binomial tail for right-or-wrong scores; for others, and where items with equal ``clusters`` belong
    together, the judge's own test (``judging.paired``) against one that answers everything.
    """
    if len(values) == 0:
        return False
    scores = proper_scores(values)
    tally = tally_of(scores - 1, clusters)
    if tally.size == 1 and np.isin(scores, (0.0, 1.0)).all():
        return binomial_tail(int(scores.sum()), scores.size, chance) <= alpha
    return bool(tally.z_below(1 - chance) > NormalDist().inv_cdf(1 - alpha))


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
