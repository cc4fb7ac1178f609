"""What the benchmark of the gate counts is what the gate says, item for item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.gate import (
    ALONE,
    DAMAGED,
    ITEMS,
    LOOKS,
    PASSAGE,
    WHOLE,
    Cell,
    ours,
    simulated,
    up_to_each_look,
)
from eval_suites.plan import plan_of
from eval_suites.power import power_of
from eval_suites.suite import Suite
from judging.verdict import Finding, Outcome
from tests.simulators.evaluation import SEED, judged, scored

Choosing = Callable[..., Suite]


def as_said(suite: Suite, size: int, lost: NDArray[np.int64], gained: NDArray[np.int64]) -> Finding:
    """What the gate says of a release whose passages, as they are asked, lost and gained so many items."""
    asked = np.array(plan_of(suite, SEED).asked("choose", LOOKS)).reshape(-1, size)
    place = np.arange(size)
    baseline, candidate = np.ones(ITEMS), np.ones(ITEMS)
    candidate[asked[place < lost[:, None]]] = 0
    baseline[asked[place >= size - gained[:, None]]] = 0
    before, after = (scored(suite, {"choose": scores.tolist()}) for scores in (baseline, candidate))
    return judged(suite, after, {"source": before}).findings[0]


def of_passages(suite: Suite, size: int) -> Suite:
    """The suite's task with the benchmark's items, in passages of this size."""
    passages = tuple(str(item // size) for item in range(ITEMS))
    return replace(suite, tasks=(replace(suite.tasks[0], items=ITEMS, clusters=passages),))


@pytest.mark.parametrize("kind", [ALONE, WHOLE, DAMAGED])
@pytest.mark.parametrize(("flips", "loss"), [(0.02, 0.0), (0.05, 0.02), (0.05, 0.04), (0.02, 0.01)])
def test_the_benchmark_judges_as_the_gate_does(
    choosing: Choosing, kind: str, flips: float, loss: float
) -> None:
    """The same outcome after the same number of items, with and without passages."""
    cell = Cell(flips, loss, kind)
    suite = of_passages(choosing(margin=0.02, chance=0.5), cell.size)
    lost, gained = simulated(cell, np.random.default_rng(3), 4)
    counted = map(up_to_each_look, (lost, gained, (gained - lost) ** 2))
    for release, ended in enumerate(zip(*ours(cell.size, *counted), strict=True)):
        found = as_said(suite, cell.size, lost[release], gained[release])
        passed, failed = ended
        outcome = Outcome.INCONCLUSIVE
        if passed != failed:
            outcome = Outcome.PASS if passed < failed else Outcome.FAIL
        assert found.outcome is outcome
        assert found.interval is not None
        assert found.interval.samples == min(min(ended) + 1, LOOKS) * ITEMS // LOOKS


def test_the_power_of_passages_is_what_the_benchmark_shows(choosing: Choosing) -> None:
    """Of candidates without loss whose flips are scattered over passages."""
    suite = of_passages(choosing(margin=0.02), PASSAGE)
    for power in power_of(suite, suite.tasks[0], plan_of(suite, SEED)):
        lost, gained = simulated(Cell(power.flips, 0.0, DAMAGED), np.random.default_rng(3), 4000)
        passed, failed = ours(PASSAGE, *map(up_to_each_look, (lost, gained, (gained - lost) ** 2)))
        assert power.passes == pytest.approx((passed < failed).mean(), abs=0.02)
