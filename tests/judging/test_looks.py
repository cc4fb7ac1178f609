"""Many looks err as rarely together as one look does alone."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from judging.looks import boundaries, crossing_chance, drift_for


def evenly(looks: int) -> list[float]:
    return [(look + 1) / looks for look in range(looks)]


def tail(z: float) -> float:
    """The chance of a normal figure above z."""
    return 0.5 * math.erfc(z / math.sqrt(2))


def crossed(bounds: tuple[float, ...], fractions: list[float], drift: float = 0.0) -> float:
    """The share of 40 000 simulated paths that cross a bound at any look."""
    rng = np.random.default_rng(7)
    times = np.array(fractions)
    steps = np.diff(times, prepend=0.0)
    path = (rng.standard_normal((40_000, len(times))) * np.sqrt(steps) + drift * steps).cumsum(axis=1)
    return float((path / np.sqrt(times) > np.array(bounds)).any(axis=1).mean())


def test_one_look_is_the_plain_test() -> None:
    """At alpha 5 %, the bound everybody knows."""
    assert boundaries([1.0], 0.05) == pytest.approx([1.6449], abs=1e-4)


def test_two_looks_spend_exactly_alpha() -> None:
    """The chance of crossing only at the second look, integrated on a fine grid, is what is left of alpha."""
    first, second = boundaries([0.5, 1.0], 0.05)
    path = np.linspace(-9, first, 40_001)
    density = np.exp(-(path**2) / 2) / math.sqrt(2 * math.pi)
    later = np.array([tail((second - x * math.sqrt(0.5)) / math.sqrt(0.5)) for x in path])
    assert tail(first) == pytest.approx(0.025, abs=1e-6)
    assert float(np.trapezoid(density * later, path)) == pytest.approx(0.025, abs=3e-5)


@pytest.mark.parametrize("looks", [5, 30, 100])
def test_all_looks_together_err_with_alpha(looks: int) -> None:
    """Simulated without any drift: 5 % cross somewhere, where the plain bound would let up to 31 % cross."""
    fractions = evenly(looks)
    assert crossed(boundaries(fractions, 0.05), fractions) == pytest.approx(0.05, abs=0.004)
    assert crossed((1.645,) * looks, fractions) > 0.12


def test_looks_cost_little_power() -> None:
    """What one look finds with 96 %, thirty find with at least 91 %."""
    fractions = evenly(30)
    assert crossed(boundaries([1.0], 0.05), [1.0], drift=3.46) == pytest.approx(0.965, abs=0.01)
    assert crossed(boundaries(fractions, 0.05), fractions, drift=3.46) > 0.91


@pytest.mark.parametrize("looks", [1, 5, 30])
@pytest.mark.parametrize("drift", [0.0, 2.0, 3.5])
def test_the_chance_of_crossing_is_what_simulated_paths_do(looks: int, drift: float) -> None:
    """Without drift it is alpha; with one it is the power."""
    fractions = evenly(looks)
    bounds = boundaries(fractions, 0.05)
    assert crossing_chance(fractions, bounds, drift) == pytest.approx(
        crossed(bounds, fractions, drift), abs=0.008
    )


@pytest.mark.parametrize("looks", [1, 6, 30])
def test_the_drift_for_a_power_gives_that_power(looks: int) -> None:
    """For one look it is the textbook's z_alpha + z_power."""
    fractions = evenly(looks)
    bounds = boundaries(fractions, 0.05)
    drift = drift_for(fractions, bounds, 0.8)
    assert crossing_chance(fractions, bounds, drift) == pytest.approx(0.8, abs=1e-6)
    assert drift == pytest.approx(2.486, abs=0.005) if looks == 1 else drift > 2.6


def test_a_suite_that_ends_early_has_spent_less() -> None:
    """Looks at part of what was planned are the first looks of the whole plan."""
    assert boundaries([0.1, 0.2], 0.05) == pytest.approx(boundaries(evenly(10), 0.05)[:2])


@settings(max_examples=25)
@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12, unique=True), st.floats(0.001, 0.2))
def test_no_look_is_laxer_than_a_single_one(fractions: list[float], alpha: float) -> None:
    """However the looks are spread, each has a finite bound that a test without peeking would not exceed."""
    looks = sorted(fractions)
    if any(b - a < 1e-3 for a, b in pairwise(looks)):
        return
    alone = boundaries([1.0], alpha)[0]
    assert all(math.isfinite(z) and z > alone - 1e-3 for z in boundaries(looks, alpha))


@pytest.mark.parametrize("fractions", [[], [0.0, 1.0], [0.5, 0.5], [0.6, 0.4], [0.5, 1.1], [math.nan]])
def test_looks_that_make_no_sense_are_refused(fractions: list[float]) -> None:
    """They rise, from above 0 to at most 1."""
    with pytest.raises(ValueError, match="looks rise"):
        boundaries(fractions, 0.05)


@pytest.mark.parametrize("alpha", [0.0, 0.5, -1.0])
def test_an_alpha_that_makes_no_sense_is_refused(alpha: float) -> None:
    """A chance of erring is more than none and less than a coin's."""
    with pytest.raises(ValueError, match="alpha"):
        boundaries([1.0], alpha)
