"""The order of the runs of a load test, and what the generator is told."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from eval_suites.load_runs import (
    FACTORS,
    WARM_UP,
    batching_runs,
    bench_arguments,
    patience,
    runs_of,
    without_load_of,
)
from eval_suites.load_spec import LoadSpec

LOAD = LoadSpec(peak_requests_per_second=10, seconds=30)


def test_sides_take_turns_with_the_same_requests() -> None:
    """At each step both are asked alike, and who is first changes from repeat to repeat."""
    runs = [run for run in runs_of(LOAD, ["candidate", "source"]) if run.step != WARM_UP]
    assert len(runs) == 2 * 4 * 3
    for first, second in zip(runs[::2], runs[1::2], strict=True):
        assert {first.side, second.side} == {"candidate", "source"}
        assert (first.step, first.rate, first.seed) == (second.step, second.rate, second.seed)
    assert [runs[8 * n].side for n in range(3)] == ["candidate", "source", "candidate"]


def test_the_load_grows_to_three_times_the_peak_and_comes_back() -> None:
    """In every repeat, after a warm-up of each side that is not counted."""
    runs = runs_of(LOAD, ["candidate", "source"])
    assert [run.step for run in runs[:2]] == [WARM_UP, WARM_UP]
    steps = [step for step, _ in groupby(run.step for run in runs[2:])]
    assert steps == [*FACTORS] * 3
    assert [run.rate for run in runs[2:10:2]] == [10, 20, 30, 10]
    assert [run.requests for run in runs[2:10:2]] == [300, 600, 900, 300]


def test_both_ways_of_serving_get_the_same_few_requests() -> None:
    """Prompts that no server has seen before, and a warm-up for the new one."""
    warm, together, alone = batching_runs(LOAD)
    assert (warm.side, warm.step) == ("unbatched", WARM_UP)
    assert (together.side, alone.side) == ("candidate", "unbatched")
    assert replace(together, side=alone.side) == alone
    assert alone.requests == 20
    assert alone.seed not in {run.seed for run in runs_of(LOAD, ["candidate"])}


def test_a_side_is_not_asked_again_what_it_was_lost_to() -> None:
    """Nor more than that, nor whether it recovered; the other is asked everything."""
    runs = runs_of(LOAD, ["candidate", "source"])
    lost = next(run for run in runs if (run.side, run.step) == ("source", "3x"))
    left = without_load_of(lost, runs)
    assert {run.step for run in left if run.side == "source"} == {WARM_UP, "1x", "2x"}
    assert [run for run in left if run.side == "candidate"] == list(runs_of(LOAD, ["candidate"]))
    assert {run.side for run in without_load_of(replace(lost, step="1x again"), runs)} == {"candidate"}


@given(
    st.floats(0.001, 1000),
    st.floats(0.1, 300),
    st.integers(3, 9),
    st.sampled_from([1, 2]),
    st.integers(0, 99),
)
def test_no_two_runs_of_a_side_share_prompts(
    peak: float, seconds: float, repeats: int, sides: int, seed: int
) -> None:
    """Neither by seed, which a prefix cache would remember, nor by name; and each has its 60 requests."""
    load = LoadSpec(peak_requests_per_second=peak, seconds=seconds, repeats=repeats, seed=seed)
    runs = runs_of(load, ["candidate", "source"][:sides])
    assert len({run.name for run in runs}) == len({(run.side, run.seed) for run in runs}) == len(runs)
    assert all(run.requests >= 60 for run in runs)
    assert all(run.requests / run.rate < patience(load) for run in runs)


def test_the_generator_is_told_everything_that_matters() -> None:
    """The rate to the last digit, the lengths, the seed, and where the tokenizer lies."""
    run = runs_of(LoadSpec(peak_requests_per_second=1 / 3, seconds=600), ["candidate"])[1]
    told = bench_arguments(run, LOAD, url="http://127.0.0.1:1", model="m", tokenizer=Path("folder"))
    flags = dict(pairwise(told))
    assert float(flags["--request-rate"]) == run.rate
    assert (flags["--num-prompts"], flags["--seed"]) == ("200", "1")
    assert (flags["--random-input-len"], flags["--random-output-len"]) == ("512", "128")
    assert (flags["--tokenizer"], flags["--result-filename"]) == ("folder", "candidate-1x-0.json")
