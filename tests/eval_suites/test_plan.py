"""Items are asked in an order that no model has a say in, and clusters stay together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval_suites.plan import plan_of
from eval_suites.suite import Suite
from tests.simulators.reviews import reviewed_suite


def resized(suite: Suite, items: int, clusters: tuple[str, ...] = ()) -> Suite:
    """The suite with its first task only, of so many items."""
    return replace(suite, tasks=(replace(suite.tasks[0], items=items, clusters=clusters),))


@settings(max_examples=30)
@given(st.integers(1, 5000), st.integers(0, 9))
def test_every_item_is_asked_once(facts: Suite, items: int, seed: int) -> None:
    """However many there are."""
    plan = plan_of(resized(facts, items), seed)
    assert sorted(plan.asked("choose", len(plan.looks))) == list(range(items))


@pytest.mark.parametrize(("items", "looks"), [(1, 1), (199, 1), (600, 6), (3000, 30), (14_042, 30)])
def test_looks_are_a_hundred_items_apart_or_a_thirtieth(facts: Suite, items: int, looks: int) -> None:
    """More looks than thirty end clear cases hardly earlier."""
    plan = plan_of(resized(facts, items), 0)
    assert len(plan.looks) == looks
    sizes = {len(look["choose"]) for look in plan.looks}
    assert max(sizes) - min(sizes) <= 1


def test_the_order_follows_from_seed_and_item_alone(facts: Suite) -> None:
    """The same for every model and on every machine; another seed is another order."""
    assert plan_of(facts, 1) == plan_of(facts, 1)
    assert plan_of(facts, 1).asked("choose", 1) != plan_of(facts, 2).asked("choose", 1)
    assert plan_of(facts, 1).asked("choose", 1) != plan_of(facts, 1).asked("write", 1)
    assert plan_of(facts, 0).asked("choose", 1)[:3] == (540, 55, 477)  # what was kept goes by it


def test_a_cluster_is_never_split_between_looks(facts: Suite) -> None:
    """Half a passage would be judged as if it were a whole one."""
    clusters = tuple(str(item // 7) for item in range(600))
    plan = plan_of(resized(facts, 600, clusters), 0)
    of_look = [{clusters[item] for item in look["choose"]} for look in plan.looks]
    assert sum(map(len, of_look)) == len(set(clusters))


def limited(suite: Suite, most: int) -> Suite:
    """The suite with at most so many items of each task."""
    tasks = (replace(t, spec=t.spec.model_copy(update={"max_samples": most})) for t in suite.tasks)
    return replace(suite, tasks=tuple(tasks))


def test_max_samples_takes_the_first_of_the_order(facts: Suite) -> None:
    """A part of the suite that the seed chooses, with looks of its own."""
    part, whole = plan_of(limited(facts, 250), 3), plan_of(facts, 3)
    assert part.asked("choose", 2) == whole.asked("choose", 6)[:250]
    assert (part.items("choose"), part.counts("choose"), len(part.looks)) == (250, (125, 250), 2)
    assert plan_of(limited(facts, 900), 3) == whole


def test_max_samples_takes_whole_clusters_only(facts: Suite) -> None:
    """As many as there is room for."""
    clusters = tuple(str(item // 7) for item in range(600))
    plan = plan_of(limited(resized(facts, 600, clusters), 100), 0)
    assert plan.items("choose") == 98
    assert len({clusters[item] for item in plan.asked("choose", 1)}) == 14


def test_a_small_task_beside_a_large_one_has_looks_without_items(facts: Suite) -> None:
    """All tasks of a suite are looked at together."""
    large, small = replace(facts.tasks[0], items=3000), replace(facts.tasks[1], items=10)
    plan = plan_of(replace(facts, tasks=(large, small)), 0)
    assert sorted(plan.asked("write", 30)) == list(range(10))
    assert () in {look["write"] for look in plan.looks}


def test_people_are_asked_a_hundred_at_a_time(facts: Suite, tmp_path: Path) -> None:
    """Also beside a task with thirty looks: the first ones are theirs."""
    large, (judged,) = replace(facts.tasks[0], items=3000), reviewed_suite(tmp_path).tasks
    plan = plan_of(replace(facts, tasks=(large, judged)), 0)
    assert plan.counts("opinions") == (100, 200, 300)
    assert len(plan.counts("choose")) == 30
    assert len(plan.asked("opinions", 1)) == 100
