"""What a run comes to, and what its repeats come to together. Pure.

Requests of one run wait for each other, so a percentile over them has no error that could be computed; whole
runs are what repeats. Of their figures the median counts, with the distribution-free interval between two of
their order statistics (David and Nagaraja, Order Statistics, 3rd ed., 7.1): the true median is beyond either
end in at most ``ERROR_RATE`` of cases, whatever the distribution. Three repeats are the fewest that can say
anything at that rate, and then their extremes are the ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from eval_suites.load_result import Seconds, Trial
from eval_suites.load_spec import PERCENTILES, LoadSpec

ERROR_RATE = 1 / 8
"""Of one judgement. All figures have to hold, so of what is over one bound no more than this passes."""


@dataclass(frozen=True)
class Spread:
    """The median of repeats, and the ends of its interval."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Of one figure over at least three repeats; raises ValueError for fewer."""
    if len(values) < 3:
        raise ValueError(f"{len(values)} repeats say nothing at an error rate of {ERROR_RATE:g}")
    ranked, out = sorted(values), _left_out(len(values))
    return Spread(median(ranked), ranked[out], ranked[-1 - out])


def _left_out(n: int) -> int:
    """How many of n values may lie beyond each end."""
    below = 0.0
    for count in range(n):
        below += math.comb(n, count) / 2**n
        if below > ERROR_RATE:
            return count - 1
    return 0


def percentile(times: Seconds, rank: float) -> float:
    """In milliseconds; infinite where nothing was answered."""
    return 1000 * float(np.percentile(times, rank)) if times.size else math.inf


def to_words(value: float) -> str:
    """To four digits, or all before the point: people do not read powers of ten."""
    return f"{value:.0f}" if value >= 1000 else f"{value:.4g}"


def figures_of(trial: Trial, load: LoadSpec) -> dict[str, float]:
    """Every figure of a run by its name; times in milliseconds, the others per second or as shares."""
    times = {"ttft": trial.ttft, "tpot": trial.tpot, "e2e": trial.e2e}
    good = trial.good(load.ttft_p95_ms / 1000, load.tpot_p95_ms / 1000)
    return {
        **{f"{time}_{p}_ms": percentile(t, PERCENTILES[p]) for time, t in times.items() for p in PERCENTILES},
        "goodput": good / trial.duration,
        "missed_rate": 1 - good / trial.run.requests,
        "answers_per_second": trial.e2e.size / trial.duration,
        "tokens_per_second": trial.tokens / trial.duration,
        "output_tokens_per_second": trial.output_tokens / trial.duration,
        "error_rate": trial.error_rate,
        "broken_rate": trial.broken_rate,
        "turned_away_rate": trial.turned_away / trial.run.requests,
    }
