"""Bounds on a ratio of sums over texts: how often they are wrong, and where they lie."""

from __future__ import annotations

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_suites.ratio_bounds import _unskewed, bounds_by_text, share_bounds

FIGURES = st.lists(st.floats(-5, 5), min_size=2, max_size=40)


def misses(sigma: float, texts: int, repeats: int) -> tuple[float, float]:
    """How often the true ratio is above the upper, and below the lower bound; lognormal texts."""
    random = np.random.default_rng(5)
    true, above, below = math.exp(sigma**2 / 2), 0, 0
    for _ in range(repeats):
        places = random.integers(10, 200, texts).astype(float)
        bounds = bounds_by_text(random.lognormal(0, sigma, texts) * places, places, 0.05)
        above += true > bounds.upper
        below += true < bounds.lower
    return above / repeats, below / repeats


@pytest.mark.parametrize(("sigma", "texts", "most"), [(0.5, 100, 0.075), (1.0, 300, 0.085)])
def test_error_rates_are_near_alpha_for_skewed_texts(sigma: float, texts: int, most: float) -> None:
    """Plain bounds are too low in 7.5 and 9 % of these cases; a standard error of the rates is 0.5 %."""
    above, below = misses(sigma, texts, 2000)
    assert above < most
    assert below < 0.07


def test_a_text_twenty_times_as_long_is_still_one() -> None:
    """Tokens that go together make the bounds no narrower than their texts do."""
    random = np.random.default_rng(2)
    rates, places = random.normal(1, 0.3, 400), np.full(400, 50.0)
    once = bounds_by_text(rates * places, places, 0.05)
    longer = bounds_by_text(rates * 20 * places, 20 * places, 0.05)
    assert astuple(longer) == pytest.approx(astuple(once))
    fake = bounds_by_text(np.repeat(rates * places, 20), np.repeat(places, 20), 0.05)
    assert fake.upper - fake.estimate < 0.3 * (once.upper - once.estimate)


@given(FIGURES, st.floats(0.01, 0.2))
def test_the_estimate_lies_between_its_bounds(sums: list[float], alpha: float) -> None:
    """Whatever the skewness."""
    values = np.array(sums)
    bounds = bounds_by_text(values, np.ones(values.size), alpha)
    assert bounds.estimate == pytest.approx(values.mean())
    assert bounds.lower - 1e-9 <= bounds.estimate <= bounds.upper + 1e-9


@given(FIGURES)
def test_bounds_mirror(sums: list[float]) -> None:
    """Losses and gains are treated alike."""
    values, places = np.array(sums), np.ones(len(sums))
    bounds, mirrored = bounds_by_text(values, places, 0.05), bounds_by_text(-values, places, 0.05)
    assert (mirrored.lower, mirrored.upper) == pytest.approx((-bounds.upper, -bounds.lower), abs=1e-6)


@given(st.integers(0, 400), st.integers(1, 400), st.floats(0.01, 0.2))
def test_a_share_lies_between_its_bounds(count: int, more: int, alpha: float) -> None:
    """Also where none or all were seen, and then not at a point."""
    places = count + more
    lower, upper = share_bounds(count, places, alpha)
    assert -1e-9 <= lower <= count / places < upper <= 1
    mirrored = share_bounds(more, places, alpha)
    assert (1 - mirrored[1], 1 - mirrored[0]) == pytest.approx((lower, upper))


@pytest.mark.parametrize(("share", "places"), [(0.002, 400), (0.01, 400), (0.002, 5000), (0.15, 400)])
def test_a_share_is_beyond_a_bound_as_seldom_as_said(share: float, places: int) -> None:
    """However little there was to see; a standard error of the rates is 0.15 %."""
    counts = np.random.default_rng(6).binomial(places, share, 20_000)
    known = {count: share_bounds(count, places, 0.05) for count in set(counts.tolist())}
    lower, upper = np.array([known[count] for count in counts.tolist()]).T
    assert (upper < share).mean() < 0.052
    assert (lower > share).mean() < 0.055


@given(st.floats(-3, 3), st.floats(-0.5, 0.5))
def test_the_transformation_is_that_of_hall(quantile: float, skewness: float) -> None:
    """T + s/3 T^2 + s^2/27 T^3 + s/6 is normal, where s is the skewness over sqrt(m)."""
    t = _unskewed(quantile, skewness)
    assert t + skewness / 3 * t**2 + skewness**2 / 27 * t**3 + skewness / 6 == pytest.approx(
        quantile, abs=1e-4
    )


def test_a_single_text_has_no_spread() -> None:
    """So nothing can be said."""
    with pytest.raises(ValueError, match="single"):
        bounds_by_text(np.ones(1), np.ones(1), 0.05)
