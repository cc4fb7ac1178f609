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
305-361.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

_POINTS = 513  # of the path's density; the total chance is right to 1e-4 at 100 looks
_REACH = 8.0  # standard deviations on either side


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


@lru_cache(maxsize=64)
def _boundaries(looks: tuple[float, ...], alpha: float) -> tuple[float, ...]:
    first = NormalDist().inv_cdf(1 - alpha * looks[0])
    found = [first]
    path = _grid(looks[0], first * looks[0] ** 0.5)
    mass = _weighted(path, _normal(path, looks[0]))
    for before, now in pairwise(looks):
        wide = _grid(now, _REACH * now**0.5)
        density = _normal(wide[:, None] - path[None, :], now - before) @ mass
        limit = _upper_quantile(wide, density, alpha * (now - before))
        found.append(limit / now**0.5)
        path = _grid(now, limit)
        mass = _weighted(path, np.interp(path, wide, density))
    return tuple(found)


def _grid(time: float, top: float) -> NDArray[np.float64]:
    return np.linspace(-_REACH * time**0.5, top, _POINTS)


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
