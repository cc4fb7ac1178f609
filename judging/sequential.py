"""Always-valid statistics: bounds and evidence that may be looked at after every request.

A canary judge peeks continuously, so fixed-sample tests would fail healthy canaries. Everything here
stays valid under any stopping rule, is fed by sufficient statistics (counts, sums, sums of squares)
and keeps its state in a few floats. It knows nothing of fleets, files or time.

Sources: the mixture method (Robbins 1970, "Statistical methods related to the law of the iterated
logarithm"; Howard, Ramdas, McAuliffe, Sekhon 2021, "Time-uniform, nonparametric, nonasymptotic
confidence sequences"); asymptotic confidence sequences (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas
2024, "Time-uniform central limit theory and asymptotic confidence sequences"); their use for canaries
(Lindon, Sanden, Shirikian 2022, arXiv 2205.14762).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_GRID_SIZE = 30
# How much worse than allowed the mixture bets the canary is: 1.2 to 50 times, evenly in the logarithm.
RATE_RATIOS = tuple(1.2 * (50 / 1.2) ** (i / (_GRID_SIZE - 1)) for i in range(_GRID_SIZE))
# The central limit theorem has to hold from the first look on; below this nothing is claimed.
FEWEST_SAMPLES = 20
# The effective sample size at which the confidence sequence is tightest.
_TIGHTEST_AT = 100.0
_JEFFREYS = 0.5


@dataclass(frozen=True)
class Bounds:
    """An estimate with a lower and an upper bound, each one-sided and always valid at its alpha."""

    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares of a sample; two samples add."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Iterable[float]) -> Moments:
        """The moments of these values."""
        known = tuple(values)
        return cls(len(known), math.fsum(known), math.fsum(v * v for v in known))

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.count + other.count, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 for an empty sample."""
        return self.total / self.count if self.count else 0.0

    @property
    def scatter(self) -> float:
        """The sum of squared deviations from the mean."""
        return max(self.squares - self.total * self.mean, 0.0)

    def to_json(self) -> list[float]:
        """Three numbers that ``from_json`` reads back."""
        return [self.count, self.total, self.squares]

    @classmethod
    def from_json(cls, value: Sequence[float]) -> Moments:
        """Read what ``to_json`` wrote."""
        count, total, squares = value
        return cls(int(count), float(total), float(squares))


@dataclass(frozen=True)
class RateRatioEvidence:
    """Evidence that the canary errs more often than an allowed multiple of concurrent stable.

    With equal rates, an error belongs to the canary with probability equal to its share of the
    requests. The e-value is the average wealth of bettors on ratios 1.2 to 50 (a conditional binomial
    mixture). The share is known before the errors of an increment are looked at, so wealth multiplies
    over increments of different weights. Shares of requests without replacement make the number of
    canary errors less dispersed than binomial (Hoeffding 1963), so the e-value stays conservative.
    """

    log_wealths: tuple[float, ...] = (0.0,) * _GRID_SIZE

    def updated(
        self, *, canary: tuple[int, int], stable: tuple[int, int], allowed_ratio: float = 1.0
    ) -> RateRatioEvidence:
        """Bet on one increment, given as (errors, requests) of both arms served at the same time.

        An increment without requests on both arms compares nothing and changes nothing.
        """
        (canary_errors, canary_requests), (stable_errors, stable_requests) = canary, stable
        if not canary_requests or not stable_requests or not canary_errors + stable_errors:
            return self
        null_odds = allowed_ratio * canary_requests / stable_requests
        null = null_odds / (1 + null_odds)
        wealths = []
        for wealth, ratio in zip(self.log_wealths, RATE_RATIOS, strict=True):
            odds = ratio * null_odds
            share = odds / (1 + odds)
            gain = canary_errors * math.log(share / null)
            gain += stable_errors * (math.log1p(-share) - math.log1p(-null))
            wealths.append(wealth + gain)
        return RateRatioEvidence(tuple(wealths))

    @property
    def e_value(self) -> float:
        """Wealth made from 1 by betting against "no worse than allowed"; reject at 1 / alpha (Ville)."""
        top = max(self.log_wealths)
        mean = math.fsum(math.exp(w - top) for w in self.log_wealths) / len(self.log_wealths)
        return math.exp(min(top + math.log(mean), 700.0))  # beyond, a float overflows

    def to_json(self) -> list[Any]:
        """The wealths, readable by ``from_json``."""
        return list(self.log_wealths)

    @classmethod
    def from_json(cls, value: Sequence[float]) -> RateRatioEvidence:
        """Read what ``to_json`` wrote; raises ValueError for another grid."""
        if len(value) != _GRID_SIZE:
            raise ValueError(f"{len(value)} wealths on a grid of {_GRID_SIZE}")
        return cls(tuple(float(v) for v in value))


