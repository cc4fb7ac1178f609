"""What repeats say together."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval_suites.load_figures import ERROR_RATE, figures_of, percentile, spread
from tests.simulators.load import LOAD, Behaviour, report


@pytest.mark.parametrize("repeats", [3, 4, 5, 6, 7, 9, 12, 20, 30])
def test_the_true_median_is_rarely_beyond_an_end(repeats: int) -> None:
    """In at most an eighth of cases beyond either, and not much less often than that."""
    drawn = np.random.default_rng(repeats).lognormal(0, 1, (20_000, repeats))
    found = [spread(values) for values in drawn]
    for beyond in (sum(s.low > 1 for s in found), sum(s.high < 1 for s in found)):
        assert ERROR_RATE / 5 < beyond / len(found) < ERROR_RATE + 0.01


@given(st.lists(st.floats(0, 1e9) | st.just(math.inf), min_size=3, max_size=30))
def test_the_median_lies_within_its_interval(values: list[float]) -> None:
    """And the interval within what was seen."""
    found = spread(values)
    assert min(values) <= found.low <= found.median <= found.high <= max(values)


def test_two_repeats_say_nothing() -> None:
    """At the promised rate no two values can."""
    with pytest.raises(ValueError, match="2 repeats say nothing"):
        spread([1.0, 2.0])


def test_a_percentile_of_no_answers_is_beyond_every_bound() -> None:
    """It must not look like a quick answer."""
    assert percentile(np.array([]), 95) == math.inf
    assert percentile(np.array([0.1, 0.3]), 50) == pytest.approx(200)


def test_requests_that_all_kept_their_objectives_missed_nothing() -> None:
    """Nothing at all, whatever the run's length; and just the share that is allowed is no more than that."""
    trial = report(Behaviour(turned_away={"1x": 0.1})).of("candidate", "1x")[0]
    for duration in (0.1, 1 / 3, 20.149, 61.7):
        assert figures_of(replace(trial, duration=duration), LOAD)["missed_rate"] == 1 - 0.9
    whole = report(Behaviour()).of("candidate", "1x")[0]
    for duration in (0.1, 1 / 3, 20.149, 61.7):
        assert figures_of(replace(whole, duration=duration), LOAD)["missed_rate"] == 0


def test_a_run_s_figures_add_up() -> None:
    """Goodput counts what kept both objectives; rates are shares of all requests."""
    sides = Behaviour(turned_away={"1x": 0.25}, broken={"1x": 0.05}, ttft=lambda _step: 500, noise=0.5)
    trial = report(sides).of("candidate", "1x")[0]
    figures = figures_of(trial, LOAD)
    assert figures["turned_away_rate"] == 0.25
    assert figures["error_rate"] == pytest.approx(0.3)
    assert 0.3 < figures["goodput"] / figures["answers_per_second"] < 0.7
    assert figures["tokens_per_second"] == pytest.approx(5 * figures["output_tokens_per_second"])
    assert figures["ttft_p50_ms"] < figures["ttft_p95_ms"] < figures["ttft_p99_ms"]
