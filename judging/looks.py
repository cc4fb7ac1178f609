"""When a judge may look: bounds for many looks at growing data that keep one error rate together. Pure.

A judge that stops as soon as a bound of a single sample is crossed errs far more often than it says: at
thirty looks a 5 % test crosses by chance 24 % of the time. Here each look has a bound of its own, and the
chance that a true limit is ever crossed is alpha in all, so that stopping after any look is as valid as
going on. Alpha is spent in proportion to the data seen: that ends clear cases early and costs little at the
end (final z 2.11 instead of 1.64 at thirty looks).

Lan and DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983) 659-663, with the
family alpha * t^rho of Kim and DeMets (Biometrika 74 (1987) 149-154) at rho 1; solved by the recursion of
Armitage, McPherson and Rowe over a Brownian path (JRSS A 132 (1969) 235-244). Confidence bounds at each
look: Jennison and Turnbull, "Interim analyses: the repeated confidence interval approach", JRSS B 51 (1989)
305-361. The chance of crossing under a drift follows from the path without one, by the likelihood ratio of
the two (Cameron and Martin).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_POINTS = 513  # of the path's density; the total chance is right to 1e-4 at 100 looks
_COARSE = 129  # the same for what is only planned by
_REACH = 8.0  # standard deviations on either side
_MOST_DRIFT = 40.0
_MOST_LOG = 700.0  # of what is no infinity
_BISECTIONS = 40


def boundaries(fractions: Sequence[float], alpha: float) -> tuple[float, ...]:
    """The z that a one-sided statistic has to exceed at each look, alpha in all.

    ``fractions`` of the planned data at each look, rising, the last at most 1. Raises ValueError for others.
    """
    looks = tuple(fractions)
    if not looks or not looks[0] > 0 or not looks[-1] <= 1 or any(b <= a for a, b in pairwise(looks)):
        raise ValueError(f"looks rise from above 0 to at most 1: {looks}")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is between 0 and 0.5: {alpha}")
    return _boundaries(looks, alpha)


def crossing_chance(fractions: Sequence[float], bounds: Sequence[float], drift: float) -> float:
    """The chance that a statistic with this mean at the full data is above its bound at any look.

    Its variance is 1 at every look. ``fractions`` and ``bounds`` as those of ``boundaries``; right to 1e-3.
    """
    path, mass = _survivors(tuple(fractions), tuple(bounds))
    ratio = np.exp(np.minimum(drift * path - drift**2 * fractions[-1] / 2, _MOST_LOG))
    return 1 - float(ratio @ mass)


def drift_for(fractions: Sequence[float], bounds: Sequence[float], chance: float) -> float:
    """The drift from 0 to 40 with which a bound is crossed with this chance."""
    low, high = 0.0, _MOST_DRIFT
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        enough = crossing_chance(fractions, bounds, middle) >= chance
        low, high = (low, middle) if enough else (middle, high)
    return high


@lru_cache(maxsize=64)
def _boundaries(looks: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    first = NormalDist().inv_cdf(1 - alpha * looks[0])
    found = [first]
    path, mass = _started(looks[0], first)
    for before, now in pairwise(looks):
        wide = _grid(now, _REACH * now**0.5)
        density = _normal(wide[:, None] - path[None, :], now - before) @ mass
        limit = _upper_quantile(wide, density, alpha * (now - before))
        found.append(limit / now**0.5)
        path = _grid(now, limit)
        mass = _weighted(path, np.interp(path, wide, density))
    return tuple(found)


@lru_cache(maxsize=64)
def _survivors(
    looks: tuple[float, ...], bounds: tuple[float, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the paths without drift end that cross no bound, and the chance of ending near each point."""
    path, mass = _started(looks[0], bounds[0], _COARSE)
    for (before, now), bound in zip(pairwise(looks), bounds[1:], strict=True):
        last, path = path, _grid(now, bound * now**0.5, _COARSE)
        mass = _weighted(path, _normal(path[:, None] - last[None, :], now - before) @ mass)
    return path, mass


def _started(
    time: float, bound: float, points: int = _POINTS
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    path = _grid(time, bound * time**0.5, points)
    return path, _weighted(path, _normal(path, time))


def _grid(time: float, top: float, points: int = _POINTS) -> NDArray[np.float64]:
    return np.linspace(-_REACH * time**0.5, top, points)


def _normal(distance: NDArray[np.float64], variance: float) -> NDArray[np.float64]:
    density: NDArray[np.float64] = np.exp(-(distance**2) / (2 * variance)) / (2 * np.pi * variance) ** 0.5
    return density


def _weighted(path: NDArray[np.float64], density: NDArray[np.float64]) -> NDArray[np.float64]:
    """The chance of being near each point, by the trapezoid rule."""
    mass: NDArray[np.float64] = density * (path[1] - path[0])
    mass[[0, -1]] /= 2
    return mass


def _upper_quantile(path: NDArray[np.float64], density: NDArray[np.float64], chance: float) -> float:
    """The point above which the density holds this chance."""
    pieces = (density[1:] + density[:-1]) / 2 * np.diff(path)
    above = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
    return float(np.interp(-chance, -above, path))