def rate_bounds(errors: int, requests: int, alpha: float) -> Bounds:
    """Always-valid bounds of an error rate: Robbins' beta-binomial mixture with a Jeffreys prior.

    The bounds hold together at ``alpha`` for all sample sizes at once; without requests they are 0 and 1.
    """
    if not requests:
        return Bounds(0.0, 0.0, 1.0)
    rate = errors / requests
    lower = 0.0 if errors == 0 else _boundary(errors, requests, alpha, outside=0.0)
    upper = 1.0 if errors == requests else _boundary(errors, requests, alpha, outside=1.0)
    return Bounds(rate, lower, upper)


def requests_to_prove(rate: float, alpha: float, errors: int = 0) -> int:
    """The fewest requests, ``errors`` of them bad, whose upper bound is at most ``rate``."""
    enough = max(errors, 1)
    while rate_bounds(errors, enough, alpha).upper > rate:
        enough *= 2
    short = enough // 2
    while enough - short > 1:
        middle = (enough + short) // 2
        if rate_bounds(errors, middle, alpha).upper > rate:
            short = middle
        else:
            enough = middle
    return enough


def mean_difference(strata: Iterable[tuple[Moments, Moments]], alpha: float) -> Bounds | None:
    """Bounds of mean(canary) - mean(stable) over strata given as (stable, canary).

    An asymptotic confidence sequence, one-sided at ``alpha`` on each side. Arms are compared inside a
    stratum only (a stretch with one routing weight), so a drift over time that hits both arms cancels;
    strata count by their effective size. None while an arm has fewer than ``FEWEST_SAMPLES``.
    """
    usable = [(s, c) for s, c in strata if s.count and c.count]
    if min(sum(s.count for s, _ in usable), sum(c.count for _, c in usable)) < FEWEST_SAMPLES:
        return None
    stable_variance, canary_variance = _pooled([s for s, _ in usable]), _pooled([c for _, c in usable])
    sizes = [s.count * c.count / (s.count + c.count) for s, c in usable]
    size = math.fsum(sizes)
    pairs = list(zip(sizes, usable, strict=True))
    estimate = math.fsum(n * (c.mean - s.mean) for n, (s, c) in pairs) / size
    variance = math.fsum(
        (n / size) ** 2 * (stable_variance / s.count + canary_variance / c.count) for n, (s, c) in pairs
    )
    half = math.sqrt(variance) * _boundary_in_deviations(size, alpha)
    return Bounds(estimate, estimate - half, estimate + half)


def _pooled(samples: list[Moments]) -> float:
    """The variance within samples that may differ in their means."""
    freedom = sum(sample.count - 1 for sample in samples)
    return math.fsum(sample.scatter for sample in samples) / max(freedom, 1)


def _boundary_in_deviations(size: float, alpha: float) -> float:
    """The one-sided boundary of Waudby-Smith et al., in standard deviations of the estimate."""
    tuned = -2 * math.log(2 * alpha)
    rho2 = (tuned + math.log(tuned + 1)) / _TIGHTEST_AT
    grown = size * rho2 + 1
    return math.sqrt(2 * grown / (size * rho2) * math.log1p(math.sqrt(grown) / (2 * alpha)))


def _boundary(errors: int, requests: int, alpha: float, *, outside: float) -> float:
    """Where the mixture's likelihood ratio reaches 1 / alpha between the observed rate and ``outside``."""
    good = requests - errors
    prior = _log_beta(_JEFFREYS, _JEFFREYS)
    limit = _log_beta(errors + _JEFFREYS, good + _JEFFREYS) - prior + math.log(alpha)
    inside = errors / requests
    for _ in range(60):
        middle = (inside + outside) / 2
        likelihood = (errors * math.log(middle) if errors else 0.0) + (
            good * math.log1p(-middle) if good else 0.0
        )
        if likelihood > limit:
            inside = middle
        else:
            outside = middle
    return outside


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
