"""What a suite is said to tell and to cost is what it then tells and costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from eval_suites.cost import Cost, cost_of
from eval_suites.plan import plan_of
from eval_suites.power import Power, power_of
from eval_suites.suite import Suite
from eval_suites.suite_spec import LocalTask
from judging.looks import boundaries
from judging.paired import Tally

Choosing = Callable[..., Suite]


def resized(suite: Suite, items: int, cluster: int = 1) -> Suite:
    """The suite with so many items, in clusters of this size."""
    clusters = tuple(str(item // cluster) for item in range(items)) if cluster > 1 else ()
    return replace(suite, tasks=(replace(suite.tasks[0], items=items, clusters=clusters),))


def powers(suite: Suite) -> tuple[Power, ...]:
    """What the suite's task can tell at 2, 5 and 10 % flips."""
    return power_of(suite, suite.tasks[0], plan_of(suite, 0))


def simulated(items: int, looks: int, flips: float, loss: float, margin: float) -> tuple[float, float]:
    """The shares of 20 000 releases that pass and fail, over so many even looks at alpha 5 %."""
    rng = np.random.default_rng(2)
    batch = items // looks
    changed = rng.binomial(batch, flips, (20_000, looks))
    lost = rng.binomial(changed, (flips + loss) / (2 * flips))
    n = batch * np.arange(1, looks + 1)
    tally = Tally(n=n, lost=lost.cumsum(axis=1), gained=(changed - lost).cumsum(axis=1))
    z = np.array(boundaries([(look + 1) / looks for look in range(looks)], 0.05))
    passed, failed = (
        np.where(crossed.any(axis=1), crossed.argmax(axis=1), looks)
        for crossed in (tally.z_below(margin) > z, tally.z_above(margin) > z)
    )
    return float((passed < failed).mean()), float((failed < passed).mean())


@pytest.mark.parametrize(("items", "looks", "margin"), [(3000, 30, 0.02), (1000, 10, 0.02), (600, 6, 0.03)])
def test_the_power_is_what_simulated_releases_show(
    choosing: Choosing, items: int, looks: int, margin: float
) -> None:
    """Passing without loss, and failing at the loss that is said to be found."""
    for power in powers(resized(choosing(margin=margin), items)):
        passes, _ = simulated(items, looks, power.flips, 0.0, margin)
        _, fails = simulated(items, looks, max(power.flips, power.finds), power.finds, margin)
        assert power.passes == pytest.approx(passes, abs=0.02)
        assert fails == pytest.approx(0.8, abs=0.03)


def test_the_items_that_are_needed_are_enough_and_not_many_too_many(choosing: Choosing) -> None:
    """A suite of that size passes four of five candidates without loss."""
    for power in powers(resized(choosing(margin=0.02), 1000)):
        passes, _ = simulated(round(power.needed, -1), 10, power.flips, 0.0, 0.02)
        assert passes == pytest.approx(0.8, abs=0.03)


def test_one_look_takes_about_the_textbooks_sample(choosing: Choosing) -> None:
    """(1.645 + 0.842)^2 * 0.1 / 0.05^2 items; half a count and the score test add some."""
    (*_, power) = powers(resized(choosing(margin=0.05), 150))
    assert 247 < power.needed < 300


def test_a_stricter_profile_and_more_power_take_more_items(choosing: Choosing) -> None:
    """About five times as many for half the margins at half the alpha."""
    suite = resized(choosing(), 3000)
    planned = replace(suite, spec=suite.spec.model_copy(update={"power": 0.9}))
    strict = Suite(suite.spec.strict, (replace(suite.tasks[0], spec=suite.spec.strict.tasks[0]),))
    usual, more, most = (powers(s)[2].needed for s in (suite, planned, strict))
    assert 1.2 * usual < more < 1.5 * usual
    assert 4 * usual < most < 6 * usual


def test_clusters_cost_power_and_no_item_has_none(choosing: Choosing) -> None:
    """The judge doubts more while flips may come together, the more the larger the clusters."""
    alone, small, large = (powers(resized(choosing(), 600, size))[1] for size in (1, 5, 20))
    assert alone.passes > small.passes > large.passes
    assert alone.needed < small.needed < large.needed
    assert alone.finds < small.finds < large.finds


def test_a_suite_of_a_few_items_can_tell_nothing(choosing: Choosing) -> None:
    """It is said, not refused."""
    for power in powers(resized(choosing(), 8)):
        assert power.passes < 0.05
        assert power.finds > 0.5


ROW = {"q": "The sky is", "c": ["blue", "green"], "a": 0}
CHOICES = {
    "name": "t", "dataset": "t.jsonl", "kind": "choices", "prompt": "{{q}}", "choices": "c", "answer": "a",
    "metric": "acc", "chance": 0.5, "margin": 0.03,
}  # fmt: skip


def test_each_choice_is_a_request_with_the_prompt() -> None:
    """lm-eval asks for the likelihood of every continuation, and takes one token."""
    task = LocalTask.model_validate(CHOICES)
    assert cost_of(task, [ROW, ROW], [0, 1]) == Cost(4, round(2 * (15 + 16) / 4), 4)
    assert cost_of(task, [ROW, ROW], [0]).requests == 2


def test_worked_examples_come_before_every_request() -> None:
    """Two of them, each a solved item and an empty line."""
    task = LocalTask.model_validate({**CHOICES, "few_shot": 2})
    assert cost_of(task, [ROW] * 3, [0]).prompt_tokens == round((15 + 16 + 2 * 2 * 17) / 4)


def test_a_generated_answer_may_take_all_its_tokens() -> None:
    """Known only as a most."""
    task = LocalTask.model_validate(
        {**CHOICES, "kind": "generate", "choices": None, "metric": "exact_match", "max_tokens": 8}
    )
    assert cost_of(task, [{"q": "2 + 2 =", "a": "4"}] * 3, [0, 2]) == Cost(2, round(14 / 4), 16)
